//! Folder layouts and lists.

use hectare_data::{ClassificationSet, DataError, SegmentationSet, output_stem};

use crate::Folder;

const GREY: [u8; 3] = [9, 9, 9];

fn labels(set: &ClassificationSet) -> Vec<(&str, Option<u16>)> {
    set.samples.iter().map(|s| (s.name.as_str(), s.label)).collect()
}

#[test]
fn class_and_number_in_the_name() {
    let folder = Folder::new();
    for name in ["3_0.png", "0_450.png", "0_12.jpg", "10_1.png", ".0_1.png", "notes.txt"] {
        folder.picture(name, GREY);
    }
    let set = ClassificationSet::open(folder.path()).unwrap();
    let expected =
        [("0_12.jpg", Some(0)), ("0_450.png", Some(0)), ("10_1.png", Some(10)), ("3_0.png", Some(3))];
    assert_eq!(labels(&set), expected);
    assert_eq!(set.class_names.len(), 11);
    assert_eq!(set.class_names[10], "10");
    assert_eq!(set.counts()[..4], [2, 0, 0, 1]);
    set.require_labels().unwrap();

    // With a model's classes: fewer than found is an error that names the picture.
    let names: Vec<String> = (0..5).map(|i| i.to_string()).collect();
    let error = ClassificationSet::open_as(folder.path(), Some(&names)).unwrap_err();
    assert!(
        error.to_string().contains("10_1.png is of class 10, which is not among the 5 classes"),
        "{error}"
    );
    let names: Vec<String> = (0..50).map(|i| format!("class {i}")).collect();
    assert_eq!(ClassificationSet::open_as(folder.path(), Some(&names)).unwrap().class_names, names);
}

#[test]
fn pictures_without_a_class() {
    let folder = Folder::new();
    for name in ["0_1.png", "0010_sat.png", "cat.png", "x_1.png", "1_2_3.png"] {
        folder.picture(name, GREY);
    }
    let set = ClassificationSet::open(folder.path()).unwrap();
    assert_eq!(set.samples.iter().filter(|s| s.label.is_some()).count(), 1);
    let error = set.require_labels().unwrap_err();
    assert_eq!(error, DataError::Unlabelled { path: folder.path().join("0010_sat.png") });
}

#[test]
fn a_folder_per_class() {
    let folder = Folder::new();
    for name in ["wolf/a.png", "bee/z.png", "bee/deep/b.jpeg", "fox/readme.txt"] {
        folder.picture(name, GREY);
    }
    let set = ClassificationSet::open(folder.path()).unwrap();
    assert_eq!(set.class_names, ["bee", "wolf"]);
    assert_eq!(labels(&set), [("z.png", Some(0)), ("b.jpeg", Some(0)), ("a.png", Some(1))]);
    let names = ["ant", "wolf", "bee"].map(String::from);
    let set = ClassificationSet::open_as(folder.path(), Some(&names)).unwrap();
    assert_eq!(labels(&set), [("z.png", Some(2)), ("b.jpeg", Some(2)), ("a.png", Some(1))]);
    assert!(ClassificationSet::open_as(folder.path(), Some(&names[..2])).is_err());

    // Numbered folders are class numbers, whatever is missing.
    let folder = Folder::new();
    for name in ["0/a.png", "2/b.png", "10/c.png"] {
        folder.picture(name, GREY);
    }
    let set = ClassificationSet::open(folder.path()).unwrap();
    assert_eq!(labels(&set), [("a.png", Some(0)), ("c.png", Some(10)), ("b.png", Some(2))]);
    assert_eq!(set.class_names.len(), 11);
}

#[test]
fn a_list_of_pictures() {
    let folder = Folder::new();
    for name in ["a.png", "sub/b.png"] {
        folder.picture(name, GREY);
    }
    let open = |text: &str| ClassificationSet::open(&folder.write("list.csv", text));
    let set = open("filename,label\na.png,3\nsub/b.png,0\n").unwrap();
    assert_eq!(labels(&set), [("a.png", Some(3)), ("b.png", Some(0))]);
    assert_eq!(set.class_names.len(), 4);
    let set = open("# no header\na.png,wolf\nsub/b.png,bee\n").unwrap();
    assert_eq!(
        (labels(&set)[0].1, &set.class_names[..]),
        (Some(1), &["bee".to_string(), "wolf".to_string()][..])
    );
    let message = |text: &str| open(text).unwrap_err().to_string();
    assert!(
        message("a.png,1\nc.png,1\n").contains("line 2: ")
            && message("c.png,1\n").contains("c.png is not there")
    );
    assert!(message("a.png\n").contains("line 1: expected file,class"));
    assert!(message("a.png,\n").contains("the class is missing"));
    assert!(matches!(open("file,class\n"), Err(DataError::Empty { .. })));
}

#[test]
fn empty_and_missing_folders() {
    let folder = Folder::new();
    let missing = folder.path().join("missing");
    assert_eq!(ClassificationSet::open(&missing), Err(DataError::NotFound { path: missing.clone() }));
    assert_eq!(SegmentationSet::open(&missing), Err(DataError::NotFound { path: missing }));
    assert!(matches!(ClassificationSet::open(folder.path()), Err(DataError::Empty { .. })));
    assert!(matches!(SegmentationSet::open(folder.path()), Err(DataError::Empty { .. })));
    folder.picture("a.png", GREY);
    let error = SegmentationSet::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("expected pairs like 0010_sat.jpg + 0010_mask.png"), "{error}");
}

fn stems(set: &SegmentationSet) -> Vec<&str> {
    set.samples.iter().map(|s| s.stem.as_str()).collect()
}

#[test]
fn tiles_and_masks_side_by_side() {
    let folder = Folder::new();
    for name in
        ["0010_sat.jpg", "0010_mask.png", "0002_sat.png", "0002_mask.png", "plain.png", "plain_mask.png"]
    {
        folder.picture(name, GREY);
    }
    for name in ["0003_sat.jpg", "0004_mask.png"] {
        folder.picture(name, GREY);
    }
    let set = SegmentationSet::open(folder.path()).unwrap();
    assert_eq!(stems(&set), ["0002", "0010", "plain"]);
    assert_eq!(set.samples[1].image, folder.path().join("0010_sat.jpg"));
    assert_eq!(set.samples[1].mask, folder.path().join("0010_mask.png"));
    assert_eq!(set.orphans, [folder.path().join("0003_sat.jpg"), folder.path().join("0004_mask.png")]);
    // A second picture of one stem.
    folder.picture("0010.png", GREY);
    let error = SegmentationSet::open(folder.path()).unwrap_err();
    assert!(matches!(&error, DataError::DuplicateStem { stem, .. } if stem == "0010"), "{error}");
}

#[test]
fn images_and_masks_in_folders() {
    let folder = Folder::new();
    for name in
        ["images/b.jpg", "masks/b.png", "images/a_sat.png", "masks/a_mask.png", "masks/c.png", "other.png"]
    {
        folder.picture(name, GREY);
    }
    let set = SegmentationSet::open(folder.path()).unwrap();
    assert_eq!(stems(&set), ["a", "b"]);
    assert_eq!(set.orphans, [folder.path().join("masks/c.png")]);
    folder.picture("masks/b.jpg", GREY);
    assert!(matches!(SegmentationSet::open(folder.path()), Err(DataError::DuplicateStem { .. })));
}

#[test]
fn a_list_of_pairs() {
    let folder = Folder::new();
    for name in ["i/2.png", "i/1_sat.png", "m/2.png", "m/one.png"] {
        folder.picture(name, GREY);
    }
    let open = |text: &str| SegmentationSet::open(&folder.write("list.csv", text));
    let set = open("image,mask\ni/2.png,m/2.png\ni/1_sat.png,m/one.png\n").unwrap();
    assert_eq!(stems(&set), ["1", "2"]);
    assert!(open("i/2.png,m/3.png\n").unwrap_err().to_string().contains("m/3.png is not there"));
    assert!(matches!(open("i/2.png,m/2.png\ni/2.png,m/one.png\n"), Err(DataError::DuplicateStem { .. })));
}

#[test]
fn output_names() {
    let stem = |name: &str| output_stem(std::path::Path::new(name));
    assert_eq!(stem("a/0010_sat.jpg"), "0010");
    assert_eq!(stem("tile.v2.png"), "tile.v2");
    assert_eq!(stem("_sat.png"), "_sat");
}
