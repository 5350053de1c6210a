//! PNG pictures and masks of every kind, with their checksums put right: as a picture, as a mask, in a check.
#![no_main]

use hectare_data::check::check_classification;
use hectare_data::verify::silent;
use hectare_data::{UNLABELLED, image_size, read_image, read_mask};
use hectare_net::ClassMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = hectare_fuzz::file("0_1.png", &hectare_fuzz::with_png_checksums(bytes));
    let classes = ClassMap::course();
    let image = read_image(&path);
    if let Ok(image) = &image {
        assert_eq!(image.pixels.len(), image.width * image.height * 3);
        assert_eq!(image_size(&path), Ok(image.size()));
    }
    if let Ok(mask) = read_mask(&path, &classes) {
        assert_eq!(mask.ids.len(), mask.width * mask.height);
        assert!(mask.ids.iter().all(|&id| usize::from(id) < classes.len() && id != UNLABELLED));
        assert_eq!(image.as_ref().map(|image| image.size()), Ok(mask.size()));
    }
    let report = check_classification(&path.with_file_name("one.csv"), None, &silent);
    assert!(report.is_err(), "there is no such list");
    let list = hectare_fuzz::file("list.csv", b"0_1.png,0\n");
    let report = check_classification(&list, None, &silent).expect("the list is sound");
    assert_eq!(report.faults().is_empty(), image.is_ok());
});
