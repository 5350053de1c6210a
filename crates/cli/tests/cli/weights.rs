//! Weights in and out: files of others, files that are none, downloads, and conversion.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Place, Said};

const TRAIN: &str = "train classify --width 0.03125 --epochs 1 --batch-size 2 --input 32 --out run \
                     --train pictures --val pictures";

/// A place with a classifier `c`, a segmentation model `m` and pictures.
fn place() -> Place {
    let place = Place::new();
    place.init("fcn8s", "m.safetensors", "");
    place.init("vgg16", "c.safetensors", "--classes 3 --input 32");
    place.pictures("pictures", 3, 2);
    place
}

/// Every command that opens a file refuses this one.
#[track_caller]
fn refused(place: &Place, file: &str, words: &[&str]) {
    place.refuses(&format!("predict {file} pictures --out out"), words);
    place.refuses(&format!("convert {file} --out out.onnx"), words);
    place.refuses(&format!("{TRAIN} --init {file} --partial"), words);
}

/// A file of the tests of the reader.
fn torch_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../net/tests/fixtures/torch").join(name)
}

#[test]
fn files_of_torch_save_that_are_no_state_dict() {
    let place = place();
    for container in ["pth", "old.pth"] {
        for (name, words) in [
            // `os.system` is called posix.system in a pickle, or nt.system.
            ("calls", &["wants to call ", ".system"][..]),
            ("huge", &["more numbers than the file can hold"]),
            ("spread", &["more numbers than the file can hold"]),
            ("beyond", &["reaches beyond its storage"]),
            ("empty", &["no tensors"]),
            ("module", &["wants to call "]),
            ("list", &["no state_dict"]),
        ] {
            let file = format!("{name}.{container}");
            std::fs::copy(torch_file(&file), place.at(&file)).unwrap();
            refused(&place, &file, &[&[file.as_str()], words].concat());
        }
        let whole = std::fs::read(torch_file(&format!("plain.{container}"))).unwrap();
        let file = format!("cut.{container}");
        std::fs::write(place.at(&file), &whole[..whole.len() / 2]).unwrap();
        refused(&place, &file, &[&file]);
    }
}

/// Writes `from` as `to`, with its header and numbers changed.
fn changed(place: &Place, from: &str, to: &str, change: impl Fn(&mut Value, &mut [u8])) {
    let bytes = std::fs::read(place.at(from)).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + len]).unwrap();
    let mut numbers = bytes[8 + len..].to_vec();
    change(&mut header, &mut numbers);
    let header = header.to_string();
    let out = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat();
    std::fs::write(place.at(to), out).unwrap();
}

#[test]
fn safetensors_files_that_are_no_weights() {
    let place = place();
    changed(&place, "c.safetensors", "huge.safetensors", |header, _| {
        header["features.0.weight"]["shape"] = json!([1_u64 << 60]);
    });
    refused(&place, "huge.safetensors", &["huge.safetensors"]);
    changed(&place, "c.safetensors", "swapped.safetensors", |header, _| {
        let shape = header["features.2.weight"]["shape"].as_array_mut().unwrap();
        shape.rotate_left(2);
    });
    let words = ["swapped.safetensors", "features.2.weight"];
    place.refuses("predict swapped.safetensors pictures --out out", &words);
    place.refuses(&format!("{TRAIN} --init swapped.safetensors"), &words);
    changed(&place, "c.safetensors", "nan.safetensors", |header, numbers| {
        let start = header["features.0.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
        numbers[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    refused(&place, "nan.safetensors", &["features.0.weight", "NaN"]);
    std::fs::write(place.at("text.pth"), "no weights").unwrap();
    refused(&place, "text.pth", &["text.pth"]);
    std::fs::write(place.at("nothing.pth"), "").unwrap();
    refused(&place, "nothing.pth", &["nothing.pth"]);
}

#[test]
fn a_bare_file_of_bgr_is_folded() {
    let place = place();
    changed(&place, "c.safetensors", "bare.safetensors", |header, _| {
        header.as_object_mut().unwrap().remove("__metadata__");
    });
    let read = |file: &str| std::fs::read(place.at(file)).unwrap();
    place.hectare("convert bare.safetensors --out rgb.safetensors").exits(0);
    let said = place.hectare("convert bare.safetensors --out bgr.safetensors --input-order bgr255").exits(0);
    assert!(said.err.contains("input bgr255"), "{said:?}");
    assert!(read("rgb.safetensors") != read("bgr.safetensors"));
    for (file, mean) in [("rgb.safetensors", 0.485), ("bgr.safetensors", 123.68 / 255.0)] {
        changed(&place, file, "copy.safetensors", |header, _| {
            let card = header["__metadata__"]["hectare"].as_str().unwrap();
            let card: Value = serde_json::from_str(card).unwrap();
            let found = card["normalisation"]["mean"][0].as_f64().unwrap();
            assert!((found - mean).abs() < 1e-6, "{file}: {found}");
        });
    }
    let said = place.hectare(&format!("{TRAIN} --init bare.safetensors --init-order bgr255")).exits(0);
    assert!(said.err.contains("input bgr255 folded"), "{said:?}");
    let again = TRAIN.replace("--out run", "--out again");
    let words = ["c.safetensors", "--init-order"];
    place.refuses(&format!("{again} --init c.safetensors --init-order bgr255"), &words);
    place.refuses(&format!("{again} --init-order bgr255"), &["--init"]);
}

#[test]
fn conversion_refuses_what_it_cannot_write() {
    let place = place();
    place.hectare("convert m.safetensors --out new/m.onnx --softmax --input bytes --tile 64").exits(0);
    let bytes = std::fs::read(place.at("new/m.onnx")).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("model_type") && holds("\"Segmentor\"") && holds("Agriculture") && holds("tile_size"));
    place.refuses("convert m.safetensors --out m.h5", &["m.h5", ".onnx", ".safetensors"]);
    place.refuses("convert m.safetensors --out w.safetensors --softmax", &["--softmax"]);
    place.refuses("convert m.safetensors --out w.safetensors --tile 64", &["--tile"]);
    place.refuses("convert c.safetensors --out c.onnx --tile 64", &["--tile", "vgg16"]);
    place.refuses("convert m.safetensors --out m.onnx --geometry caffe --tile 25", &["26"]);
    place.hectare("convert m.safetensors --out again.safetensors").exits(0);
    let read = |file: &str| std::fs::read(place.at(file)).unwrap();
    assert!(read("m.safetensors") == read("again.safetensors"));
}

/// Trains from the published weights, with a cache of the test's own and no server to be reached.
fn from_imagenet(place: &Place, more: &str) -> Said {
    let output = place
        .command(&format!("{TRAIN} --init imagenet {more}"))
        .env("XDG_CACHE_HOME", place.at("cache"))
        .env_remove("TORCH_HOME")
        // Nobody listens there.
        .env("HECTARE_MIRROR", "http://127.0.0.1:1")
        .env("no_proxy", "127.0.0.1")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

#[test]
fn published_weights_come_from_the_cache_or_say_where_to_put_them() {
    let place = place();
    let path = "cache/hectare/vgg16-397923af.pth";
    let there = place.at(path).display().to_string();
    let said = from_imagenet(&place, "--offline").exits(2);
    said.complains(&["vgg16-397923af.pth", "--offline", "put it at", &there]);
    let said = from_imagenet(&place, "").exits(3);
    said.complains(&["http://127.0.0.1:1/vgg16-397923af.pth", "put it at", &there]);
    assert!(!place.at("run").exists());
    // Put there by hand: another number of classes, so that the head starts anew.
    place.init("vgg16", path, "--classes 4 --input 32");
    let said = from_imagenet(&place, "--offline").exits(0);
    assert!(said.err.contains(&there), "{said:?}");
    assert!(said.err.contains("starts anew"), "{said:?}");
}
