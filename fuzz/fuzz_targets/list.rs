//! CSV lists of both kinds of data set, and lists of files to leave out, beside a few pictures that are there.
#![no_main]

use std::sync::Once;

use hectare_data::{ClassificationSet, Exclusion, Image, SegmentationSet, write_png};
use libfuzzer_sys::fuzz_target;

static PICTURES: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    PICTURES.call_once(|| {
        for name in ["a.png", "b.png", "a_mask.png", "b_mask.png"] {
            write_png(&Image::black(2, 2), &hectare_fuzz::folder().join(name))
                .expect("memory can be written");
        }
    });
    let list = hectare_fuzz::file("list.csv", bytes);
    if let Ok(set) = ClassificationSet::open(&list) {
        assert!(!set.samples.is_empty());
        assert!(set.samples.iter().all(|s| s.label.is_none_or(|l| usize::from(l) < set.class_names.len())));
        assert_eq!(set.counts().len(), set.class_names.len());
    }
    if let Ok(set) = SegmentationSet::open(&list) {
        assert!(!set.samples.is_empty());
    }
    if let Ok(exclusion) = Exclusion::read(&list) {
        let again = hectare_fuzz::file("again.txt", exclusion.to_text().as_bytes());
        assert!(Exclusion::read(&again).is_ok());
        exclusion.holds(&list);
    }
});
