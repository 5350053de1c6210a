//! `data check` and the pass before training.

use std::sync::atomic::{AtomicUsize, Ordering};

use hectare_data::check::{FaultKind, check_classification, check_segmentation};
use hectare_data::verify::{Known, silent, verify_classification, verify_images, verify_segmentation};
use hectare_data::{ClassificationSet, DataError, Image, Mask, SegmentationSet, write_mask_rgb};
use hectare_net::ClassMap;

use crate::Folder;

fn tiles(folder: &Folder, stems: &[&str], id: u8) {
    for stem in stems {
        folder.picture(&format!("{stem}_sat.png"), [50, 60, 70]);
        let mask = Mask::filled(4, 3, id);
        write_mask_rgb(&mask, &ClassMap::course(), &folder.file(&format!("{stem}_mask.png"))).unwrap();
    }
}

#[test]
fn a_sound_set_has_no_faults() {
    let folder = Folder::new();
    tiles(&folder, &["1", "2", "3"], 4);
    tiles(&folder, &["4"], 0);
    let report = check_segmentation(folder.path(), &ClassMap::course(), &silent).unwrap();
    assert!(report.faults().is_empty());
    assert_eq!((report.samples, report.sizes.len(), report.sizes[0].count), (4, 1, 4));
    assert_eq!((report.classes[4].count, report.classes[4].share), (36, 0.75));
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
    let report = check_segmentation(folder.path(), &ClassMap::course(), &silent).unwrap();
    let found: Vec<(FaultKind, &str)> =
        report.faults().iter().map(|f| (f.kind, f.path.file_name().unwrap().to_str().unwrap())).collect();
    let expected = [
        (FaultKind::Undecodable, "1_sat.png"),
        (FaultKind::Undecodable, "2_mask.png"),
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
    let report = check_classification(folder.path(), &silent).unwrap();
    assert!(report.faults().is_empty());
    assert_eq!(report.classes.iter().map(|c| c.count).collect::<Vec<_>>(), [2, 0, 2]);
    assert_eq!(report.notes.len(), 1);
    assert!(report.notes[0].message.contains("0_2.png and 2_1.png are the same picture"));
    assert_eq!((report.sizes[0].count, report.sizes[1].width), (3, 9));

    folder.picture("who.png", [3; 3]);
    folder.write("1_1.png", b"");
    let report = check_classification(folder.path(), &silent).unwrap();
    let kinds: Vec<FaultKind> = report.faults().iter().map(|f| f.kind).collect();
    assert_eq!(kinds, [FaultKind::Undecodable, FaultKind::Unlabelled]);
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
