//! Models of others, made by fixtures/make_onnx_fixtures.py.

use super::*;
use safetensors::SafeTensors;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str, settings: &OnnxSettings) -> Result<OnnxModel, String> {
    OnnxModel::open(&fixture(&format!("{name}.onnx")), settings).map_err(|error| error.to_string())
}

fn bytes() -> OnnxSettings {
    OnnxSettings { input: Some(OnnxInput::Bytes), ..OnnxSettings::default() }
}

/// Levels as the script draws them.
fn level(x: usize, y: usize, band: usize) -> f32 {
    ((x * 37 + y * 91 + x * y * 7 + band * 53) % 256) as f32
}

fn shown(model: &OnnxModel, h: usize, w: usize) -> Vec<f32> {
    let Normalisation { mean, std } = &model.card.normalisation;
    let c = model.card.bands;
    (0..h * w * c).map(|i| (level(i / c % w, i / c / w, i % c) / 255.0 - mean[i % c]) / std[i % c]).collect()
}

fn said(model: &mut OnnxModel, h: usize, w: usize) -> Vec<f32> {
    let mut out = Vec::new();
    model.probabilities(h, w, &shown(model, h, w), &mut out).unwrap();
    assert_eq!(out.len(), h * w * model.classes());
    for pixel in out.chunks_exact(model.classes()) {
        assert!((pixel.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{pixel:?}");
    }
    out
}

#[test]
fn a_u_net_answers_as_in_pytorch() {
    let bytes = std::fs::read(fixture("unet.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let view = tensors.tensor("logits").unwrap();
    let &[k, h, w] = view.shape() else { panic!("{:?}", view.shape()) };
    let logits: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    for threads in [1, 2, 3, 8] {
        threads::Pool::new(threads).install(|| {
            let mut model = open("unet", &OnnxSettings::default()).unwrap();
            assert_eq!(model.card.classes.names(), ["background", "field", "forest", "water"]);
            assert_eq!((model.card.bands, model.card.ground_resolution), (3, Some(10.0)));
            assert_eq!(
                (model.tile(), model.overlap(), model.largest(), model.reach()),
                (Some(128), Some(32), None, None)
            );
            // 48 is no multiple of 32: the model takes every multiple of 4, and windows are padded.
            let out = said(&mut model, h.next_multiple_of(32), w.next_multiple_of(32));
            let exact = model.run([h, w], &shown(&model, h, w)).unwrap();
            let mut got = vec![0.0; h * w * k];
            model.answer.probabilities(model.isa, &exact, [h, w], [h, w], k, 0.5, &mut got).unwrap();
            let mut worst = 0.0_f64;
            for (pixel, row) in got.chunks_exact(k).enumerate() {
                let of = |class: usize| f64::from(logits[class * h * w + pixel]);
                let sum: f64 = (0..k).map(|class| of(class).exp()).sum();
                for (class, p) in row.iter().enumerate() {
                    worst = worst.max((f64::from(*p) - of(class).exp() / sum).abs());
                }
            }
            assert!(worst < 1e-5, "{worst}");
            // Far from what differs, the padded window says the same.
            let padded_w = w.next_multiple_of(32);
            let differ = (0..8).map(|i| (out[i * padded_w * k] - got[i * w * k]).abs()).fold(0.0, f32::max);
            assert!(differ < 1e-5, "{differ}");
        });
    }
}

#[test]
fn threads_change_no_bit() {
    let answer = |threads: usize| {
        threads::Pool::new(threads)
            .install(|| said(&mut open("unet", &OnnxSettings::default()).unwrap(), 96, 160))
    };
    let one = answer(1);
    for threads in [2, 3, 8] {
        assert!(answer(threads) == one, "{threads} threads");
    }
}

#[test]
fn layouts_and_endings() {
    // Probabilities, a pixel's numbers together; the same without being told and when told.
    let mut model = open("nhwc_softmax", &bytes()).unwrap();
    assert_eq!((model.takes, model.card.bands, model.tile()), (Layout::Pixels, 3, None));
    assert!(model.summary().contains("probabilities of 3 classes"), "{}", model.summary());
    let out = said(&mut model, 64, 96);
    let told = OnnxSettings { scores: Some(Scores::Probabilities), ..bytes() };
    assert_eq!(said(&mut open("nhwc_softmax", &told).unwrap(), 64, 96), out);
    let wrong = OnnxSettings { scores: Some(Scores::Logits), ..bytes() };
    assert_ne!(said(&mut open("nhwc_softmax", &wrong).unwrap(), 64, 96), out);

    // One probability against the rest, at one size, with a threshold: its class wins where it is above.
    let settings = OnnxSettings::default();
    let mut model = open("sigmoid_fixed", &settings).unwrap();
    assert_eq!((model.tile(), model.largest(), model.overlap()), (Some(64), Some(64), Some(32)));
    assert_eq!(model.card.classes.names(), ["background", "road"]);
    let out = said(&mut model, 64, 64);
    let plain = OnnxSettings { threshold: Some(0.5), ..OnnxSettings::default() };
    let half = said(&mut open("sigmoid_fixed", &plain).unwrap(), 64, 64);
    let (mut between, mut above) = (0, 0);
    for (pair, half) in out.chunks_exact(2).zip(half.chunks_exact(2)) {
        assert_eq!(pair[1] > pair[0], half[1] > 0.3, "{pair:?} {half:?}");
        between += usize::from((0.3..0.5).contains(&half[1]));
        above += usize::from(half[1] > 0.5);
    }
    assert!(between > 9 && above > 9, "{between} {above}");
    // Smaller windows are padded, larger ones refused.
    assert_eq!(said(&mut model, 32, 64).len(), 32 * 64 * 2);
    assert!(model.probabilities(64, 96, &[0.0; 64 * 96 * 3], &mut Vec::new()).is_err());

    // One logit: the sigmoid is ours.
    let mut model = open("one_logit", &bytes()).unwrap();
    assert!(model.summary().contains("logits of one class"), "{}", model.summary());
    let out = said(&mut model, 32, 32);
    assert!(out.iter().all(|p| (0.0..=1.0).contains(p)) && out.iter().any(|p| *p < 0.5));

    // Numbers of classes.
    let mut model = open("ids", &bytes()).unwrap();
    assert_eq!(model.card.classes.names(), ["a", "b", "c"]);
    assert!(said(&mut model, 32, 64).iter().all(|p| *p == 0.0 || *p == 1.0));

    // 100 pixels hold windows of 96.
    let mut model = open("odd_fixed", &bytes()).unwrap();
    assert_eq!((model.tile(), model.largest()), (Some(96), Some(96)));
    said(&mut model, 96, 96);

    // Multiples of 64 only.
    let mut model = open("by64", &bytes()).unwrap();
    assert_eq!(model.multiple, 64);
    said(&mut model, 96, 32);

    let model = open("five_bands", &bytes()).unwrap();
    assert_eq!((model.card.bands, model.card.normalisation.mean.len()), (5, 5));
}

#[test]
fn what_makes_no_maps_is_refused() {
    let refused = |name: &str, settings: &OnnxSettings, words: &[&str]| {
        let error = open(name, settings).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert!(words.iter().all(|word| error.contains(word)) && error.contains(name), "{name}: {error}");
    };
    refused("classifier", &bytes(), &["no segmentation model", "1 x 3"]);
    refused("half", &bytes(), &["no segmentation model", "48 x 80"]);
    refused("two_inputs", &bytes(), &["2 inputs"]);
    refused("detector", &bytes(), &["Detector"]);
    refused("stuck", &bytes(), &["fails on a window"]);
    refused("missing", &bytes(), &["No such file"]);
    // What numbers it takes is not guessed.
    refused("nhwc_softmax", &OnnxSettings::default(), &["--normalise"]);
    let five = Normalisation { mean: vec![0.0; 2], std: vec![1.0; 2] };
    let five = OnnxSettings { input: Some(OnnxInput::Standard(five)), ..OnnxSettings::default() };
    refused("nhwc_softmax", &five, &["3 bands", "of 2"]);
    let classes = OnnxSettings { classes: Some(ClassMap::numbered(2)), ..bytes() };
    refused("nhwc_softmax", &classes, &["2 classes", "the model 3"]);
    let threshold = OnnxSettings { threshold: Some(0.2), ..bytes() };
    refused("nhwc_softmax", &threshold, &["threshold"]);
    // One size, which only the user knows.
    let model = open("stuck", &OnnxSettings { tile: Some(64), ..bytes() }).unwrap();
    assert_eq!(model.largest(), Some(64));
}

#[test]
fn damaged_files_are_refused_and_do_not_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let whole = std::fs::read(fixture("sigmoid_fixed.onnx")).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let _ = OnnxModel::open(&path, &OnnxSettings::default());
    }
    for at in 0..whole.len() {
        for change in [1, 0x7F, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            std::fs::write(&path, &bytes).unwrap();
            let _ = OnnxModel::open(&path, &OnnxSettings::default());
        }
    }
    for text in ["", "no model", "II*\0", "{}"] {
        std::fs::write(&path, text).unwrap();
        assert!(OnnxModel::open(&path, &bytes()).is_err(), "{text}");
    }
}
