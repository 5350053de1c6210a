//! Levels of the classes' scores.

use crate::support::Place;

#[test]
fn what_tune_says_is_what_eval_finds() {
    let place = Place::new();
    place.tiles("tiles", 6, 48);
    for model in ["fcn16s", "vgg16_unet"] {
        place.init(model, "m.safetensors", "");
        let mean_iou = |file: &str| {
            let json = place.hectare(&format!("eval {file} --data tiles --json")).exits(0).json();
            json["mean_iou"].as_f64().unwrap()
        };
        let before = mean_iou("m.safetensors");
        let json =
            place.hectare("tune m.safetensors --data tiles --out new/t.safetensors --json").exits(0).json();
        assert_eq!((json["images"].as_u64(), json["pixels"].as_u64()), (Some(6), Some(6 * 48 * 48)));
        assert_eq!(json["mean_iou"][0].as_f64().unwrap(), before);
        let tuned = mean_iou("new/t.safetensors");
        assert!((json["mean_iou"][1].as_f64().unwrap() - tuned).abs() < 1e-3, "{json} {tuned}");
        assert!(tuned > before + 0.01, "{model}: {before} {tuned}");
        assert!(json["elsewhere"][1].as_f64().unwrap() > 0.0);
        assert_eq!(json["classes"][6]["offset"], 0.0, "Unknown does not count");
        // What has been tuned can be tuned again, and finds little.
        let again = place.hectare("tune new/t.safetensors --data tiles --out t2.safetensors --json").exits(0);
        assert!(again.json()["mean_iou"][1].as_f64().unwrap() >= tuned - 1e-3);
    }
    place.init("fcn8s", "m.safetensors", "");
    let said = place.hectare("tune m.safetensors --data tiles --holdout 0.5 --out t.safetensors").exits(0);
    assert!(said.out.contains("Agriculture") && !said.out.contains("Unknown"), "{said:?}");
    assert!(said.out.contains("mean IoU, protocol course") && said.out.contains("one half"), "{said:?}");
    place.hectare("convert t.safetensors --out t.onnx").exits(0);
    place.hectare("predict t.safetensors tiles --out masks").exits(0);
    // Training goes on from it, of its own stride and of another, and its scores are the same at first.
    for model in ["fcn8s", "fcn32s"] {
        let run = place.hectare(&format!(
            "train segment --model {model} --train tiles --val tiles --width 0.03125 --epochs 1 --lr 1e-9 --input 48 --out {model} \
             --init t.safetensors --plain"
        ));
        run.exits(0);
        let last =
            place.hectare(&format!("eval {model}/weights/last.safetensors --data tiles --json")).exits(0);
        if model == "fcn8s" {
            let first = place.hectare("eval t.safetensors --data tiles --json").exits(0).json();
            let off = last.json()["mean_iou"].as_f64().unwrap() - first["mean_iou"].as_f64().unwrap();
            assert!(off.abs() < 0.01, "{off}");
        }
    }
}

#[test]
fn what_says_little_is_said() {
    let place = Place::new();
    place.tiles("tiles", 1, 48);
    place.init("fcn8s", "m.safetensors", "");
    std::fs::copy(place.at("tiles/0000_sat.png"), place.at("tiles/0009_sat.png")).unwrap();
    let said = place.hectare("tune m.safetensors --data tiles --out t.safetensors").exits(0);
    assert!(said.err.contains("0009_sat.png has no partner") && said.err.contains("single tile"), "{said:?}");
}

#[test]
fn what_cannot_be_tuned_is_refused() {
    let place = Place::new();
    place.tiles("tiles", 2, 48);
    place.init("vgg16", "c.safetensors", "--input 32");
    place.init("fcn8s", "m.safetensors", "");
    place.refuses("tune c.safetensors --data tiles --out t.safetensors", &["vgg16", "pixels"]);
    place.refuses("tune m.safetensors --data tiles --holdout 0.0001 --out t.safetensors", &["none of the 2"]);
    place.refuses("tune m.safetensors --data nowhere --out t.safetensors", &["nowhere"]);
    place.refuses("tune m.safetensors --data tiles --out t.onnx", &["t.onnx"]);
    let said = place.hectare("tune m.safetensors --data tiles --holdout 1 --out t.safetensors").exits(2);
    assert!(said.err.contains("below 1"), "{said:?}");
}
