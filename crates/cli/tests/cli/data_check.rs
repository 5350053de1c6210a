//! `data check`: what it finds, and training without it.

use crate::support::Place;

const SEGMENT: &str =
    "train segment --width 0.03125 --batch-size 2 --input 32 --epochs 1 --train sets/train --val sets/val";

#[test]
fn what_is_quarantined_is_not_trained_on() {
    let place = Place::new();
    place.tiles("sets/train", 5, 48);
    place.tiles("sets/val", 2, 40);
    place.truncate("sets/train/0001_sat.png", 0.6);
    place.mask("sets/train/0003_mask.png", 40, 48, |_, _| 1);
    place.truncate("sets/val/0001_mask.png", 0.6);
    let line = "data check sets/train --against sets/val --quarantine lists/q.txt";
    let said = place.hectare(line).exits(1);
    assert!(said.out.contains("3 faults") && said.err.contains("3 files to leave out"), "{said:?}");
    let list = std::fs::read_to_string(place.at("lists/q.txt")).unwrap();
    let lines = "../sets/train/0001_sat.png\n../sets/train/0003_mask.png\n../sets/val/0001_mask.png\n";
    assert_eq!(list, lines);

    place.refuses(&format!("{SEGMENT} --out run"), &["0001_sat.png"]);
    let said = place.hectare(&format!("{SEGMENT} --out run --exclude lists/q.txt")).exits(0);
    assert!(said.err.contains("3 of the 3 files in") && said.err.contains("left out"), "{said:?}");
    let config = std::fs::read_to_string(place.at("run/config.toml")).unwrap();
    assert!(config.contains("exclude = "), "{config}");
    let kept = std::fs::read_to_string(place.at("run/excluded.txt")).unwrap();
    assert!(kept.lines().count() == 3 && kept.contains("0003_mask.png"), "{kept}");
    // The same from a file of settings; a list that names nothing says so.
    std::fs::write(place.at("set.toml"), "exclude = 'lists/q.txt'\n").unwrap();
    place.hectare(&format!("{SEGMENT} --out two --config set.toml")).exits(0);
    let weights = |run: &str| std::fs::read(place.at(run).join("weights/last.safetensors")).unwrap();
    assert!(weights("run") == weights("two"));
    std::fs::write(place.at("none.txt"), "elsewhere/1.png\n").unwrap();
    let said = place.hectare(&format!("{SEGMENT} --out three --exclude none.txt")).exits(2);
    assert!(said.err.contains("0001_sat.png"), "{said:?}");
}

#[test]
fn a_sound_set_quarantines_nothing() {
    let place = Place::new();
    place.pictures("pictures", 3, 4);
    place.hectare("data check pictures --quarantine q.txt").exits(0);
    assert_eq!(std::fs::read_to_string(place.at("q.txt")).unwrap(), "");
    place.refuses("data check pictures --quarantine pictures", &["pictures", "is a folder"]);
}

#[test]
fn two_sets_as_json() {
    let place = Place::new();
    place.pictures("train", 3, 2);
    place.pictures("val", 2, 1);
    let json = place.hectare("data check train --against val --json").exits(1).json();
    assert_eq!((&json["samples"], &json["against"]["samples"]), (&6.into(), &2.into()));
    let faults = json["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1);
    assert_eq!((&faults[0]["kind"], &faults[0]["path"]), (&"in_both_sets".into(), &"train/0_0.png".into()));
    assert_eq!(faults[0]["other"], "val/0_0.png");
    assert_eq!(json["notes"][0]["kind"], "absent_class");
    assert_eq!(json["notes"][0]["message"], "class 2: 2 pictures in train, none in val");
}

#[test]
fn a_picture_under_two_labels() {
    let place = Place::new();
    place.pictures("pictures", 2, 2);
    std::fs::copy(place.at("pictures/0_0.png"), place.at("pictures/1_7.png")).unwrap();
    let said = place.hectare("data check pictures --quarantine q.txt").exits(1);
    assert!(
        said.out.contains("0_0.png and 1_7.png are the same picture, of the classes 0 and 1"),
        "{said:?}"
    );
    let list = std::fs::read_to_string(place.at("q.txt")).unwrap();
    assert_eq!(list, "pictures/0_0.png\npictures/1_7.png\n");
}
