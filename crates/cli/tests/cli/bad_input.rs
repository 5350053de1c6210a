//! Whatever is wrong with the input: exit code 2, a message that names it, and nothing written.

use crate::support::Place;

/// A place with a segmentation model `m`, a classifier `c` and good data.
fn place() -> Place {
    let place = Place::new();
    place.init("fcn8s", "m.safetensors", "");
    place.init("vgg16", "c.safetensors", "--classes 3 --input 32");
    place.tiles("tiles", 3, 48);
    place.pictures("pictures", 3, 2);
    place
}

/// What `train segment` and `train classify` need besides data.
const SEGMENT: &str = "train segment --width 0.03125 --epochs 1 --batch-size 2 --input 32 --out run";
const CLASSIFY: &str = "train classify --width 0.03125 --epochs 1 --batch-size 2 --input 32 --out run";

#[test]
fn an_empty_folder() {
    let place = place();
    std::fs::create_dir(place.at("void")).unwrap();
    place.refuses("predict m.safetensors void --out out", &["void"]);
    place.refuses("eval m.safetensors --data void", &["void"]);
    place.refuses("eval c.safetensors --data void", &["void"]);
    place.refuses("data check void", &["void"]);
    place.refuses("score --labels void --pred tiles", &["void"]);
    place.refuses(&format!("{SEGMENT} --train void --val tiles"), &["void"]);
    place.refuses(&format!("{SEGMENT} --train tiles --val void"), &["void"]);
    place.refuses(&format!("{CLASSIFY} --train void --val pictures"), &["void"]);
}

#[test]
fn a_folder_that_is_not_there() {
    let place = place();
    place.refuses("predict m.safetensors nowhere --out out", &["nowhere", "not there"]);
    place.refuses("predict nowhere.safetensors tiles --out out", &["nowhere.safetensors"]);
    place.refuses("eval m.safetensors --data nowhere", &["nowhere"]);
    place.refuses("data check nowhere", &["nowhere"]);
    place.refuses("score --labels tiles --pred nowhere", &["nowhere"]);
    place.refuses(&format!("{SEGMENT} --train nowhere --val tiles"), &["nowhere"]);
    place.refuses(&format!("{CLASSIFY} --train pictures --val nowhere"), &["nowhere"]);
    place.refuses(
        &format!("{SEGMENT} --train tiles --val tiles --init nowhere.safetensors"),
        &["nowhere.safetensors"],
    );
    place.refuses("train --resume nowhere", &["nowhere"]);
}

#[test]
fn a_mask_of_another_size_than_its_image() {
    let place = place();
    place.mask("tiles/0001_mask.png", 40, 48, |_, _| 1);
    place.refuses("eval m.safetensors --data tiles", &["0001_mask.png", "40x48", "48x48"]);
    place.refuses(&format!("{SEGMENT} --train tiles --val tiles"), &["0001_mask.png", "40x48", "48x48"]);
    let said = place.hectare("data check tiles").exits(1);
    assert!(said.out.contains("0001_mask.png"), "{said:?}");
}

#[test]
fn a_colour_that_is_not_in_the_class_map() {
    let place = place();
    let mut mask = image::RgbImage::from_pixel(48, 48, image::Rgb([255, 255, 0]));
    (0..5).for_each(|x| mask.put_pixel(x, 0, image::Rgb([10, 240, 12])));
    mask.save(place.at("tiles/0002_mask.png")).unwrap();
    let words = ["0002_mask.png", "5 pixels", "10,240,12", "Forest"];
    place.refuses("eval m.safetensors --data tiles", &words);
    place.refuses(&format!("{SEGMENT} --train tiles --val tiles"), &words);
    let said = place.hectare("data check tiles").exits(1);
    assert!(words.iter().all(|word| said.out.contains(word)), "{said:?}");
}

#[test]
fn truncated_pictures() {
    let place = place();
    place.truncate("tiles/0001_sat.png", 0.6);
    place.refuses("predict m.safetensors tiles --out out", &["0001_sat.png"]);
    place.refuses("eval m.safetensors --data tiles", &["0001_sat.png"]);
    place.refuses(&format!("{SEGMENT} --train tiles --val tiles"), &["0001_sat.png"]);
    let said = place.hectare("data check tiles").exits(1);
    assert!(said.out.contains("0001_sat.png"), "{said:?}");

    let picture =
        image::RgbImage::from_fn(48, 48, |x, y| image::Rgb([x as u8 * 5, y as u8 * 5, (x * y) as u8]));
    picture.save(place.at("pictures/1_1.jpg")).unwrap();
    std::fs::remove_file(place.at("pictures/1_1.png")).unwrap();
    place.hectare("eval c.safetensors --data pictures").exits(0);
    place.truncate("pictures/1_1.jpg", 0.6);
    place.refuses("predict c.safetensors pictures --out out", &["1_1.jpg"]);
    place.refuses("predict m.safetensors pictures/1_1.jpg tiles/0000_sat.png --out out", &["1_1.jpg"]);
    place.refuses("eval c.safetensors --data pictures", &["1_1.jpg"]);
    place.refuses(&format!("{CLASSIFY} --train pictures --val pictures"), &["1_1.jpg"]);
}

#[test]
fn weights_of_another_model_or_class_count() {
    let place = place();
    place.init("fcn8s", "five.safetensors", "--classes 5");
    let train = format!("{SEGMENT} --model fcn8s --train tiles --val tiles");
    place.refuses(&format!("{train} --init five.safetensors"), &["five.safetensors"]);
    place.init("fcn32s", "thirty-two.safetensors", "");
    let wider = train.replace("0.03125", "0.0625");
    let coarser = wider.replace("fcn8s", "fcn32s");
    place.refuses(&format!("{coarser} --init m.safetensors"), &["m.safetensors", "--partial"]);
    place.init("fcn32s", "five-thirty-two.safetensors", "--classes 5");
    place.refuses(&format!("{train} --init five-thirty-two.safetensors"), &["five-thirty-two.safetensors"]);
    place.refuses(
        &format!("{wider} --init thirty-two.safetensors"),
        &["thirty-two.safetensors", "features.0.weight"],
    );
    place.refuses(&format!("{train} --init tiles"), &["tiles", "no weights"]);
    place.refuses(&format!("{train} --init c.safetensors"), &["c.safetensors"]);
    place.refuses("eval five.safetensors --data tiles", &["5 classes"]);
    place.pictures("four", 4, 1);
    place.refuses("eval c.safetensors --data four", &["3_0.png", "3 classes"]);
    std::fs::write(place.at("map.csv"), "name,r,g,b\na,0,0,0\nb,255,255,255\n").unwrap();
    place.refuses("predict m.safetensors tiles --out out --class-map map.csv", &["map.csv", "2 classes"]);
    place.refuses("predict tiles/0000_sat.png tiles --out out", &["0000_sat.png"]);
}

#[test]
fn damaged_weights() {
    let place = place();
    let mut bytes = std::fs::read(place.at("m.safetensors")).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(place.at("nan.safetensors"), &bytes).unwrap();
    place.refuses("predict nan.safetensors tiles --out out", &["nan.safetensors", "NaN"]);
    place.refuses("eval nan.safetensors --data tiles", &["nan.safetensors", "NaN"]);
    let train = format!("{SEGMENT} --model fcn8s --train tiles --val tiles");
    place.refuses(&format!("{train} --init nan.safetensors"), &["nan.safetensors", "NaN"]);
    for part in [0.0, 0.0001, 0.5, 0.99] {
        std::fs::write(place.at("short.safetensors"), &bytes[..(end as f64 * part) as usize]).unwrap();
        place.refuses("predict short.safetensors tiles --out out", &["short.safetensors"]);
    }
}

#[test]
fn an_output_that_cannot_be_written() {
    let place = place();
    // The tests may run as root, whom no permission stops: a folder below a regular file stops everybody.
    std::fs::write(place.at("file"), "x").unwrap();
    place.refuses("predict m.safetensors tiles --out file/out", &["file", "not a folder"]);
    place.refuses("predict m.safetensors tiles --out file", &["file", "not a folder"]);
    place.refuses("init fcn8s --width 0.03125 --seed 1 --out file/w.safetensors", &["file"]);
    place.refuses("init fcn8s --width 0.03125 --seed 1 --out tiles", &["tiles", "is a folder"]);
    place.refuses("demo --quick --out file/demo", &["file"]);
    for (start, data) in [(SEGMENT, "tiles"), (CLASSIFY, "pictures")] {
        let line = start.replace("--out run", "--out file/run");
        place.refuses(&format!("{line} --train {data} --val {data}"), &["file"]);
    }
}

#[test]
fn values_that_cannot_be() {
    let place = place();
    for line in [
        format!("{SEGMENT} --train tiles --val tiles --input 0"),
        format!("{CLASSIFY} --train pictures --val pictures --input 0"),
        "summary fcn8s --input 0".into(),
        "summary vgg16 --input 0x64".into(),
        "init vgg16 --seed 1 --out w.safetensors --input 0".into(),
    ] {
        let line = line.replace("--input 32 ", "");
        place.refuses(&line, &["--input", "at least 1"]);
    }
    place.refuses(
        &format!("{SEGMENT} --train tiles --val tiles --batch-size 0").replace("--batch-size 2 ", ""),
        &["batch-size"],
    );
    for (flags, words) in [
        ("--loss ce+focal", &["--loss", "ce+dice"]),
        ("--freeze fc.0", &["--freeze fc.0", "no node"]),
        ("--freeze *", &["every layer", "frozen"]),
        ("--lr-factor features=x", &["--lr-factor", "factor"]),
        ("--hours 1 --steps 3", &["--hours", "--steps"]),
        ("--checkpoint-every 5weeks", &["--checkpoint-every", "10m"]),
        ("--poly-power 2", &["--poly-power", "--schedule poly"]),
        ("--warmup-epochs 2", &["--warmup-epochs", "longer"]),
        ("--holdout 0.0001", &["--holdout", "none of the 3"]),
        ("--class-weights 1,2", &["--class-weights", "7 classes"]),
    ] {
        let line = format!("{SEGMENT} --train tiles --val tiles {flags}");
        let line = if flags.contains("--hours") { line.replace("--epochs 1 ", "") } else { line };
        place.refuses(&line, words);
    }
    place
        .refuses(&format!("{CLASSIFY} --train pictures --val pictures --loss ce+dice"), &["--loss", "areas"]);
    place.refuses("summary fcn8s --classes 0", &["--classes"]);
    place.refuses("summary fcn9s", &["fcn9s", "fcn8s"]);
    place.refuses("summary fcn8s --threads 0", &["--threads"]);
    place.refuses("summary fcn8s --head linear", &["--head"]);
    place.refuses("init vgg16 --seed 1 --out w.safetensors --geometry caffe", &["--geometry"]);
    place.refuses("init vgg16 --seed 1 --out w.safetensors --input 16", &["32x32", "16x16"]);
    place.refuses("summary", &["MODEL"]);
    place.refuses(&format!("{SEGMENT} --train tiles --val tiles --colour red"), &["--colour"]);
    place.refuses("train --resume run segment", &["cannot be used with"]);
    std::fs::write(place.at("wrong.toml"), "batchsize = 2\n").unwrap();
    place.refuses(
        &format!("{SEGMENT} --train tiles --val tiles --config wrong.toml"),
        &["wrong.toml", "batch_size"],
    );
}

#[test]
fn masks_beside_their_pictures() {
    let place = place();
    place.refuses("predict m.safetensors tiles --out tiles", &["0000_mask.png", "written over", "--out"]);
    place.refuses("predict m.safetensors tiles/0001_sat.png --out ./tiles/", &["0001_mask.png"]);
    // Where there are none, nothing is lost.
    std::fs::create_dir(place.at("bare")).unwrap();
    std::fs::copy(place.at("tiles/0000_sat.png"), place.at("bare/0000_sat.png")).unwrap();
    place.hectare("predict m.safetensors bare --out bare").exits(0);
    assert!(place.at("bare/0000_mask.png").exists());
}

#[test]
fn flags_that_would_do_nothing() {
    let place = place();
    std::fs::write(place.at("map.csv"), "name,r,g,b\na,0,0,0\nb,255,255,255\n").unwrap();
    place.refuses("data check pictures --class-map map.csv", &["--class-map", "--task segment"]);
    place.refuses("data check tiles --task classify --class-map map.csv", &["--class-map"]);
    place.refuses("eval c.safetensors --data pictures --min-miou 0.5", &["--min-miou", "--min-accuracy"]);
}

#[test]
fn two_inputs_of_one_stem() {
    let place = place();
    std::fs::create_dir(place.at("more")).unwrap();
    std::fs::copy(place.at("tiles/0000_sat.png"), place.at("more/0000.png")).unwrap();
    place.refuses("predict m.safetensors tiles more --out out", &["0000"]);
}
