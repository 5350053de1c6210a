//! Scenes to maps, and what is asked of maps.

use std::path::Path;

use crate::support::{Place, Said, write_tiff};

/// A scene of `bands` 8-bit bands in one strip, on a grid of 10 m pixels in UTM zone 32 unless `crs` is left out.
pub fn scene(
    path: &Path,
    [width, height]: [usize; 2],
    bands: usize,
    crs: bool,
    value: impl Fn(usize, usize, usize) -> u8,
) {
    let mut entries: Vec<(u16, u16, Vec<u8>)> = Vec::new();
    let short = |v: usize| (v as u16).to_le_bytes().to_vec();
    let long = |v: usize| (v as u32).to_le_bytes().to_vec();
    let pixels: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| (0..bands).map(move |band| (x, y, band)))
        .map(|(x, y, band)| value(x, y, band))
        .collect();
    entries.push((256, 4, long(width)));
    entries.push((257, 4, long(height)));
    entries.push((258, 3, short(8).repeat(bands)));
    entries.push((259, 3, short(1)));
    entries.push((262, 3, short(if bands == 3 { 2 } else { 1 })));
    entries.push((273, 4, long(8)));
    entries.push((277, 3, short(bands)));
    entries.push((278, 4, long(height)));
    entries.push((279, 4, long(pixels.len())));
    if bands != 3 && bands > 1 {
        entries.push((338, 3, short(0).repeat(bands - 1)));
    }
    if crs {
        let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        entries.push((33550, 12, doubles(&[10.0, 10.0, 0.0])));
        entries.push((33922, 12, doubles(&[0.0, 0.0, 0.0, 500_000.0, 5_200_000.0, 0.0])));
        let keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632];
        entries.push((34735, 3, keys.iter().flat_map(|v: &u16| v.to_le_bytes()).collect()));
    }
    write_tiff(path, &pixels, &entries);
}

pub fn land(x: usize, y: usize, band: usize) -> u8 {
    ((x / 9 * 37 + y / 7 * 59 + band * 91) % 211) as u8 + 20
}

fn place() -> Place {
    let place = Place::new();
    place.init("fcn8s", "model.safetensors", "");
    scene(&place.at("scene.tif"), [150, 90], 3, true, land);
    place
}

#[test]
fn a_scene_becomes_a_map_with_its_area() {
    let place = place();
    let said = place.hectare("predict model.safetensors scene.tif --out map.tif --confidence").exits(0);
    assert!(said.out.contains("area (ha)") && said.err.contains("no standard error"), "{said:?}");
    for file in ["map.tif", "map.qml", "map.tif.aux.xml", "map_confidence.tif"] {
        assert!(place.at(file).exists(), "{file}");
    }
    let table = place.hectare("area map.tif --json").exits(0).json();
    let classes = table["classes"].as_array().unwrap();
    assert_eq!((classes.len(), table["nodata_pixels"].as_u64()), (7, Some(0)));
    let sum: f64 = classes.iter().map(|class| class["area_ha"].as_f64().unwrap()).sum();
    let share: f64 = classes.iter().map(|class| class["share"].as_f64().unwrap()).sum();
    assert!((sum - 135.0).abs() < 1e-9 && (share - 1.0).abs() < 1e-12);
    assert_eq!(classes[1]["name"], "Agriculture");
    assert!(
        place
            .hectare("area map.tif --csv")
            .exits(0)
            .out
            .starts_with("id,name,pixels,area_ha,share\n0,Urban,")
    );
    // A picture of the same pixels by the same path, without a coordinate system.
    image::RgbImage::from_fn(150, 90, |x, y| {
        image::Rgb([0, 1, 2].map(|band| land(x as usize, y as usize, band)))
    })
    .save(place.at("same.png"))
    .unwrap();
    let said = place.hectare("predict model.safetensors same.png --out picture.tif").exits(0);
    assert!(said.err.contains("no coordinate system") && !said.out.contains("(ha)"), "{said:?}");
    let pixels = |said: Said| -> Vec<u64> {
        let table = said.json();
        table["classes"].as_array().unwrap().iter().map(|class| class["pixels"].as_u64().unwrap()).collect()
    };
    let same = pixels(place.hectare("area picture.tif --pixel-m 10 --json").exits(0));
    assert_eq!(same, pixels(place.hectare("area map.tif --json").exits(0)));
    // Threads change nothing.
    let before = std::fs::read(place.at("map.tif")).unwrap();
    place.hectare("predict model.safetensors scene.tif --out map.tif --threads 1 -q").exits(0);
    assert!(std::fs::read(place.at("map.tif")).unwrap() == before);
}

#[test]
fn folders_and_lists_of_scenes() {
    let place = place();
    scene(&place.at("scenes/a.tif"), [40, 30], 3, true, land);
    scene(&place.at("scenes/b.tif"), [64, 64], 3, true, land);
    std::fs::write(place.at("scenes/list.txt"), "# two scenes\na.tif\nb.tif\n").unwrap();
    for inputs in ["scenes", "scenes/list.txt", "scenes/a.tif scenes/b.tif"] {
        let _ = std::fs::remove_dir_all(place.at("maps"));
        let said = place.hectare(&format!("predict model.safetensors {inputs} --out maps")).exits(0);
        assert!(place.at("maps/a_map.tif").exists() && place.at("maps/b_map.tif").exists());
        assert!(said.out.contains("a_map.tif") && said.out.contains("b_map.tif"));
    }
    // Bands of one's choice.
    scene(&place.at("four.tif"), [40, 30], 4, true, |x, y, band| land(x, y, 3 - band));
    scene(&place.at("three.tif"), [40, 30], 3, true, land);
    place.hectare("predict model.safetensors four.tif --out four_map.tif --bands 4,3,2 -q").exits(0);
    place.hectare("predict model.safetensors three.tif --out three_map.tif -q").exits(0);
    let read = |name: &str| std::fs::read(place.at(name)).unwrap();
    assert!(read("four_map.tif") == read("three_map.tif"));
}

#[test]
fn points_and_polygons_of_a_map() {
    let place = place();
    place.hectare("predict model.safetensors scene.tif --out map.tif -q").exits(0);
    place.hectare("sample map.tif --per-class 5 --out points.gpkg").exits(0);
    place.hectare("sample map.tif --per-class 5 --out new/points.gpkg").exits(0);
    place.hectare("polygons map.tif --out new/er/map.gpkg").exits(0);
    assert!(place.at("new/points.gpkg").exists() && place.at("new/er/map.gpkg").exists());
    place.refuses("sample map.tif --out points.gpkg", &["may hold labels"]);
    place.refuses("area map.tif --reference points.gpkg", &["without a label"]);
    place.hectare("polygons map.tif --out map.gpkg --simplify 1").exits(0);
    assert!(std::fs::read(place.at("map.gpkg")).unwrap().starts_with(b"SQLite format 3\0"));
    place.hectare("polygons map.tif --out map.fgb").exits(0);
    assert!(std::fs::read(place.at("map.fgb")).unwrap().starts_with(b"fgb\x03"));
    place.hectare("polygons map.tif --out map.geojson").exits(0);
    let text = std::fs::read_to_string(place.at("map.geojson")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let features = document["features"].as_array().unwrap();
    let hectares: f64 = features.iter().map(|f| f["properties"]["area_ha"].as_f64().unwrap()).sum();
    assert!((hectares - 135.0).abs() < 1e-9);
    let said = place.hectare("area map.tif --zones map.geojson --zone-field class --json").exits(0).json();
    assert_eq!(said["zones"].as_array().unwrap().len(), features.len());
    place.refuses("polygons map.tif --out map.shp", &[".gpkg"]);
    place.refuses("polygons map.tif --out newer/map.shp", &[".gpkg"]);
}

#[test]
fn what_is_wrong_is_said_before_work_begins() {
    let place = place();
    let predict = |rest: &str| format!("predict model.safetensors {rest}");
    place.refuses(&predict("scene.tif --out scene.tif"), &["scene and map in one"]);
    place.refuses(&predict("scene.tif --out map.tif --palette"), &["--palette"]);
    place.refuses(&predict("scene.tif --out map.tif --overlay"), &["--overlay"]);
    place.refuses(&predict("scene.tif --out map.tif --tile 100"), &["multiples of 32"]);
    place.refuses(&predict("scene.tif --out map.tif --bands 1,2,7"), &["no band 7"]);
    place.refuses(&predict("scene.tif --out no/such/folder.txt/map.tif --tile 0"), &["--tile"]);
    place.refuses(&predict("missing.tif --out map.tif"), &["missing.tif"]);
    scene(&place.at("two.tif"), [40, 30], 2, true, land);
    place.refuses(&predict("two.tif --out map.tif"), &["2 bands", "--bands"]);
    place.tiles("tiles", 1, 32);
    place.refuses(&predict("tiles --out masks --confidence"), &["--confidence", "pictures"]);
    place.refuses(&predict("scene.tif tiles/0000_sat.png --out maps"), &["no scene"]);
    place.refuses(&predict("scene.tif two.tif --out map.tif"), &["one file"]);
    // A scene among pictures hides neither.
    scene(&place.at("tiles/stray.tif"), [40, 30], 3, true, land);
    place.refuses(&predict("tiles --out masks"), &["stray.tif", "0000_sat.png", "one by one"]);
    place.refuses("data check tiles", &["stray.tif", "0000_sat.png", "--task"]);
    for flag in ["--class-map x.csv", "--against scenes", "--quarantine q.txt"] {
        let (name, _) = flag.split_once(' ').unwrap();
        place.refuses(&format!("data check scene.tif {flag}"), &[name, "scene.tif"]);
    }
    scene(&place.at("cut.tif"), [150, 90], 3, true, land);
    place.truncate("cut.tif", 0.5);
    place.refuses(&predict("cut.tif --out map.tif"), &["cut.tif", "truncated"]);
    // A header that promises more pixels than there are.
    let mut bytes = std::fs::read(place.at("scene.tif")).unwrap();
    let at = bytes.windows(4).rposition(|four| four == 150u32.to_le_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&2_000_000_000u32.to_le_bytes());
    std::fs::write(place.at("absurd.tif"), bytes).unwrap();
    let said = place.hectare(&predict("absurd.tif --out map.tif"));
    assert!([2, 3].contains(&said.code) && !place.at("map.tif").exists(), "{said:?}");
    // Areas.
    scene(&place.at("nowhere.tif"), [40, 30], 1, false, |x, _, _| x as u8 % 7);
    place.refuses("area nowhere.tif", &["guess", "--pixel-m"]);
    place.refuses("area scene.tif", &["no map"]);
    place.hectare(&predict("two.tif --out map.tif --bands 1,2,1 -q")).exits(0);
    std::fs::copy(place.at("map.tif"), place.at("cut_map.tif")).unwrap();
    place.truncate("cut_map.tif", 0.9);
    place.refuses("area cut_map.tif", &["cut_map.tif", "truncated"]);
    place.refuses("polygons cut_map.tif --out cut.gpkg", &["truncated"]);
    std::fs::write(place.at("other.csv"), "name,r,g,b\nforest,0,255,0\nrest,9,9,9\n").unwrap();
    place.refuses("area map.tif --class-map other.csv", &["forest", "Agriculture"]);
    // Data nowhere, by an alpha channel: found while mapping, and nothing is left of the map.
    scene(
        &place.at("empty.tif"),
        [40, 30],
        2,
        true,
        |x, y, band| if band == 1 { 0 } else { land(x, y, band) },
    );
    let mut bytes = std::fs::read(place.at("empty.tif")).unwrap();
    let extra = bytes.windows(8).rposition(|entry| entry == [0x52, 1, 3, 0, 1, 0, 0, 0]).unwrap();
    bytes[extra + 8] = 2;
    std::fs::write(place.at("empty.tif"), bytes).unwrap();
    let before = place.tree().len();
    let said = place.hectare(&predict("empty.tif --out nothing.tif --bands 1,1,1")).exits(3);
    said.complains(&["empty.tif", "no data"]);
    assert_eq!(place.tree().len(), before);
    // Among others it does not keep them from being mapped.
    std::fs::create_dir(place.at("many")).unwrap();
    std::fs::copy(place.at("empty.tif"), place.at("many/a.tif")).unwrap();
    scene(&place.at("many/b.tif"), [40, 30], 2, true, land);
    for levels in ["", "--scale p2:98"] {
        let said = place.hectare(&predict(&format!("many --out maps --bands 1,1,1 {levels}"))).exits(3);
        assert!(!place.at("maps/a_map.tif").exists() && said.out.contains("b_map.tif"), "{said:?}");
        said.complains(&["a.tif holds no data", "1 of 2 scenes"]);
        std::fs::remove_dir_all(place.at("maps")).unwrap();
    }
    let said = place.hectare("area nowhere.tif --pixel-m 10 --class-map other.csv");
    assert_eq!(said.code, 2, "ids beyond the class map: {said:?}");
}

#[test]
fn scenes_are_listed_and_cut_into_tiles_that_train() {
    let place = place();
    scene(&place.at("scenes/a.tif"), [200, 200], 3, true, land);
    scene(&place.at("scenes/b.tif"), [64, 64], 3, true, land);
    let said = place.hectare("data check scenes --json").exits(0).json();
    assert_eq!(said["scenes"][0]["epsg"], 32632);
    assert_eq!(said["scenes"][1]["pixel_m"], 10.0);
    assert_eq!(said["overlaps"][0]["share"], 1.0);
    assert!(place.hectare("data check scenes").exits(0).out.contains("3 bands of uint8, no nodata"));
    std::fs::write(place.at("scenes/c.tif"), b"II*\0").unwrap();
    assert!(place.hectare("data check scenes").exits(1).out.contains("fault"));
    scene(&place.at("labels.tif"), [200, 200], 1, true, |x, y, _| ((x / 50 + y / 50) % 6) as u8);
    place
        .hectare("data tile scenes/a.tif --labels labels.tif --side 32 --holdout 0.4 --out tiles --seed 1")
        .exits(0);
    place.hectare("data check tiles/train").exits(0);
    let train = "train segment --model fcn32s --width 0.03125 --train tiles/train --val tiles/val --out run --steps 2 --input 32";
    place.hectare(train).exits(0);
    place.refuses("data tile scenes/a.tif --out tiles", &["not empty"]);
    place.refuses("data tile scenes/a.tif --out new --side 500", &["--side"]);
    place.refuses("data tile scenes/a.tif --out new --side 150 --holdout 0.5", &["one tile", "--side"]);
    place.refuses("data tile labels.tif --out new --side 64", &["--bands"]);
}

/// A limit on the length of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_half_file() {
    let place = place();
    place.hectare("predict model.safetensors scene.tif --out map.tif -q").exits(0);
    let before = place.tree();
    let limited = |line: &str| {
        // Signal 25, which a file over the limit raises, is ignored, so that writing fails instead.
        let script = format!("trap '' 25; ulimit -f 1; exec {} {line}", env!("CARGO_BIN_EXE_hectare"));
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(place.at("")).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Said { code, out: String::new(), err }.exits(3).complains(&["arge"]);
    };
    for line in [
        "polygons map.tif --out new.gpkg",
        "polygons map.tif --out new.fgb",
        "polygons map.tif --out new.geojson",
        "predict model.safetensors scene.tif --out new.tif --probabilities",
        "predict model.safetensors scene.tif --out map.tif --tta",
    ] {
        limited(line);
        for partial in ["new.tif.partial", "map.tif.partial"] {
            let _ = std::fs::remove_dir_all(place.at(partial));
        }
        assert!(place.tree() == before, "{line}");
    }
}

#[test]
fn specks_go() {
    let place = place();
    let said = place.hectare("predict model.safetensors scene.tif --out map.tif --sieve 0.3").exits(0);
    assert!(said.err.contains("less than 30 pixels"), "{said:?}");
    // Larger than the map: all of it is one speck, or all are among specks alone.
    place
        .hectare(&format!("predict model.safetensors scene.tif --out map.tif --sieve {}px", usize::MAX))
        .exits(0);
    place.refuses("predict model.safetensors scene.tif --out map.tif --sieve x", &["--sieve"]);
}
