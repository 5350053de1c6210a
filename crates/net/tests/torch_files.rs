//! Files of `torch.save`, made by fixtures/make_torch_fixtures.py: the same numbers from both containers, and a refusal
//! of whatever is no state_dict.

use std::fs;
use std::path::{Path, PathBuf};

use hectare_net::weights::{WeightError, WeightFile, load_into, read, write};
use hectare_net::{ModelCard, ModelKind, ModelSpec, Params, build, initialise};

const CONTAINERS: [&str; 2] = ["pth", "old.pth"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
}

#[test]
fn every_element_type_in_both_containers() {
    let numbers: Vec<f32> = (0..24).map(|i| i as f32 / 8.0 - 1.0).collect();
    let turned: Vec<f32> =
        (0..4).flat_map(|k| (0..6).map(move |ij| 4 * ij + k)).map(|i| numbers[i]).collect();
    for container in CONTAINERS {
        for name in ["plain", "wrapped"] {
            let file = read(fixture(&format!("{name}.{container}"))).unwrap();
            assert_eq!(file.tensors.len(), 9);
            let check = |name: &str, shape: &[usize], data: &[f32]| {
                let tensor = file.get(name).unwrap_or_else(|| panic!("{container}: no {name}"));
                assert_eq!(tensor.shape, shape, "{container}: {name}");
                assert_eq!(*tensor.values().unwrap(), *data, "{container}: {name}");
            };
            for name in ["f32", "f64", "f16", "bf16", "parameter"] {
                check(name, &[2, 3, 4], &numbers);
            }
            check("i64", &[], &[7.0]);
            check("turned", &[4, 2, 3], &turned);
            check("part", &[2, 4], &numbers[16..]);
            check("none", &[0, 3], &[]);
        }
    }
}

/// The message.
fn refusal(path: &Path) -> WeightError {
    let values = |file: WeightFile| file.tensors.iter().try_for_each(|tensor| tensor.values().map(drop));
    read(path).and_then(values).expect_err(&path.display().to_string())
}

#[test]
fn what_is_no_state_dict_is_refused() {
    for container in CONTAINERS {
        for (name, problem) in [
            ("calls", "wants to call "),
            ("huge", "more numbers than the file can hold"),
            ("spread", "more numbers than the file can hold"),
            ("beyond", "reaches beyond its storage"),
            ("nan", "holds NaN at place 0"),
            ("empty", "holds no tensors"),
            ("module", "wants to call "),
            ("list", "holds no state_dict"),
        ] {
            let message = refusal(&fixture(&format!("{name}.{container}"))).to_string();
            assert!(message.contains(problem), "{name}.{container}: {message}");
        }
    }
}

#[test]
fn no_beginning_of_a_file_passes_or_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.pth");
    for container in CONTAINERS {
        let whole = fs::read(fixture(&format!("plain.{container}"))).unwrap();
        for len in (0..whole.len()).step_by(7) {
            fs::write(&path, &whole[..len]).unwrap();
            refusal(&path);
        }
    }
}

#[test]
fn no_changed_byte_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.pth");
    for container in CONTAINERS {
        let whole = fs::read(fixture(&format!("plain.{container}"))).unwrap();
        for place in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0xff >> (place % 8);
            fs::write(&path, &bytes).unwrap();
            if let Ok(file) = read(&path) {
                file.tensors.iter().for_each(|tensor| drop(tensor.values()));
            }
        }
    }
}

#[test]
fn nesting_without_end_is_no_recursion() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.pth");
    let mut bytes = vec![0x80, 2, b')'];
    bytes.extend(std::iter::repeat_n(0x85, 1_000_000));
    bytes.push(b'.');
    fs::write(&path, &bytes).unwrap();
    assert!(refusal(&path).to_string().contains("not one of torch.save"));
}

fn spec(model: ModelKind) -> ModelSpec {
    ModelSpec { width: 0.015_625, classes: 5, ..ModelSpec::new(model) }
}

fn written(folder: &Path, spec: &ModelSpec) -> (WeightFile, Params) {
    let params = initialise(&build(spec).unwrap(), 3);
    let path = folder.join("file.safetensors");
    write(&path, &ModelCard::new(spec.clone()), &params).unwrap();
    (read(&path).unwrap(), params)
}

#[test]
fn fc6_and_fc7_are_torchvisions_matrices() {
    let folder = tempfile::tempdir().unwrap();
    for (model, head) in [(ModelKind::Fcn32s, "fcn32"), (ModelKind::Fcn8s, "fcn")] {
        let spec = spec(model);
        let (mut file, params) = written(folder.path(), &spec);
        for tensor in &mut file.tensors {
            for layer in ["0", "3"] {
                if let Some(part) = tensor.name.strip_prefix(&format!("{head}.{layer}.")) {
                    if tensor.shape.len() == 4 {
                        tensor.shape = vec![tensor.shape[0], tensor.shape[1..].iter().product()];
                    }
                    tensor.name = format!("classifier.{layer}.{part}");
                    break;
                }
            }
        }
        let network = build(&spec).unwrap();
        let mut loaded = initialise(&network, 4);
        let report = load_into(&file, &network, &mut loaded, false).unwrap();
        assert_eq!(loaded, params);
        assert!(report.to_string().contains("reshaped from classifier.0.weight"), "{report}");
        // A side off: no reshape.
        file.tensors.iter_mut().filter(|t| t.name == "classifier.0.weight").for_each(|t| t.shape.reverse());
        load_into(&file, &network, &mut loaded, false).unwrap_err();
    }
}
