//! Decoding and resizing against Pillow.

use std::path::Path;

use hectare_data::{Image, image_size, read_image, resize, resize_crop};

use crate::fixtures;

fn largest_difference(a: &Image, b: &Image) -> u8 {
    assert_eq!(a.size(), b.size());
    a.pixels.iter().zip(&b.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn files(prefix: &str, ending: &str) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(fixtures()).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| {
        let name = f.file_name().unwrap().to_str().unwrap();
        name.starts_with(prefix) && name.ends_with(ending)
    });
    files.sort();
    files
}

/// Equal to the last bit: the decoder follows libjpeg-turbo's arithmetic, so there is nothing to tolerate.
#[test]
fn jpeg_files_decode_as_in_pillow() {
    let files = files("jpeg_", ".jpg");
    assert_eq!(files.len(), 19);
    let mut wrong = Vec::new();
    for file in files {
        let ours = read_image(&file).unwrap();
        let expected = read_image(&file.with_extension("png")).unwrap();
        assert_eq!(image_size(&file).unwrap(), ours.size());
        let difference = largest_difference(&ours, &expected);
        if difference > 0 {
            wrong.push((file, difference));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// To the last bit, except where Pillow takes the columns first (by its own estimate of the work).
#[test]
fn resizing_is_pillows_bilinear() {
    let source = read_image(&fixtures().join("resize_source.png")).unwrap();
    let files = files("resize_", ".png");
    assert_eq!(files.len(), 9);
    for file in files {
        let expected = read_image(&file).unwrap();
        if expected.size() == source.size() {
            continue;
        }
        let ours = resize(&source, expected.width, expected.height);
        let difference = largest_difference(&ours, &expected);
        let columns_first = [[128, 3], [53, 10]].contains(&expected.size());
        assert!(difference <= u8::from(columns_first), "{} is off by {difference}", file.display());
    }
}

#[test]
fn resizing_a_part_is_cutting_it_out_first() {
    let source = read_image(&fixtures().join("resize_source.png")).unwrap();
    let numbers = |file: &Path| -> Vec<usize> {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        stem.split(['_', 'x']).filter_map(|part| part.parse().ok()).collect()
    };
    let files = files("crop_", ".png");
    assert_eq!(files.len(), 3);
    for file in files {
        let [left, top, width, height, to_width, to_height] = numbers(&file)[..] else { panic!("{file:?}") };
        let ours = resize_crop(&source, [left, top, width, height], to_width, to_height);
        let difference = largest_difference(&ours, &read_image(&file).unwrap());
        assert!(difference == 0, "{} is off by {difference}", file.display());
    }
}
