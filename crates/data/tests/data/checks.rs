//! `data check` and the pass before training.

use std::sync::atomic::{AtomicUsize, Ordering};

use hectare_data::check::{Fault, FaultKind, check_classification, check_segmentation};
use hectare_data::verify::{Known, silent, verify_classification, verify_images, verify_segmentation};
use hectare_data::{ClassificationSet, DataError, Image, Mask, SegmentationSet, write_mask_rgb};
use hectare_net::ClassMap;

use crate::{Folder, fixtures};

fn tiles(folder: &Folder, stems: &[&str], id: u8) {
    for stem in stems {
        folder.picture(&format!("{stem}_sat.png"), [50, 60, stem.as_bytes()[0]]);
        let mask = Mask::filled(4, 3, id);
        write_mask_rgb(&mask, &ClassMap::course(), &folder.file(&format!("{stem}_mask.png"))).unwrap();
    }
}

#[test]
fn a_sound_set_has_no_faults() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2", "3"], 4);
    tiles(&folder, &["4"], 0);
    let report = check_segmentation(folder.path(), &ClassMap::course(), None, &silent).unwrap();
    assert!(report.faults().is_empty());
    assert_eq!((report.set.samples, report.set.sizes.len(), report.set.sizes[0].count), (4, 1, 4));
    assert_eq!((report.set.classes[4].count, report.set.classes[4].share), (36, 0.75));
    let text = report.to_string();
    for part in ["4 pairs", "4 of 4 x 3 pixels", "Water", "75.000%", "no faults"] {
        assert!(text.contains(part), "{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["task"], "segment");
    assert_eq!(json["classes"][0]["count"], 12);
    assert_eq!(json["sizes"][0]["width"], 4);
    assert_eq!(json["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn every_fault_of_a_segmentation_set_is_found() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2", "3", "4", "5", "6"], 1);
    folder.write("1_sat.png", b"no picture");
    let mask = std::fs::read(folder.path().join("2_mask.png")).unwrap();
    folder.write("2_mask.png", &mask[..mask.len() - 20]);
    write_mask_rgb(&Mask::filled(3, 4, 0), &ClassMap::course(), &folder.file("3_mask.png")).unwrap();
    folder.image("4_mask.png", &Image::from_fn(4, 3, |x, _| [x as u8, 0, 0]));
    std::fs::remove_file(folder.path().join("5_sat.png")).unwrap();
    folder.picture("7_sat.png", [0; 3]);
    let report = check_segmentation(folder.path(), &ClassMap::course(), None, &silent).unwrap();
    let found: Vec<(FaultKind, &str)> =
        report.faults().iter().map(|f| (f.kind, f.path.file_name().unwrap().to_str().unwrap())).collect();
    let expected = [
        (FaultKind::Undecodable, "1_sat.png"),
        (FaultKind::Truncated, "2_mask.png"),
        (FaultKind::SizeMismatch, "3_mask.png"),
        (FaultKind::UnlistedColour, "4_mask.png"),
        (FaultKind::Orphan, "5_mask.png"),
        (FaultKind::Orphan, "7_sat.png"),
    ];
    assert_eq!(found, expected);
    let text = report.to_string();
    for part in
        ["6 faults", "5_mask.png has no picture", "7_sat.png has no mask", "4x3", "(nearest: Unknown 0,0,0)"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(serde_json::to_value(&report).unwrap()["faults"][2]["kind"], "size_mismatch");
}

#[test]
fn a_classification_set() {
    let folder = Folder::new();
    folder.picture("0_1.png", [1; 3]);
    folder.picture("0_2.png", [2; 3]);
    folder.picture("2_1.png", [2; 3]);
    folder.image("2_2.png", &Image::black(9, 9));
    let report = check_classification(folder.path(), None, &silent).unwrap();
    assert_eq!(report.set.classes.iter().map(|c| c.count).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(kinds(&report.faults), [FaultKind::Contradiction]);
    let words = "0_2.png and 2_1.png are the same picture, of the classes 0 and 2";
    assert_eq!(report.faults[0].message, words);
    assert_eq!(kinds(&report.notes), [FaultKind::AbsentClass]);
    assert_eq!(report.notes[0].message, "class 1: no pictures");
    assert_eq!((report.set.sizes[0].count, report.set.sizes[1].width), (3, 9));

    folder.picture("who.png", [3; 3]);
    folder.write("1_1.png", b"");
    let report = check_classification(folder.path(), None, &silent).unwrap();
    assert_eq!(
        kinds(&report.faults),
        [FaultKind::Undecodable, FaultKind::Unlabelled, FaultKind::Contradiction]
    );
    let left_out: Vec<_> = report.to_leave_out().iter().map(|f| f.file_name().unwrap()).collect();
    assert_eq!(left_out, ["0_2.png", "1_1.png", "2_1.png", "who.png"]);
}

fn kinds(faults: &[Fault]) -> Vec<FaultKind> {
    faults.iter().map(|fault| fault.kind).collect()
}

#[test]
fn what_is_odd_about_pictures_is_noted() {
    let folder = Folder::new();
    let (eight, wide) = (png::BitDepth::Eight, png::BitDepth::Sixteen);
    folder.png("0_1.png", (1, 1), png::ColorType::Rgb, wide, None, &[1, 2, 3, 4, 5, 6]);
    folder.png("0_2.png", (1, 1), png::ColorType::Grayscale, eight, None, &[7]);
    folder.png("0_3.png", (1, 1), png::ColorType::Rgba, eight, None, &[1, 2, 3, 4]);
    folder.png("0_4.png", (1, 1), png::ColorType::Indexed, eight, Some(&[9, 9, 9]), &[0]);
    std::fs::copy(fixtures().join("jpeg_cmyk.jpg"), folder.file("1_1.jpg")).unwrap();
    std::fs::copy(fixtures().join("jpeg_grey.jpg"), folder.file("1_2.jpg")).unwrap();
    // Orientation 6 (a quarter turn) in EXIF data, right behind the start of the file.
    let exif = b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let jpeg = std::fs::read(fixtures().join("jpeg_444.jpg")).unwrap();
    folder.write("1_3.jpg", [&jpeg[..2], exif, &jpeg[2..]].concat());
    folder.picture("A_1.png", [1; 3]);
    folder.picture("a_1.PNG", [2; 3]);
    let report = check_classification(folder.path(), None, &silent).unwrap();
    let named = |kind| -> Vec<&str> {
        let of_kind = report.notes.iter().filter(|note| note.kind == kind);
        of_kind.map(|note| note.path.file_name().unwrap().to_str().unwrap()).collect()
    };
    assert_eq!(named(FaultKind::SixteenBit), ["0_1.png"]);
    assert_eq!(named(FaultKind::Grey), ["0_2.png", "1_2.jpg"]);
    assert_eq!(named(FaultKind::Alpha), ["0_3.png"]);
    assert_eq!(named(FaultKind::Cmyk), ["1_1.jpg"]);
    assert_eq!(named(FaultKind::Rotated), ["1_3.jpg"]);
    assert_eq!(named(FaultKind::CaseCollision), ["a_1.PNG"]);
    assert_eq!(report.notes.len(), 7, "{report}");
    // The two without a number for a class.
    assert_eq!(kinds(&report.faults), [FaultKind::Unlabelled; 2]);
}

#[test]
fn an_unusual_size_is_noted() {
    let folder = Folder::new();
    (0..9u8).for_each(|i| drop(folder.picture(&format!("0_{i}.png"), [i; 3])));
    folder.image("0_9.png", &Image::black(5, 3));
    let report = check_classification(folder.path(), None, &silent).unwrap();
    assert_eq!(kinds(&report.notes), [FaultKind::OtherSize]);
    assert!(report.notes[0].message.contains("0_9.png has 5x3 pixels, nearly all others 4x3"), "{report}");
}

#[test]
fn two_sets_are_compared() {
    let folder = Folder::new();
    for (name, grey) in [("t/0_1", 1), ("t/0_2", 2), ("t/2_1", 3), ("v/0_1", 9), ("v/1_1", 3), ("v/1_2", 4)] {
        folder.picture(&format!("{name}.png"), [grey; 3]);
    }
    let (train, val) = (folder.path().join("t"), folder.path().join("v"));
    let report = check_classification(&train, Some(&val), &silent).unwrap();
    assert_eq!(kinds(&report.faults), [FaultKind::InBothSets, FaultKind::MissingClass]);
    let message = &report.faults[0].message;
    assert!(
        message.contains("2_1.png is also") && message.ends_with(", of the classes 2 and 1"),
        "{message}"
    );
    assert!(report.faults[1].message.starts_with("class 1: no pictures in"), "{report}");
    assert_eq!(kinds(&report.notes), [FaultKind::AbsentClass]);
    assert!(report.notes[0].message.starts_with("class 2: 1 pictures in"), "{report}");
    // Of a picture in both sets, the training set loses its copy.
    assert_eq!(report.to_leave_out(), [train.join("2_1.png")]);
    let other = report.against.as_ref().unwrap();
    assert_eq!((other.samples, other.classes[1].count), (3, 2));
}

#[test]
fn colours_are_counted_over_all_masks() {
    let folder = Folder::new();
    tiles(&folder, &["1"], 4);
    let red = |x: usize, y: usize| if (x, y) == (1, 1) { [255, 0, 0] } else { [0, 0, 255] };
    folder.image("1_mask.png", &Image::from_fn(4, 3, red));
    folder.image("2_sat.png", &Image::from_fn(4, 3, |x, y| [x as u8, y as u8, 0]));
    folder.image("2_mask.png", &Image::from_fn(4, 3, |_, y| [[0, 250, 250], [255, 0, 0], [0; 3]][y]));
    let report = check_segmentation(folder.path(), &ClassMap::course(), None, &silent).unwrap();
    let colours = &report.set.colours;
    let row =
        |i: usize| (colours[i].colour, colours[i].pixels, colours[i].masks, colours[i].read_as.as_deref());
    assert_eq!(row(0), ([255, 0, 0], 5, 2, Some("Unknown")));
    assert_eq!(row(1), ([0, 250, 250], 4, 1, None));
    assert_eq!((colours.len(), colours[1].nearest.as_str()), (2, "Urban"));
    assert_eq!(kinds(&report.faults), [FaultKind::UnlistedColour]);
    let aliases = report.notes.iter().filter(|note| note.kind == FaultKind::Alias);
    let messages: Vec<&str> = aliases.map(|note| note.message.split(": ").nth(1).unwrap()).collect();
    assert_eq!(messages[0], "1 pixel is of colour 255,0,0, read as Unknown");
    assert!(
        report.to_string().contains("0,250,250             4      1  nothing (nearest: Urban)"),
        "{report}"
    );
}

#[test]
fn pairs_that_contradict_and_stems_that_clash() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2"], 4);
    tiles(&folder, &["3"], 2);
    for stem in ["1", "2", "3"] {
        folder.picture(&format!("{stem}_sat.png"), [50, 60, 70]);
    }
    folder.picture("3.png", [8; 3]);
    let report = check_segmentation(folder.path(), &ClassMap::course(), None, &silent).unwrap();
    // 3.png and 3_sat.png both stand for 3; the pictures of 1 and 2 are one, with one mask.
    assert_eq!(kinds(&report.faults), [FaultKind::SameStem]);
    let same = report.notes.iter().find(|note| note.kind == FaultKind::Duplicate).unwrap();
    assert_eq!(same.message, "1_sat.png and 2_sat.png are the same picture");
    std::fs::remove_file(folder.path().join("3.png")).unwrap();
    let report = check_segmentation(folder.path(), &ClassMap::course(), None, &silent).unwrap();
    assert_eq!(kinds(&report.faults), [FaultKind::Contradiction; 2]);
    assert!(report.faults[1].message.contains("with different masks"), "{report}");
}

#[test]
fn the_first_pass_counts_and_remembers() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2"], 4);
    tiles(&folder, &["3"], 6);
    let set = SegmentationSet::open(folder.path()).unwrap();
    let classes = ClassMap::course();
    let mut known = Known::default();
    let calls = AtomicUsize::new(0);
    let progress = |_done: usize, total: usize| {
        assert_eq!(total, 6);
        calls.fetch_add(1, Ordering::Relaxed);
    };
    let facts = verify_segmentation(&set, &classes, &mut known, &progress).unwrap();
    assert_eq!(facts.decoded, 6);
    assert_eq!(calls.load(Ordering::Relaxed), 6);
    assert_eq!(facts.class_pixels, [0, 0, 0, 0, 24, 0, 12]);
    assert_eq!(facts.sample_pixels[2], [0, 0, 0, 0, 0, 0, 12]);
    assert_eq!(facts.sizes, [[4, 3]; 3]);

    // Through a file: nothing is decoded again, the answer is the same.
    let file = folder.path().join("known.json");
    known.save(&file).unwrap();
    let mut known = Known::load(&file);
    assert_eq!(known.len(), 6);
    let again = verify_segmentation(&set, &classes, &mut known, &silent).unwrap();
    assert_eq!((again.decoded, &again.class_pixels), (0, &facts.class_pixels));
    // Another class map: masks are read again, pictures are not.
    let mut other = classes.clone();
    other.classes[0].name = "City".into();
    assert_eq!(verify_segmentation(&set, &other, &mut known, &silent).unwrap().decoded, 3);
    // A changed file is looked at again, and its fault found.
    folder.write("2_sat.png", b"broken");
    let error = verify_segmentation(&set, &other, &mut known, &silent).unwrap_err();
    assert!(matches!(&error, DataError::Decode { path, .. } if path.ends_with("2_sat.png")), "{error}");
    // A file that does not parse means nothing is known.
    folder.write("known.json", b"{");
    assert!(Known::load(&file).is_empty());
}

#[test]
fn the_first_pass_refuses_a_mask_of_another_size() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2"], 4);
    write_mask_rgb(&Mask::filled(3, 4, 0), &ClassMap::course(), &folder.file("2_mask.png")).unwrap();
    let set = SegmentationSet::open(folder.path()).unwrap();
    let error = verify_segmentation(&set, &ClassMap::course(), &mut Known::default(), &silent).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("2_sat.png has 4x3 pixels, but its mask") && message.contains("has 3x4"),
        "{message}"
    );
}

#[test]
fn pictures_alone() {
    let folder = Folder::new();
    folder.picture("0_1.png", [1; 3]);
    let path = folder.write("1_1.png", b"x");
    let set = ClassificationSet::open(folder.path()).unwrap();
    let mut known = Known::default();
    assert!(verify_classification(&set, &mut known, &silent).is_err());
    assert_eq!(known.len(), 1, "the sound file is remembered");
    let facts = verify_images(&[folder.path().join("0_1.png")], &mut known, &silent).unwrap();
    assert_eq!((facts.sizes, facts.decoded), (vec![[4, 3]], 0));
    assert!(verify_images(&[path], &mut known, &silent).is_err());
}
