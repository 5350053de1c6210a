//! Weight files: what is written comes back, the same bytes every time, and bad files are refused by name.

use std::fs;
use std::path::Path;

use hectare_net::weights::{
    LoadStatus, Overrides, WeightError, load_into, read, read_model, read_model_with, write,
};
use hectare_net::{ClassMap, Geometry, Head, ModelCard, ModelKind, ModelSpec, Params, build, initialise};

fn small(model: ModelKind) -> ModelSpec {
    ModelSpec { width: 0.0625, input: [64, 64], ..ModelSpec::new(model) }
}

fn saved(path: &Path, spec: &ModelSpec, seed: u64) -> (ModelCard, Params) {
    let card = ModelCard::new(spec.clone());
    let params = initialise(&build(spec).unwrap(), seed);
    write(path, &card, &params).unwrap();
    (card, params)
}

/// The file without its metadata, as PyTorch's users would save it.
fn strip(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    replace_header(path, &header.to_string(), &bytes[8 + len..]);
}

fn replace_header(path: &Path, header: &str, data: &[u8]) {
    let mut header = header.to_owned();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    fs::write(path, bytes).unwrap();
}

#[test]
fn round_trip_of_all_models() {
    let folder = tempfile::tempdir().unwrap();
    for model in ModelKind::ALL {
        let path = folder.path().join(format!("{model}.safetensors"));
        let spec = small(model);
        let (card, mut params) = saved(&path, &spec, 3);
        if let Some(count) = params.get_mut("features.1.num_batches_tracked") {
            count[0] = 41.0;
        }
        write(&path, &card, &params).unwrap();
        let loaded = read_model(&path).unwrap();
        assert_eq!((&loaded.card, &loaded.params), (&card, &params), "{model}");
        assert!(loaded.warnings.is_empty());

        let again = folder.path().join("again.safetensors");
        write(&again, &card, &params).unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap(), "{model}: other bytes");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), ModelKind::ALL.len() + 1, "no temporary files stay");
}

#[test]
fn metadata_is_one_sorted_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    saved(&path, &small(ModelKind::Fcn16s), 1);
    let bytes = fs::read(&path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let metadata = header["__metadata__"].as_object().unwrap();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["hectare"]);
    let card: serde_json::Value = serde_json::from_str(metadata["hectare"].as_str().unwrap()).unwrap();
    assert_eq!(card["spec"]["model"], "fcn16s");
    assert_eq!(card["classes"]["classes"][0]["name"], "Urban");
    assert_eq!(header["upscore16.weight"]["shape"], serde_json::json!([7, 7, 32, 32]));
}

#[test]
fn batches_tracked_is_an_integer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    saved(&path, &small(ModelKind::Vgg16Bn), 1);
    let bytes = fs::read(&path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let entry = &header["features.1.num_batches_tracked"];
    assert_eq!((&entry["dtype"], &entry["shape"]), (&"I64".into(), &serde_json::json!([])));
}

#[test]
fn bare_state_dicts_are_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let mut specs: Vec<ModelSpec> = ModelKind::ALL.into_iter().map(small).collect();
    specs.push(ModelSpec { head: Head::Hidden512, classes: 9, ..small(ModelKind::Vgg16) });
    specs.push(ModelSpec { head_width: 1024, head_kernel: 3, ..small(ModelKind::Fcn32s) });
    specs.push(ModelSpec { output_bias: true, ..small(ModelKind::Fcn16s) });
    specs.push(ModelSpec { classes: 4, bands: 5, ..small(ModelKind::Fcn8s) });
    for mut spec in specs {
        let (_, params) = saved(&path, &spec, 2);
        strip(&path);
        assert!(read(&path).unwrap().metadata.is_none());
        let loaded = read_model(&path).unwrap();
        if !spec.model.is_classifier() {
            spec.input = [512, 512];
            assert!(loaded.warnings[0].contains("modern"), "{:?}", loaded.warnings);
        }
        assert_eq!(loaded.card, ModelCard::new(spec), "the palette and the rest are the defaults");
        assert_eq!(loaded.params, params);
    }
    let overrides = Overrides {
        geometry: Some(Geometry::Caffe),
        classes: Some(ClassMap::numbered(4)),
        ..Overrides::default()
    };
    let loaded = read_model_with(&path, &overrides).unwrap();
    assert_eq!(loaded.card.spec.geometry, Geometry::Caffe);
    let overrides = Overrides { classes: Some(ClassMap::course()), ..Overrides::default() };
    let error = read_model_with(&path, &overrides).unwrap_err().to_string();
    assert!(error.contains("7 classes") && error.contains('4'), "{error}");
}

#[test]
fn loading_reports_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let (_, from) = saved(&path, &small(ModelKind::Fcn8s), 1);
    let file = read(&path).unwrap();

    // Another class count, and another network.
    let other = build(&ModelSpec { classes: 3, ..small(ModelKind::Fcn16s) }).unwrap();
    let mut params = initialise(&other, 2);
    let before = params.clone();
    let error = load_into(&file, &other, &mut params, false).unwrap_err();
    let WeightError::Mismatch { report, .. } = &error else { panic!("{error}") };
    let status = |name: &str| report.rows.iter().find(|row| row.name == name).unwrap().status.clone();
    assert_eq!(status("features.0.weight"), LoadStatus::Loaded);
    assert_eq!(status("upscore16.weight"), LoadStatus::Missing);
    assert_eq!(status("upscore8.weight"), LoadStatus::Surplus);
    assert_eq!(status("score_fr.weight"), LoadStatus::ShapeMismatch { expected: vec![3, 256, 1, 1] });
    assert!(error.to_string().contains("score_fr.weight is 7x256x1x1, not 3x256x1x1"), "{error}");
    assert_eq!(params, before, "nothing changes on an error");

    let report = load_into(&file, &other, &mut params, true).unwrap();
    let text = report.to_string();
    assert!(text.contains("missing, starts anew") && text.contains("surplus"), "{text}");
    assert_eq!(params.get("fcn.3.weight"), from.get("fcn.3.weight"));
    assert_eq!(params.get("upscore16.weight"), before.get("upscore16.weight"));

    // Nothing in common.
    let foreign = build(&ModelSpec { width: 0.125, ..small(ModelKind::Vgg16) }).unwrap();
    let mut params = initialise(&foreign, 2);
    assert!(load_into(&file, &foreign, &mut params, true).is_err());
}

#[test]
fn bad_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    assert!(matches!(read(&path), Err(WeightError::Io { .. })));

    let (card, mut params) = saved(&path, &small(ModelKind::Vgg16), 1);
    let whole = fs::read(&path).unwrap();
    for len in [0, 5, 100, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        let error = read_model(&path).unwrap_err();
        assert!(matches!(error, WeightError::Format { .. }), "{len}: {error}");
        assert!(error.to_string().contains("w.safetensors"), "{error}");
    }
    fs::write(&path, b"not a weight file at all").unwrap();
    assert!(read(&path).is_err());

    params.get_mut("features.2.bias").unwrap()[1] = f32::NAN;
    write(&path, &card, &params).unwrap();
    let error = read_model(&path).unwrap_err().to_string();
    assert!(error.contains("features.2.bias") && error.contains("NaN"), "{error}");

    assert!(matches!(write(folder.path().join("no/where"), &card, &params), Err(WeightError::Io { .. })));
}

#[test]
fn a_wrong_card_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let (mut card, params) = saved(&path, &small(ModelKind::Fcn32s), 1);
    card.spec.model = ModelKind::Fcn8s;
    write(&path, &card, &params).unwrap();
    assert!(matches!(read_model(&path), Err(WeightError::Mismatch { .. })));
    card.spec.classes = 5;
    write(&path, &card, &params).unwrap();
    assert!(matches!(read_model(&path), Err(WeightError::Card { .. })));
}

/// A description may claim a network of terabytes: the file's own tensors say how much memory there is to ask for.
#[test]
fn a_description_that_claims_too_much_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    saved(&path, &small(ModelKind::Fcn8s), 1);
    let bytes = fs::read(&path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let text = header["__metadata__"]["hectare"].as_str().unwrap().to_owned();
    let mut with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut card: serde_json::Value = serde_json::from_str(&text).unwrap();
        change(&mut card);
        header["__metadata__"]["hectare"] = card.to_string().into();
        replace_header(&path, &header.to_string(), &bytes[8 + len..]);
        read_model(&path).unwrap_err()
    };
    // 8 x 65536 channels: the second hidden layer alone would take a terabyte.
    let error = with(&|card| {
        card["spec"]["width"] = 8.0.into();
        card["spec"]["head_width"] = 65536.into();
    });
    assert!(matches!(error, WeightError::Mismatch { .. }), "{error}");
    let error = with(&|card| card["spec"]["width"] = 1e300.into());
    assert!(matches!(error, WeightError::Net { .. }), "{error}");
    let error = with(&|card| card["classes"]["classes"][3]["id"] = 200.into());
    assert!(error.to_string().contains("has the id 200"), "{error}");
}
