//! JPEG pictures, which this project decodes itself: as a picture, as a mask, in a check (EXIF).
#![no_main]

use hectare_data::check::check_classification;
use hectare_data::verify::silent;
use hectare_data::{image_size, read_image, read_mask};
use hectare_net::ClassMap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let rest = bytes.strip_prefix(b"\xff\xd8").unwrap_or(bytes);
    let path = hectare_fuzz::file("0_1.jpg", &[b"\xff\xd8", rest].concat());
    let image = read_image(&path);
    if let Ok(image) = &image {
        assert_eq!(image.pixels.len(), image.width * image.height * 3);
        assert_eq!(image_size(&path), Ok(image.size()));
        // The mask decodes the same pixels; small ones are enough.
        if image.pixels.len() < 1 << 16 {
            let _ = read_mask(&path, &ClassMap::course());
        }
    }
    let list = hectare_fuzz::file("list.csv", b"0_1.jpg,0\n");
    let report = check_classification(&list, None, &silent).expect("the list is sound");
    assert_eq!(report.faults().is_empty(), image.is_ok());
});
