//! Reports of runs, and the whole way from two data folders to one.

use crate::support::Place;

const SEGMENT: &str =
    "train segment --width 0.03125 --batch-size 2 --input 32 --epochs 2 --train tiles --val tiles";
const CLASSIFY: &str =
    "train classify --width 0.0625 --batch-size 4 --input 32 --epochs 1 --train pictures --val pictures";

/// The text of a page or document.
fn text(place: &Place, path: &str) -> String {
    std::fs::read_to_string(place.at(path)).unwrap()
}

#[test]
fn a_page_of_three_runs() {
    let place = Place::new();
    place.tiles("tiles", 4, 64);
    place.pictures("pictures", 3, 6);
    for model in ["fcn32s", "fcn8s"] {
        place.hectare(&format!("{SEGMENT} --model {model} --out runs/{model}")).exits(0);
    }
    let said = place.hectare(&format!("{CLASSIFY} --out runs/p1 --plain")).exits(0);
    assert!(said.err.contains("epoch 1 step 2/5 loss "), "{said:?}");
    let events = std::fs::read_dir(place.at("runs/p1")).unwrap().flatten();
    let events =
        events.filter(|entry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents."));
    assert_eq!(events.count(), 1);

    let line = "report runs/p1 runs/fcn32s runs/fcn8s --out page/report.html";
    let said = place.hectare(line).exits(0);
    assert_eq!(said.out, "page/report.html\n");
    let page = text(&place, "page/report.html");
    for words in [
        "Problem 1: image classification",
        "Problem 2: semantic segmentation",
        "ConvTranspose2d(7, 7, kernel_size=(64, 64), stride=(32, 32)",
        "Confusion matrix of fcn8s",
        "difference",
        "Masks over time",
        "Worst tiles",
        "Mean IoU by distance from a class border",
        "Where fcn32s and fcn8s differ most",
        "The class map, and the share of pixels of each class",
        "training SHA-256",
        "seed",
    ] {
        assert!(page.contains(words), "no {words:?}");
    }
    assert!(!page.contains("http:") && !page.contains("https:"));
    assert_eq!(page.matches("<img ").count(), page.matches(" alt=\"").count());
    // A second time nothing is predicted again, and the page is the same.
    let before = std::fs::metadata(place.at("runs/fcn8s/eval/study.json")).unwrap().modified().unwrap();
    place.hectare(line).exits(0);
    assert_eq!(
        std::fs::metadata(place.at("runs/fcn8s/eval/study.json")).unwrap().modified().unwrap(),
        before
    );
    assert!(text(&place, "page/report.html") == page);

    // Without the tiles, and with a mask and half a line missing, what is left is shown.
    std::fs::rename(place.at("tiles"), place.at("elsewhere")).unwrap();
    std::fs::remove_file(place.at("runs/fcn8s/masks/epoch_0001/0000_mask.png")).unwrap();
    let metrics = text(&place, "runs/fcn8s/metrics.jsonl");
    std::fs::write(place.at("runs/fcn8s/metrics.jsonl"), &metrics[..metrics.len() - 40]).unwrap();
    let said = place.hectare("report runs/fcn8s --out page/left.html").exits(0);
    assert!(said.err.contains("line 2, was left out"), "{said:?}");
    assert!(text(&place, "page/left.html").contains("not kept"));
    place.hectare("report runs/fcn8s --data elsewhere --out page/report.md").exits(0);
    let document = text(&place, "page/report.md");
    assert!(
        document.contains("## Masks over time") && document.contains("](report_files/mask_"),
        "{document}"
    );
}

#[test]
fn runs_that_cannot_be_shown() {
    let place = Place::new();
    place.tiles("tiles", 2, 32);
    place.hectare(&format!("{SEGMENT} --model fcn8s --out run")).exits(0);
    place.refuses("report nothing --out a.html", &["nothing", "no run was begun here"]);
    std::fs::create_dir(place.at("a.html")).unwrap();
    place.refuses("report run --out a.html", &["a.html is a folder"]);
    place.refuses("report run --out tiles/0000_sat.png/b.html", &["cannot be written"]);
    place.refuses("report run --tsne tiles --out b.html", &["holds no map.csv"]);
    place.refuses("report run --class-map run/classes.toml --out b.html", &["--class-map", "classifier"]);
    let copy = |to: &str| {
        std::fs::create_dir(place.at(to)).unwrap();
        for file in ["config.toml", "env.json", "classes.toml", "metrics.jsonl"] {
            std::fs::copy(place.at("run").join(file), place.at(to).join(file)).unwrap();
        }
    };
    copy("other");
    let classes = text(&place, "other/classes.toml").replace("Water", "Sea");
    std::fs::write(place.at("other/classes.toml"), classes).unwrap();
    let words = ["class 4 is Sea (0,0,255) in other and Water (0,0,255) in run"];
    place.refuses("report run other --out b.html", &words);
    copy("without");
    std::fs::remove_file(place.at("without/metrics.jsonl")).unwrap();
    place.refuses("report without --out b.html", &["without", "no metrics"]);
    std::fs::write(place.at("without/metrics.jsonl"), "").unwrap();
    place.refuses("report without --out b.html", &["not one epoch is done"]);
}

#[test]
fn reproduce_goes_all_the_way_and_skips_what_is_done() {
    let place = Place::new();
    place.tiles("data/p2_data/train", 4, 64);
    place.tiles("data/p2_data/validation", 2, 64);
    place.pictures("data/p1_data/train_50", 3, 4);
    place.refuses("reproduce --data data --out out", &["p1_data/val_50 is not there"]);
    place.pictures("data/p1_data/val_50", 3, 2);
    let line = "reproduce --data data --out out --epochs 1 --width 0.03125 --classify-input 32 --input 32";
    place.refuses(&format!("{line} --init none.pth"), &["none.pth is not there", "imagenet"]);
    place.refuses(&line.replace("0.03125", "0"), &["width"]);
    let mut command = place.command(&format!("{line} --init imagenet"));
    // Nobody listens there.
    command.env("HECTARE_MIRROR", "http://127.0.0.1:1").env("no_proxy", "127.0.0.1");
    command.env("XDG_CACHE_HOME", place.at("cache")).env_remove("TORCH_HOME");
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(3) && err.contains("vgg16-397923af.pth"), "{err}");
    assert!(!place.at("out").exists());
    let said = place.hectare(line).exits(0);
    for words in ["classifier", "fcn32s", "fcn16s", "fcn8s", "report.html", "report.md"] {
        assert!(said.out.contains(words), "{said:?}");
    }
    assert!(said.err.contains("expected to end about"), "{said:?}");
    let grade = text(&place, "out/scores/fcn8s.txt");
    assert!(grade.starts_with("class #0 : ") && grade.contains("mean_iou: "), "{grade}");
    let page = text(&place, "out/report.html");
    assert!(page.contains("fcn16s") && page.contains("t-SNE of the features"));
    // Once more: nothing is trained again; other settings are refused.
    let weights = |run: &str| {
        let file = place.at(&format!("out/runs/{run}/weights/last.safetensors"));
        std::fs::metadata(file).unwrap().modified().unwrap()
    };
    let before = weights("fcn8s");
    place.hectare(line).exits(0);
    assert_eq!(weights("fcn8s"), before);
    place.refuses(&format!("{line} --seed 7"), &["begun with other settings"]);
    // A stage that was killed is gone on with.
    std::fs::remove_dir_all(place.at("out/runs/fcn8s")).unwrap();
    place.hectare(line).exits(0);
    assert!(weights("fcn8s") > before);
}

#[test]
fn reproduce_keeps_to_its_hours() {
    let place = Place::new();
    place.tiles("data/p2_data/train", 2, 64);
    place.tiles("data/p2_data/validation", 1, 64);
    place.pictures("data/p1_data/train_50", 2, 2);
    place.pictures("data/p1_data/val_50", 2, 1);
    let line = "reproduce --data data --out out --hours 0.002 --width 0.03125";
    let said = place.hectare(line).exits(0);
    assert!(said.err.contains("crops of"), "{said:?}");
    assert!(text(&place, "out/report.html").contains("Problem 2"));
    place.refuses("reproduce --data data --out b --hours 0", &["above 0"]);
    place.refuses("reproduce --data data --out b --epochs 1,2", &["four"]);
}
