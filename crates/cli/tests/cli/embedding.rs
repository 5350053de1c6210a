//! `hectare tsne` and `hectare embed`.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{Place, npy};

/// A matrix as a .npy file.
fn write_npy(path: &Path, rows: usize, columns: usize, data: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header += &" ".repeat(117 - header.len());
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data.iter().flat_map(|x| x.to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

/// 150 rows of 6 numbers in three clusters, and labels; the last two classes lie in each other.
fn clusters(place: &Place) {
    let mut data = Vec::new();
    let mut labels = String::new();
    for row in 0..150 {
        let class = row % 3;
        let noise = |column: usize| ((row * 7 + column * 13) * 2_654_435_761_usize % 1000) as f32 / 500.0;
        data.extend((0..6).map(|column| noise(column) + if class == 0 && column == 0 { 40.0 } else { 0.0 }));
        labels += ["baby\n", "tree\n", "woman\n"][class];
    }
    write_npy(&place.at("x.npy"), 150, 6, &data);
    std::fs::write(place.at("labels.txt"), labels).unwrap();
}

#[test]
fn tsne_writes_map_figures_and_pictures() {
    let place = Place::new();
    clusters(&place);
    let said = place.hectare("tsne x.npy --labels labels.txt --out map --threads 1").exits(0);
    assert!(
        said.out.contains("10-neighbour preservation") && said.out.contains("10-NN accuracy"),
        "{}",
        said.out
    );
    assert!(said.out.contains("{1 tree, 2 woman}") && !said.out.contains("baby"), "{}", said.out);
    let (shape, points) = npy(&place.at("map/map.npy"));
    assert_eq!((shape.as_str(), points.len()), ("150, 2", 300));
    let csv = std::fs::read_to_string(place.at("map/map.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines.len(), lines[0]), (151, "row,x,y,class"));
    assert_eq!(lines[5], format!("4,{},{},1", points[8], points[9]));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.at("map/map.json")).unwrap()).unwrap();
    assert_eq!(json["rows"], 150);
    assert_eq!(json["settings"]["perplexity"], 30.0);
    assert_eq!(json["classes"][2]["name"], "woman");
    assert!(json["kl"].as_f64().unwrap() > 0.0 && json["times"]["descent_s"].as_f64().unwrap() > 0.0);
    assert_eq!(json["quality"]["against"], "reduced");
    let groups = json["quality"]["groups"].as_array().unwrap();
    let spaces: Vec<_> =
        groups.iter().map(|g| (g["space"].as_str().unwrap(), g["classes"].to_string())).collect();
    assert_eq!(spaces, [("map", "[1,2]".to_string()), ("features", "[1,2]".to_string())]);
    let changes = json["changes"].to_string();
    assert!(changes.contains("learning rate of the early phase raised"), "{changes}");
    let picture = image::open(place.at("map/map.png")).unwrap().into_rgb8();
    assert!(picture.width() > 1600 && picture.height() > 1600);
    let colours: BTreeSet<[u8; 3]> = picture.pixels().map(|pixel| pixel.0).collect();
    assert!(colours.len() > 20);
    let svg = std::fs::read_to_string(place.at("map/map.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n") && svg.contains("1 tree"));
    assert!(std::fs::read_to_string(place.at("map/map.html")).unwrap().contains("\"title\":\"2 woman\""));
    // The same bytes again, with more threads.
    place.hectare("tsne x.npy --labels labels.txt --out again --threads 2").exits(0);
    for file in ["map.npy", "map.csv", "map.png", "map.svg", "map.html"] {
        let bytes = |folder: &str| std::fs::read(place.at(&format!("{folder}/{file}"))).unwrap();
        assert!(bytes("map") == bytes("again"), "{file}");
    }
}

#[test]
fn tsne_leaves_out_what_is_not_wanted() {
    let place = Place::new();
    clusters(&place);
    let line =
        "tsne x.npy --out map --no-quality --no-pictures --json --iterations 100 --start random --seed 3";
    let json = place.hectare(line).exits(0).json();
    assert!(json.get("quality").is_none() && json["settings"]["start"] == "random");
    let files: BTreeSet<_> =
        std::fs::read_dir(place.at("map")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, ["map.csv", "map.json", "map.npy"].map(Into::into).into());
    // From where that one ended.
    let said = place
        .hectare("tsne x.npy --out next --start map/map.npy --early-iterations 0 --iterations 0")
        .exits(0);
    assert!(said.out.starts_with("KL "), "{}", said.out);
    assert_eq!(npy(&place.at("next/map.npy")), npy(&place.at("map/map.npy")));
    let picture = image::open(place.at("next/map.png")).unwrap().into_rgb8();
    assert_eq!(picture.width(), 1600);
}

#[test]
fn tsne_refuses_what_it_cannot_use() {
    let place = Place::new();
    clusters(&place);
    place.refuses("tsne nothing.npy --out map", &["nothing.npy"]);
    place.refuses("tsne labels.txt --out map", &["labels.txt", "no .npy file"]);
    place.refuses("tsne x.npy --out x.npy/map", &["x.npy", "not a folder"]);
    place.refuses("tsne x.npy --out map --perplexity 0.2", &["perplexity is 0.2"]);
    place.refuses("tsne x.npy --out map --start map", &["neither pca nor random"]);
    place.refuses("tsne x.npy --out map --start x.npy", &["x.npy", "[150, 6]", "N x 2"]);
    place.refuses("tsne x.npy --out map --pca 5 --no-pca", &["--no-pca"]);
    std::fs::write(place.at("few.txt"), "1\n2\n").unwrap();
    place.refuses("tsne x.npy --labels few.txt --out map", &["2 labels for 150 rows"]);
    write_npy(&place.at("nan.npy"), 3, 2, &[1.0, 2.0, 3.0, 4.0, 5.0, f32::NAN]);
    place.refuses("tsne nan.npy --out map", &["nan.npy", "row 2, column 1", "NaN"]);
    write_npy(&place.at("flat.npy"), 0, 2, &[]);
    place.refuses("tsne flat.npy --out map", &["no rows"]);
}

#[test]
fn embed_shows_what_a_network_sees() {
    let place = Place::new();
    place.init("vgg16", "model.safetensors", "--classes 4 --input 32 --head hidden512");
    place.pictures("data", 4, 12);
    let said = place.hectare("embed model.safetensors --data data --out map --features").exits(0);
    assert!(said.err.contains("of node fc.0") && said.err.contains("perplexity lowered"), "{}", said.err);
    let (shape, features) = npy(&place.at("map/features.npy"));
    assert!(shape.starts_with("48, ") && features.iter().all(|x| x.is_finite()));
    let csv = std::fs::read_to_string(place.at("map/map.csv")).unwrap();
    assert!(csv.starts_with("row,x,y,class,name\n0,") && csv.contains(",3,3_11.png\n"), "{csv}");
    let page = std::fs::read_to_string(place.at("map/map.html")).unwrap();
    assert!(page.contains("\"thumbs\":{\"side\":32") && page.contains("3_11.png"));
    // The features are those of the command, whoever makes the map.
    place.hectare("tsne map/features.npy --out again --no-pictures").exits(0);
    assert_eq!(npy(&place.at("again/map.npy")), npy(&place.at("map/map.npy")));
    let said =
        place.hectare("embed model.safetensors --data data --out pool --node features.30 --limit 7").exits(0);
    assert!(said.err.contains("7 pictures") && said.err.contains("features.30"), "{}", said.err);
    place.refuses("embed model.safetensors --data data --out no --node fc.9", &["no node fc.9", "fc.3"]);
    place.refuses("embed model.safetensors --data nothing --out no", &["nothing"]);
}

#[test]
fn embed_averages_over_a_tile() {
    let place = Place::new();
    place.init("fcn32s", "model.safetensors", "--input 64");
    place.tiles("data", 5, 64);
    let said = place.hectare("embed model.safetensors --data data --out map").exits(0);
    assert!(said.err.contains("5 pictures, 128 features each, of node fcn32.3"), "{}", said.err);
    assert!(std::fs::read_to_string(place.at("map/map.csv")).unwrap().starts_with("row,x,y,name\n"));
}
