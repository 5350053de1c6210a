//! Networks trained on scenes as they lie, and scenes at another resolution than a network's.

use std::path::Path;

use crate::support::{Place, write_tiff};

/// A scene of 16-bit bands on a grid of UTM zone 32 at the equator, its upper left corner at 500,000 east and 3,840 north,
/// where `value` is given metres from that corner. 0 means "no data".
fn scene(
    path: &Path,
    [width, height]: [usize; 2],
    bands: usize,
    pixel_m: f64,
    value: impl Fn(f64, f64, usize) -> u16,
) {
    let (short, long) =
        (|v: usize| (v as u16).to_le_bytes().to_vec(), |v: usize| (v as u32).to_le_bytes().to_vec());
    let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut pixels: Vec<u8> = Vec::new();
    for y in 0..height {
        for x in 0..width {
            for band in 0..bands {
                let sample = value((x as f64 + 0.5) * pixel_m, (y as f64 + 0.5) * pixel_m, band);
                pixels.extend(sample.to_le_bytes());
            }
        }
    }
    let keys: [u16; 16] = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632];
    let mut entries: Vec<(u16, u16, Vec<u8>)> = vec![
        (256, 4, long(width)),
        (257, 4, long(height)),
        (258, 3, short(16).repeat(bands)),
        (259, 3, short(1)),
        (262, 3, short(1)),
        (273, 4, long(8)),
        (277, 3, short(bands)),
        (278, 4, long(height)),
        (279, 4, long(pixels.len())),
        (33550, 12, doubles(&[pixel_m, pixel_m, 0.0])),
        (33922, 12, doubles(&[0.0, 0.0, 0.0, 500_000.0, 3_840.0, 0.0])),
        (34735, 3, keys.iter().flat_map(|v| v.to_le_bytes()).collect()),
        (42113, 2, b"0\0".to_vec()),
    ];
    if bands > 1 {
        entries.insert(9, (338, 3, short(0).repeat(bands - 1)));
    }
    write_tiff(path, &pixels, &entries);
}

/// Fields of 320 m: whether one is agriculture, else it is forest.
fn is_field(east_m: f64, south_m: f64) -> bool {
    let (x, y) = ((east_m / 320.0) as usize, (south_m / 320.0) as usize);
    (x * 7 + y * 5 + x * y) % 3 == 0 || (x + y) % 5 == 0
}

/// Three bands of noise that know nothing of the fields, and a fourth in which fields are bright.
fn land(east_m: f64, south_m: f64, band: usize) -> u16 {
    let (x, y) = ((east_m / 10.0) as usize, (south_m / 10.0) as usize);
    let noise = (x * 31 + y * 57 + x * y * 13 + band * 91) % 97;
    let bright = if band == 3 && is_field(east_m, south_m) { 1500 } else { 0 };
    (400 + 10 * noise + bright) as u16
}

/// The fields as polygons in longitude and latitude: on the equator, beside the zone's central meridian, both are
/// proportional to metres.
fn polygons(path: &Path, side_m: f64) {
    let lon = |east_m: f64| 9.0 + (east_m / (0.9996 * 6_378_137.0)).to_degrees();
    let lat = |south_m: f64| ((3840.0 - south_m) / (0.9996 * 6_335_439.327)).to_degrees();
    let count = (side_m / 320.0).ceil() as usize;
    let features: Vec<String> = (0..count * count)
        .map(|i| {
            let (x, y) = ((i % count) as f64 * 320.0, (i / count) as f64 * 320.0);
            let class = if is_field(x + 1.0, y + 1.0) { "agriculture" } else { "forest" };
            let corners = [[0.0, 0.0], [320.0, 0.0], [320.0, 320.0], [0.0, 320.0], [0.0, 0.0]];
            let corners = corners.map(|[dx, dy]| format!("[{:.9},{:.9}]", lon(x + dx), lat(y + dy)));
            format!(
                r#"{{"type":"Feature","properties":{{"kind":"{class}"}},"geometry":{{"type":"Polygon","coordinates":[[{}]]}}}}"#,
                corners.join(",")
            )
        })
        .collect();
    std::fs::write(path, format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, features.join(",")))
        .unwrap();
}

const TRAIN: &str = "train segment --model fcn8s --width 0.03125 --train scene.tif --labels fields.geojson --class-field kind \
                     --holdout 0.25 --levels 0:3000 --input 64 --batch-size 4 --lr 2e-3 --ema 0";

fn place(side: usize) -> Place {
    let place = Place::new();
    scene(&place.at("scene.tif"), [side; 2], 4, 10.0, land);
    polygons(&place.at("fields.geojson"), side as f64 * 10.0);
    place
}

/// The last validation's mean IoU of the two classes that there are.
fn mean_iou(place: &Place, run: &str) -> f64 {
    let lines = std::fs::read_to_string(place.at(run).join("metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    last["validation"]["mean_iou"].as_f64().unwrap()
}

/// The description in a file of weights.
fn card(path: &Path) -> serde_json::Value {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    serde_json::from_str(header["__metadata__"]["hectare"].as_str().unwrap()).unwrap()
}

fn areas(place: &Place, map: &str) -> (Vec<f64>, u64) {
    let table = place.hectare(&format!("area {map} --json")).exits(0).json();
    let classes = table["classes"].as_array().unwrap();
    let areas = classes.iter().map(|class| class["area_ha"].as_f64().unwrap()).collect();
    (areas, table["nodata_pixels"].as_u64().unwrap())
}

#[test]
fn a_fourth_band_tells_what_colours_cannot_and_maps_follow_at_any_resolution() {
    let place = place(384);
    let steps = "--steps 120 --windows 40 --validate-every 100";
    let said = place.hectare(&format!("{TRAIN} {steps} --out four")).exits(0);
    for words in ["4326", "32632", "held out", "windows an epoch"] {
        assert!(said.err.contains(words), "no {words:?} in {}", said.err);
    }
    place.hectare(&format!("{TRAIN} {steps} --bands 1,2,3 --out three")).exits(0);
    let (four, three) = (mean_iou(&place, "four"), mean_iou(&place, "three"));
    assert!(four > 0.8 && three < 0.6, "four bands {four}, colours alone {three}");

    // The model tells what it was trained on.
    let model = card(&place.at("four/weights/best.safetensors"));
    assert_eq!(model["spec"]["bands"], 4);
    assert_eq!(model["scene"]["bands"], serde_json::json!([0, 1, 2, 3]));
    assert_eq!(model["scene"]["scale"], serde_json::json!(vec![[0.0, 3000.0]; 4]));
    assert_eq!(model["ground_resolution"].as_f64().unwrap().round(), 10.0);
    let mean = model["normalisation"]["mean"].as_array().unwrap();
    assert!((mean[0].as_f64().unwrap() - 0.485).abs() < 1e-6, "{mean:?}");
    assert!((0.4..0.7).contains(&mean[3].as_f64().unwrap()), "{mean:?}");

    // Bands and levels need not be said again.
    let predict = "predict four/weights/best.safetensors";
    place.hectare(&format!("{predict} scene.tif --out map.tif -q")).exits(0);
    let (own, _) = areas(&place, "map.tif");
    let truth: usize =
        (0..144).filter(|i| is_field((i % 12 * 320 + 1) as f64, (i / 12 * 320 + 1) as f64)).count();
    let truth_ha = truth as f64 * 10.24;
    assert!((own[1] / truth_ha - 1.0).abs() < 0.25, "{own:?} {truth_ha}");
    // The same land in pixels of 5 m and 20 m, the last columns without data.
    for (name, pixel_m, side) in [("fine.tif", 5.0, 768), ("coarse.tif", 20.0, 192)] {
        let edge_m = 3840.0 - 5.0 * pixel_m;
        scene(
            &place.at(name),
            [side; 2],
            4,
            pixel_m,
            |x, y, band| if x > edge_m { 0 } else { land(x, y, band) },
        );
        place.refuses(&format!("{predict} {name} --out other.tif"), &[name, "10.000 m", "--resample"]);
        let line = format!("{predict} {name} --out {name}.map.tif --resample");
        let said = place.hectare(&line).exits(0);
        assert!(said.err.contains("pixels for each pixel"), "{}", said.err);
        let (resampled, nodata) = areas(&place, &format!("{name}.map.tif"));
        assert_eq!(nodata, 5 * side as u64);
        let all: f64 = resampled.iter().sum();
        assert!((all - 3.84 * edge_m / 10.0).abs() < 1e-6, "{all}");
        assert!((resampled[1] / own[1] - 1.0).abs() < 0.15, "{name}: {resampled:?} {own:?}");
        // Smaller windows, and other threads, change little and nothing.
        let before = std::fs::read(place.at(&format!("{name}.map.tif"))).unwrap();
        place.hectare(&format!("{line} --threads 1")).exits(0);
        assert!(std::fs::read(place.at(&format!("{name}.map.tif"))).unwrap() == before);
        place.hectare(&format!("{line} --tile 256 --overlap 192")).exits(0);
        let (tiled, _) = areas(&place, &format!("{name}.map.tif"));
        assert!((tiled[1] / resampled[1] - 1.0).abs() < 0.05, "{name}: {tiled:?} {resampled:?}");
    }
    place.refuses(&format!("{predict} fine.tif --out map2.tif --resample=200"), &["factor of 8"]);
    place.refuses(&format!("{predict} fine.tif --out map2.tif --resample --exact"), &["--exact"]);
    // Pictures have three bands.
    place.tiles("tiles", 1, 64);
    place.refuses(
        "predict four/weights/best.safetensors tiles/0000_sat.png --out masks",
        &["4 bands", "scenes"],
    );
    place.refuses("eval four/weights/best.safetensors --data tiles", &["4 bands"]);
}

#[cfg(unix)]
#[test]
fn threads_and_a_resume_change_no_bit() {
    let place = place(192);
    let line = format!("{TRAIN} --epochs 12 --windows 10 --validate-every 6 --brightness 0.1 --contrast 0.1");
    place.hectare(&format!("{line} --threads 1 --out one")).exits(0);
    place.hectare(&format!("{line} --threads 2 --workers 3 --out two")).exits(0);
    let bytes = |run: &str, file: &str| std::fs::read(place.at(run).join(file)).unwrap();
    for file in ["weights/last.safetensors", "weights/best.safetensors"] {
        assert!(bytes("one", file) == bytes("two", file), "{file}");
    }
    let mut child = place
        .command(&format!("{line} --checkpoint-every 1step --out cut"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !place.at("cut/state/last.state").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended on its own");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    place.hectare("train --resume cut --threads 1").exits(0);
    for file in ["weights/last.safetensors", "weights/best.safetensors"] {
        assert!(bytes("one", file) == bytes("cut", file), "{file}");
    }
    assert!(place.at("cut/masks/epoch_0001").read_dir().unwrap().count() > 0);
    // A report of such a run has no tiles, and says nothing wrong.
    place.hectare("report cut --out report.html").exits(0);
}

#[test]
fn first_layers_are_inflated_and_other_scenes_validate() {
    let place = place(192);
    place.init("fcn8s", "rgb.safetensors", "");
    scene(&place.at("north/other.tif"), [128; 2], 4, 10.0, land);
    let base = format!("{} --epochs 1 --windows 4", TRAIN.replace("--holdout 0.25", "--val north"));
    for (bands, words) in [
        ("4,3,2,1", "keep theirs"),
        ("4", "mean of red, green and blue"),
        ("1,2,3,4,1", "keep theirs"),
        ("1,2,3", "validation"),
    ] {
        let run = bands.replace(',', "");
        let said =
            place.hectare(&format!("{base} --init rgb.safetensors --bands {bands} --out {run}")).exits(0);
        assert!(said.err.contains(words), "{bands}: {}", said.err);
        let count = bands.split(',').count();
        let model = card(&place.at(&run).join("weights/last.safetensors"));
        assert_eq!(model["spec"]["bands"], count);
        // Such a network is described, exported and started from as any other.
        let file = format!("{run}/weights/last.safetensors");
        place.hectare(&format!("convert {file} --out {run}.onnx")).exits(0);
        let said = place.hectare(&format!("{base} --init {file} --out {run}b")).exits(0);
        assert!(!said.err.contains("is brought"), "{}", said.err);
        let again = card(&place.at(&format!("{run}b/weights/last.safetensors")));
        assert_eq!((&again["scene"], &again["normalisation"]), (&model["scene"], &model["normalisation"]));
    }
    // Held-out blocks beside a validation set are a third figure.
    let said = place.hectare(&format!("{base} --holdout 0.2 --out both")).exits(0);
    assert!(said.out.contains("held out"), "{}", said.out);
    place.refuses(
        &format!("{base} --init 4321/weights/last.safetensors --bands 1,2 --out x"),
        &["takes 4 bands"],
    );
}

#[test]
fn what_does_not_fit_is_said_before_work_begins() {
    let place = place(128);
    let base = format!("{TRAIN} --epochs 1 --out run");
    place.refuses(&base.replace("--labels fields.geojson --class-field kind", ""), &["scene", "--labels"]);
    place.refuses(&base.replace("--holdout 0.25", ""), &["--holdout", "--val"]);
    place.refuses(&base.replace("--levels 0:3000", ""), &["uint16", "--levels"]);
    place.refuses(&base.replace("0:3000", "3000:0"), &["--levels 3000:0"]);
    place.refuses(&base.replace("0:3000", "0:1,0:2"), &["2 scales", "4 bands"]);
    place.refuses(&format!("{base} --bands 1,2,9"), &["no band 9"]);
    place.refuses(&format!("{base} --bands 0,1"), &["--bands", "counted from 1"]);
    place.refuses(&base.replace("--class-field kind", "--class-field lc"), &["no field lc"]);
    place.refuses(&base.replace("--input 64", "--input whole"), &["--input whole"]);
    place.refuses(&format!("{base} --resize 64x64"), &["--resize"]);
    place.refuses(&base.replace("--input 64", "--input 128"), &["one block", "--val"]);
    scene(&place.at("coarse.tif"), [128; 2], 4, 30.0, land);
    place.refuses(&base.replace("--holdout 0.25", "--val coarse.tif"), &["30.000 m"]);
    std::fs::write(place.at("list.txt"), "scene.tif\ncoarse.tif\n").unwrap();
    place.refuses(&base.replace("--train scene.tif", "--train list.txt"), &["one resolution"]);
    std::fs::write(
        place.at("far.geojson"),
        r#"{"type":"FeatureCollection","features":[{"type":"Feature",
        "properties":{"kind":"forest"},"geometry":{"type":"Polygon",
        "coordinates":[[[9.5,0.5],[9.6,0.5],[9.6,0.6],[9.5,0.6],[9.5,0.5]]]}}]}"#,
    )
    .unwrap();
    place.refuses(&base.replace("fields.geojson", "far.geojson"), &["no pixel of scene"]);
    place.truncate("scene.tif", 0.5);
    place.refuses(&base, &["scene.tif", "truncated"]);
}

#[test]
fn tiles_tell_their_models_of_the_scene() {
    let place = Place::new();
    scene(&place.at("scene.tif"), [192; 2], 4, 10.0, land);
    polygons(&place.at("fields.geojson"), 1920.0);
    let cut = "data tile scene.tif --labels fields.geojson --class-field kind --bands 4,2,1 --scale 0:3000 --side 32 --out tiles";
    let said = place.hectare(&format!("{cut} --holdout 0.3")).exits(0);
    assert!(said.err.contains("EPSG:4326") || said.err.contains("4326"), "{}", said.err);
    place.hectare("data check tiles/train").exits(0);
    let train = "train segment --model fcn32s --width 0.03125 --train tiles/train --val tiles/val --input 32 --steps 2";
    place.hectare(&format!("{train} --out run")).exits(0);
    let model = card(&place.at("run/weights/last.safetensors"));
    assert_eq!(model["scene"]["bands"], serde_json::json!([3, 1, 0]));
    assert!((model["ground_resolution"].as_f64().unwrap() - 10.0).abs() < 1e-3);
    place.hectare("train --resume run").exits(0);
    place.hectare("predict run/weights/last.safetensors scene.tif --out map.tif").exits(0);
    // Scaled tiles have pixels of another size.
    place.hectare(&format!("{train} --resize 64x64 --out scaled")).exits(0);
    assert_eq!(
        card(&place.at("scaled/weights/last.safetensors"))["ground_resolution"],
        serde_json::Value::Null
    );
}
