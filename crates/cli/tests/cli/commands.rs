//! Every command that does not train.

use std::io::Read;
use std::process::Stdio;

use crate::support::{PALETTE, Place, npy};

#[test]
fn summary_prints_as_pytorch_does() {
    let place = Place::new();
    let said = place.hectare("summary fcn8s --geometry caffe").exits(0);
    for line in [
        "(0): Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1), padding=(100, 100))",
        "(upscore8): ConvTranspose2d(7, 7, kernel_size=(16, 16), stride=(8, 8), bias=False)",
    ] {
        assert!(said.out.contains(line), "{line} is not in\n{}", said.out);
    }
    let said = place.hectare("summary vgg16").exits(0);
    assert!(said.out.contains("(0): Linear(8192, 50, bias=True)"), "{}", said.out);
    let json = place.hectare("summary vgg16 --json").exits(0).json();
    // Trunk 14,714,688 and 8192 x 50 + 50.
    assert!(json.to_string().contains("15124338"), "{json}");
    for model in ["vgg16", "vgg16_bn", "vgg16_unet", "fcn32s", "fcn16s", "fcn8s"] {
        place.hectare(&format!("summary {model} --width 0.125 --input 96x64 --batch-size 2 -q")).exits(0);
    }
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let place = Place::new();
    let mut child =
        place.command("summary fcn8s").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

#[test]
fn init_writes_the_same_bytes_from_the_same_seed() {
    let place = Place::new();
    place.init("fcn8s", "deep/er/a.safetensors", "");
    place.init("fcn8s", "b.safetensors", "--threads 1");
    let bytes = |path: &str| std::fs::read(place.at(path)).unwrap();
    assert_eq!(bytes("deep/er/a.safetensors"), bytes("b.safetensors"));
    place.hectare("init fcn8s --width 0.03125 --seed 2 --out c.safetensors").exits(0);
    assert_ne!(bytes("b.safetensors"), bytes("c.safetensors"));
}

#[test]
fn data_check_counts() {
    let place = Place::new();
    place.pictures("pictures", 3, 4);
    place.tiles("tiles", 4, 40);
    let json = place.hectare("data check pictures --json").exits(0).json();
    assert_eq!((&json["task"], &json["samples"]), (&"classify".into(), &12.into()));
    let json = place.hectare("data check tiles --json").exits(0).json();
    assert_eq!((&json["task"], &json["samples"]), (&"segment".into(), &4.into()));
    assert_eq!(json["classes"][1]["share"], 0.5);
    let said = place.hectare("data check tiles").exits(0);
    assert!(said.out.contains("Agriculture") && said.out.contains("40 x 40"), "{said:?}");
    std::fs::remove_file(place.at("tiles/0002_mask.png")).unwrap();
    let said = place.hectare("data check tiles --task segment").exits(1);
    assert!(said.out.contains("0002_sat.png"), "{said:?}");
}

#[test]
fn predict_writes_masks_of_the_tiles_own_size() {
    let place = Place::new();
    place.init("fcn8s", "m.safetensors", "");
    place.tiles("tiles", 2, 48);
    image::RgbImage::from_fn(61, 37, |x, y| image::Rgb([x as u8 * 4, y as u8 * 6, 90]))
        .save(place.at("odd.jpg"))
        .unwrap();
    place.hectare("predict m.safetensors tiles odd.jpg --out a/b --probabilities").exits(0);
    let mut names: Vec<_> = std::fs::read_dir(place.at("a/b"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["0000_mask.png", "0000_sat.npy", "0001_mask.png", "0001_sat.npy", "odd.npy", "odd_mask.png"]
    );
    let mask = image::open(place.at("a/b/odd_mask.png")).unwrap();
    assert_eq!(mask.color(), image::ColorType::Rgb8);
    let mask = mask.into_rgb8();
    assert_eq!(mask.dimensions(), (61, 37));
    let (shape, probabilities) = npy(&place.at("a/b/odd.npy"));
    assert_eq!(shape, "7, 37, 61");
    let plane = 61 * 37;
    for (i, pixel) in mask.pixels().enumerate() {
        let of = |class: usize| probabilities[class * plane + i];
        let best = (0..7).max_by(|&a, &b| of(a).total_cmp(&of(b)).then(b.cmp(&a))).unwrap();
        assert_eq!(pixel.0, PALETTE[best]);
        assert!(((0..7).map(of).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    // The same again with a palette: the same colours from one band of ids.
    place.hectare("predict m.safetensors odd.jpg --out c --palette --threads 1").exits(0);
    let reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(place.at("c/odd_mask.png")).unwrap()));
    assert_eq!(reader.read_info().unwrap().info().color_type, png::ColorType::Indexed);
    assert_eq!(image::open(place.at("c/odd_mask.png")).unwrap().into_rgb8(), mask);
    // Any geometry takes the file.
    place.hectare("predict m.safetensors odd.jpg --out d --geometry caffe").exits(0);
}

#[test]
fn predict_writes_test_pred_csv() {
    let place = Place::new();
    place.init("vgg16", "c.safetensors", "--classes 4 --input 32");
    place.pictures("pictures", 3, 3);
    place.hectare("predict c.safetensors pictures --out out --probabilities").exits(0);
    let csv = std::fs::read_to_string(place.at("out/test_pred.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!((lines[0], lines.len()), ("image_id,label", 10));
    assert!(csv.ends_with('\n') && !csv.contains('\r'));
    let (shape, probabilities) = npy(&place.at("out/probabilities.npy"));
    assert_eq!(shape, "9, 4");
    let names: Vec<&str> = lines[1..].iter().map(|line| line.split_once(',').unwrap().0).collect();
    assert!(names.is_sorted() && names[0] == "0_0.png", "{names:?}");
    for (line, row) in lines[1..].iter().zip(probabilities.chunks(4)) {
        let label: usize = line.split_once(',').unwrap().1.parse().unwrap();
        assert!(row.iter().all(|&p| p <= row[label]));
    }
}

#[test]
fn eval_agrees_with_score() {
    let place = Place::new();
    place.init("fcn32s", "m.safetensors", "");
    place.tiles("tiles", 3, 40);
    place.hectare("predict m.safetensors tiles --out pred").exits(0);
    std::fs::create_dir(place.at("labels")).unwrap();
    for index in 0..3 {
        let name = format!("{index:04}_mask.png");
        std::fs::copy(place.at("tiles").join(&name), place.at("labels").join(&name)).unwrap();
    }
    let eval = place.hectare("eval m.safetensors --data tiles --json").exits(0).json();
    let score = place.hectare("score --labels labels --pred pred --json").exits(0).json();
    for key in ["protocol", "classes", "mean_iou", "confusion", "images"] {
        assert_eq!(eval[key], score[key], "{key}");
    }
    let said = place.hectare("eval m.safetensors --data tiles --protocol ignore").exits(0);
    assert!(said.out.contains("protocol ignore") && said.out.contains("Rangeland"), "{said:?}");
    place.hectare("eval m.safetensors --data tiles --min-miou 1.01").exits(1);
    place.hectare("eval m.safetensors --data tiles --min-accuracy 0").exits(0);
    let said = place.hectare("eval m.safetensors --data tiles --min-accuracy 1.01").exits(1);
    assert!(said.err.contains("pixel accuracy"), "{said:?}");
}

#[test]
fn eval_prints_accuracy() {
    let place = Place::new();
    place.init("vgg16_bn", "c.safetensors", "--classes 3 --input 32 --head hidden512");
    place.pictures("pictures", 3, 3);
    let json = place.hectare("eval c.safetensors --data pictures --json").exits(0).json();
    assert_eq!(json["images"], 9);
    let said = place.hectare("eval c.safetensors --data pictures").exits(0);
    assert!(said.out.starts_with("accuracy 0."), "{said:?}");
}

#[test]
fn demo_quick_runs_to_the_end() {
    let place = Place::new();
    let said = place.hectare("demo --quick --out demo").exits(0);
    assert!(
        said.out.contains("accuracy") && said.out.contains("FCN32s") && said.out.contains("FCN8s"),
        "{said:?}"
    );
    for path in [
        "demo.png",
        "report.html",
        "masks/fcn8s/0001_mask.png",
        "runs/fcn32s/weights/best.safetensors",
        "data/tiles/val/0000_sat.png",
    ] {
        assert!(place.at("demo").join(path).is_file(), "{path}");
    }
    place.refuses("demo --quick --out demo", &["demo", "already holds"]);
}

#[test]
fn a_single_picture_is_named_on_stdout() {
    let place = Place::new();
    place.init("vgg16", "c.safetensors", "--classes 3 --input 32");
    place.pictures("pictures", 3, 1);
    let said = place.hectare("predict c.safetensors pictures/1_0.png --out out").exits(0);
    let (name, rest) = said.out.trim().split_once(": ").unwrap();
    let (label, share) = rest.split_once(' ').unwrap();
    assert_eq!(name, "pictures/1_0.png");
    assert!(
        label.parse::<usize>().unwrap() < 3 && (0.33..=1.0).contains(&share.parse::<f64>().unwrap()),
        "{rest}"
    );
    let said = place.hectare("predict c.safetensors pictures --out out").exits(0);
    assert_eq!(said.out, "");
    place.refuses("predict c.safetensors pictures --out out --overlay", &["--overlay is for masks"]);
}

#[test]
fn masks_are_laid_over_their_pictures() {
    let place = Place::new();
    place.init("fcn8s", "s.safetensors", "--input 64");
    place.tiles("tiles", 1, 48);
    place.hectare("predict s.safetensors tiles --out out --overlay").exits(0);
    let open = |path: &str| image::open(place.at(path)).unwrap().to_rgb8();
    let (picture, mask, both) =
        (open("tiles/0000_sat.png"), open("out/0000_mask.png"), open("out/0000_overlay.png"));
    for ((a, b), mixed) in picture.iter().zip(mask.iter()).zip(both.iter()) {
        assert_eq!(*mixed, u8::midpoint(*a, *b));
    }
}
