//! Kinds of PNG files that become RGB pictures, and odd sizes.

use hectare_data::{Image, image_size, read_image, resize, resize_mask, write_png};
use png::{BitDepth, ColorType};

use crate::{Folder, coordinate_id, coordinate_mask, coordinates};

fn pixels(image: &Image) -> Vec<[u8; 3]> {
    image.pixels.as_chunks::<3>().0.to_vec()
}

#[test]
fn grey_of_every_depth() {
    let folder = Folder::new();
    let read = |depth, data: &[u8]| {
        let path = folder.png("grey.png", (3, 2), ColorType::Grayscale, depth, None, data);
        pixels(&read_image(&path).unwrap()).iter().map(|p| p[0]).collect::<Vec<u8>>()
    };
    assert_eq!(read(BitDepth::One, &[0b1010_0000, 0b0110_0000]), [255, 0, 255, 0, 255, 255]);
    assert_eq!(read(BitDepth::Two, &[0b0001_1000, 0b1100_0100]), [0, 85, 170, 255, 0, 85]);
    assert_eq!(read(BitDepth::Four, &[0x0f, 0x10, 0x23, 0x40]), [0, 255, 17, 34, 51, 68]);
    assert_eq!(read(BitDepth::Eight, &[0, 1, 2, 253, 254, 255]), [0, 1, 2, 253, 254, 255]);
    // 16 bits keep the high byte.
    let data = [0, 255, 1, 0, 127, 255, 128, 0, 254, 255, 255, 255];
    assert_eq!(read(BitDepth::Sixteen, &data), [0, 1, 127, 128, 254, 255]);
}

#[test]
fn alpha_is_dropped_and_palettes_are_looked_up() {
    let folder = Folder::new();
    let read = |colour, depth, palette, data: &[u8]| {
        pixels(&read_image(&folder.png("p.png", (2, 1), colour, depth, palette, data)).unwrap())
    };
    let eight = BitDepth::Eight;
    assert_eq!(read(ColorType::Rgba, eight, None, &[1, 2, 3, 0, 4, 5, 6, 255]), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(read(ColorType::GrayscaleAlpha, eight, None, &[9, 0, 8, 255]), [[9; 3], [8; 3]]);
    let wide = [1, 255, 2, 255, 3, 255, 0, 0, 4, 0, 5, 0, 6, 0, 9, 9];
    assert_eq!(read(ColorType::Rgba, BitDepth::Sixteen, None, &wide), [[1, 2, 3], [4, 5, 6]]);
    let palette = Some(&[10, 20, 30, 40, 50, 60][..]);
    assert_eq!(read(ColorType::Indexed, eight, palette, &[1, 0]), [[40, 50, 60], [10, 20, 30]]);
    assert_eq!(
        read(ColorType::Indexed, BitDepth::One, palette, &[0b0100_0000]),
        [[10, 20, 30], [40, 50, 60]]
    );
}

#[test]
fn pictures_of_any_size_survive_writing_and_resizing() {
    let folder = Folder::new();
    for (width, height) in [(1, 1), (1, 9), (9, 1), (3, 5), (17, 2)] {
        let image = coordinates(width, height);
        let path = folder.file("odd.png");
        write_png(&image, &path).unwrap();
        assert_eq!(read_image(&path).unwrap(), image);
        assert_eq!(image_size(&path).unwrap(), [width, height]);
        for (w, h) in [(1, 1), (1, 7), (7, 1), (4, 4)] {
            assert_eq!(resize(&image, w, h).size(), [w, h]);
            assert_eq!(resize_mask(&coordinate_mask(width, height), w, h).size(), [w, h]);
        }
    }
}

#[test]
fn masks_are_resized_by_the_nearest_pixel() {
    let mask = coordinate_mask(4, 6);
    let half = resize_mask(&mask, 2, 3);
    assert_eq!([half.id(0, 0), half.id(1, 2)], [coordinate_id(1, 1), coordinate_id(3, 5)]);
    let double = resize_mask(&mask, 8, 12);
    for y in 0..12 {
        for x in 0..8 {
            assert_eq!(double.id(x, y), coordinate_id(x / 2, y / 2));
        }
    }
}

#[test]
fn a_name_does_not_decide_the_kind_of_file() {
    let folder = Folder::new();
    let path = folder.picture("really_a_png.jpg", [1, 2, 3]);
    assert_eq!(read_image(&path).unwrap().pixel(0, 0), [1, 2, 3]);
}
