//! Scenes mapped by ONNX models: hectare's own, exported, and those of others.

use std::path::PathBuf;

use hectare_map::MapFile;

use crate::maps::{land, scene};
use crate::support::Place;

/// A model of crates/map/tests/fixtures, copied into the folder.
fn model(place: &Place, name: &str) {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../map/tests/fixtures").join(name);
    std::fs::copy(from, place.at(name)).unwrap();
}

fn ids(place: &Place, name: &str) -> Vec<u8> {
    let mut map = MapFile::open(&place.at(name)).unwrap();
    let mut ids = Vec::new();
    let height = map.height();
    map.read_rows(0, height, &mut ids).unwrap();
    ids
}

#[test]
fn an_exported_network_makes_the_same_map() {
    let place = Place::new();
    scene(&place.at("scene.tif"), [610, 390], 3, true, land);
    for network in ["fcn8s", "fcn32s", "vgg16_unet"] {
        place.init(network, "m.safetensors", "");
        let windows = "--tile 512 --overlap 256";
        place.hectare(&format!("predict m.safetensors scene.tif --out own.tif -q {windows}")).exits(0);
        let own = ids(&place, "own.tif");
        assert!(own.iter().any(|id| *id != own[0]), "a map of more than one class");
        for flags in ["", "--softmax --input bytes", "--input unit", "--softmax --tile 512"] {
            place.hectare(&format!("convert m.safetensors --out m.onnx -q {flags}")).exits(0);
            place.hectare(&format!("predict m.onnx scene.tif --out other.tif -q {windows}")).exits(0);
            let other = ids(&place, "other.tif");
            assert_eq!(own.len(), other.len());
            let differ = own.iter().zip(&other).filter(|(a, b)| a != b).count();
            // A graph of fixed sides pads the last windows further, which border pixels see.
            let allowed = if flags.contains("--tile") { own.len() / 20 } else { own.len() / 10_000 };
            assert!(differ <= allowed, "{network} {flags}: {differ} of {} pixels", own.len());
        }
    }
    // The overlap of --exact is known of hectare's networks, in this file too.
    place.hectare("convert m.safetensors --out m.onnx").exits(0);
    place.hectare("predict m.onnx scene.tif --out exact.tif --exact --tile 1024 -q").exits(0);
    let names = |map: &str| {
        let table = place.hectare(&format!("area {map} --json")).exits(0).json();
        let classes = table["classes"].as_array().unwrap().clone();
        classes.into_iter().map(|class| class["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("exact.tif"), names("own.tif"));
}

#[test]
fn a_model_of_others_maps_a_scene() {
    let place = Place::new();
    model(&place, "unet.onnx");
    scene(&place.at("scene.tif"), [300, 200], 3, true, land);
    let line = "predict unet.onnx scene.tif --out map.tif --confidence --probabilities --sieve 4px -v";
    let said = place.hectare(line).exits(0);
    assert!(said.err.contains("logits of 4 classes"), "{said:?}");
    for file in ["map.tif", "map.qml", "map_confidence.tif", "map_probabilities.tif"] {
        assert!(place.at(file).exists(), "{file}");
    }
    let table = place.hectare("area map.tif --json").exits(0).json();
    assert_eq!(table["classes"][2]["name"], "forest");
    assert_eq!(table["classes"].as_array().unwrap().len(), 4);
    place.hectare("polygons map.tif --out map.gpkg").exits(0);
    // Threads change nothing; nor does a model that is run turned and turned back, but for the map.
    let before = std::fs::read(place.at("map.tif")).unwrap();
    place.hectare(&format!("{line} --threads 1")).exits(0);
    assert!(std::fs::read(place.at("map.tif")).unwrap() == before);
    place.hectare("predict unet.onnx scene.tif --out turned.tif --tta -q").exits(0);
    // Names and colours of one's own.
    std::fs::write(place.at("own.csv"), "name,r,g,b\na,1,2,3\nb,4,5,6\nc,7,8,9\nd,10,11,12\n").unwrap();
    let said = place.hectare("predict unet.onnx scene.tif --out map.tif --class-map own.csv").exits(0);
    assert!(said.out.contains("\na ") || said.out.contains(" a "), "{said:?}");
    // A model of one size and one class, which says nothing of its input.
    model(&place, "sigmoid_fixed.onnx");
    let said = place.hectare("predict sigmoid_fixed.onnx scene.tif --out roads.tif").exits(0);
    assert!(said.out.contains("road") && said.out.contains("background"), "{said:?}");
    let roads = |flags: &str| {
        place.hectare(&format!("predict sigmoid_fixed.onnx scene.tif --out roads.tif -q {flags}")).exits(0);
        ids(&place, "roads.tif").iter().filter(|id| **id == 1).count()
    };
    assert!(roads("--threshold 0.9") < roads("--threshold 0.1"));
    // Five bands, and pixels last.
    model(&place, "five_bands.onnx");
    scene(&place.at("five.tif"), [100, 60], 5, true, land);
    place.hectare("predict five_bands.onnx five.tif --out five_map.tif --normalise 0.5/0.2 -q").exits(0);
    model(&place, "nhwc_softmax.onnx");
    place.hectare("predict nhwc_softmax.onnx scene.tif --out last.tif --normalise bytes -q").exits(0);
}

#[test]
fn models_that_make_no_maps_are_refused() {
    let place = Place::new();
    for name in
        ["unet", "classifier", "half", "detector", "stuck", "two_inputs", "five_bands", "sigmoid_fixed"]
    {
        model(&place, &format!("{name}.onnx"));
    }
    scene(&place.at("scene.tif"), [100, 60], 3, true, land);
    let refuses = |rest: &str, words: &[&str]| place.refuses(&format!("predict {rest} --out map.tif"), words);
    refuses("classifier.onnx scene.tif --normalise unit", &["classifier.onnx", "no segmentation model"]);
    refuses("half.onnx scene.tif --normalise unit", &["no segmentation model"]);
    refuses("detector.onnx scene.tif", &["Detector"]);
    refuses("stuck.onnx scene.tif --normalise unit", &["stuck.onnx", "fails on a window"]);
    refuses("two_inputs.onnx scene.tif --normalise unit", &["2 inputs"]);
    refuses("five_bands.onnx scene.tif --normalise unit", &["3 bands", "takes 5"]);
    refuses("five_bands.onnx scene.tif", &["--normalise"]);
    refuses("unet.onnx scene.tif --normalise 1,2/1,1", &["3 bands", "of 2"]);
    refuses("unet.onnx scene.tif --normalise x", &["--normalise"]);
    refuses("unet.onnx scene.tif --threshold 0.5", &["threshold"]);
    refuses("unet.onnx scene.tif --exact", &["--exact", "--overlap"]);
    refuses("unet.onnx scene.tif --geometry caffe", &["--geometry"]);
    refuses("sigmoid_fixed.onnx scene.tif --tile 128", &["at most 64", "--tile"]);
    refuses("missing.onnx scene.tif", &["missing.onnx"]);
    std::fs::write(place.at("text.onnx"), "this is no model").unwrap();
    refuses("text.onnx scene.tif", &["text.onnx", "no ONNX model"]);
    std::fs::copy(place.at("scene.tif"), place.at("scene.onnx")).unwrap();
    refuses("scene.onnx scene.tif", &["scene.onnx", "no ONNX model"]);
    std::fs::copy(place.at("unet.onnx"), place.at("cut.onnx")).unwrap();
    place.truncate("cut.onnx", 0.6);
    refuses("cut.onnx scene.tif", &["cut.onnx"]);
    std::fs::write(place.at("two.csv"), "name,r,g,b\na,1,2,3\nb,4,5,6\n").unwrap();
    refuses("unet.onnx scene.tif --class-map two.csv", &["2 classes", "the model 4"]);
    // Flags of ONNX models with another kind, and ONNX models with pictures.
    place.init("fcn8s", "m.safetensors", "");
    refuses("m.safetensors scene.tif --scores logits", &["--scores", "ONNX"]);
    place.tiles("tiles", 1, 32);
    place.refuses("predict unet.onnx tiles --out masks", &["pictures", "--out MAP.tif"]);
    place.refuses("predict m.safetensors tiles --out masks --normalise unit", &["--normalise", "ONNX"]);
    // A picture is a scene if its output is a map.
    place.hectare("predict unet.onnx tiles/0000_sat.png --out picture.tif -q").exits(0);
}
