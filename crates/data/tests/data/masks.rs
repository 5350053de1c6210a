//! Masks: colours, aliases, palettes, ids.

use hectare_data::{DataError, Mask, read_image, read_mask, write_mask_palette, write_mask_rgb};
use hectare_net::ClassMap;
use png::{BitDepth, ColorType};

use crate::Folder;

const RGB: ColorType = ColorType::Rgb;
const EIGHT: BitDepth = BitDepth::Eight;

fn course_palette() -> Vec<u8> {
    ClassMap::course().classes.iter().flat_map(|c| c.colour).collect()
}

#[test]
fn colours_become_ids_and_red_is_unknown() {
    let folder = Folder::new();
    let mut data = course_palette();
    data.extend([255, 0, 0]);
    let path = folder.png("m.png", (8, 1), RGB, EIGHT, None, &data);
    assert_eq!(read_mask(&path, &ClassMap::course()).unwrap().ids, [0, 1, 2, 3, 4, 5, 6, 6]);
    // With alpha, whatever it says.
    let with_alpha: Vec<u8> =
        data.as_chunks::<3>().0.iter().flat_map(|c| [c[0], c[1], c[2], c[0] / 2]).collect();
    let path = folder.png("m.png", (8, 1), ColorType::Rgba, EIGHT, None, &with_alpha);
    assert_eq!(read_mask(&path, &ClassMap::course()).unwrap().ids, [0, 1, 2, 3, 4, 5, 6, 6]);
}

#[test]
fn an_unlisted_colour_is_refused_by_name() {
    let folder = Folder::new();
    let data = [[0, 0, 255], [250, 250, 10], [250, 250, 10], [9, 9, 9], [0, 0, 255], [255, 255, 0]].concat();
    let path = folder.png("0007_mask.png", (3, 2), RGB, EIGHT, None, &data);
    let error = read_mask(&path, &ClassMap::course()).unwrap_err();
    let DataError::UnlistedColour { colour, count, others, nearest, .. } = &error else { panic!("{error}") };
    assert_eq!((*colour, *count, *others, nearest.as_str()), ([250, 250, 10], 2, 1, "Agriculture"));
    let message = error.to_string();
    for part in ["0007_mask.png", "2 pixels", "250,250,10", "Agriculture", "255,255,0"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn palettes_count_by_colour_or_by_index() {
    let folder = Folder::new();
    let read = |palette: &[u8], data: &[u8]| {
        let size = (data.len() as u32, 1);
        let path = folder.png("m.png", size, ColorType::Indexed, EIGHT, Some(palette), data);
        read_mask(&path, &ClassMap::course()).map(|m| m.ids)
    };
    assert_eq!(read(&course_palette(), &[6, 0, 3]).unwrap(), [6, 0, 3]);
    // Another order of the same colours: the colours win.
    let turned: Vec<u8> = ClassMap::course().classes.iter().rev().flat_map(|c| c.colour).collect();
    assert_eq!(read(&turned, &[6, 0, 3]).unwrap(), [0, 6, 3]);
    // A ramp of greys (Pillow's default) or strange colours say nothing: indices are ids.
    let ramp: Vec<u8> = (0..=255u8).flat_map(|v| [v; 3]).collect();
    assert_eq!(read(&ramp, &[6, 0, 3]).unwrap(), [6, 0, 3]);
    let strange: Vec<u8> = (0..8u8).flat_map(|v| [v, 99, 98]).collect();
    assert_eq!(read(&strange, &[6, 0, 3]).unwrap(), [6, 0, 3]);
    assert!(matches!(
        read(&strange, &[7, 7, 3]),
        Err(DataError::UnlistedId { id: 7, count: 2, classes: 7, .. })
    ));
    // Some colours known, one used that is not.
    let mixed = [course_palette(), vec![1, 2, 3]].concat();
    assert!(matches!(
        read(&mixed, &[7, 0]),
        Err(DataError::UnlistedColour { colour: [1, 2, 3], count: 1, .. })
    ));
}

#[test]
fn packed_palettes_and_greys() {
    let folder = Folder::new();
    let palette = course_palette();
    let path = folder.png("m.png", (3, 1), ColorType::Indexed, BitDepth::Four, Some(&palette), &[0x60, 0x30]);
    assert_eq!(read_mask(&path, &ClassMap::course()).unwrap().ids, [6, 0, 3]);
    let path = folder.png("m.png", (3, 1), ColorType::Grayscale, BitDepth::Two, None, &[0b0011_0100]);
    assert_eq!(read_mask(&path, &ClassMap::course()).unwrap().ids, [0, 3, 1]);
}

#[test]
fn greys_are_ids_unless_they_can_only_be_colours() {
    let folder = Folder::new();
    let read = |data: &[u8]| {
        let path = folder.png("m.png", (data.len() as u32, 1), ColorType::Grayscale, EIGHT, None, data);
        read_mask(&path, &ClassMap::course()).map(|m| m.ids)
    };
    assert_eq!(read(&[0, 5, 6]).unwrap(), [0, 5, 6]);
    // Black and white saved as grey by a tool that saves space.
    assert_eq!(read(&[0, 255, 255]).unwrap(), [6, 5, 5]);
    let error = read(&[0, 7, 7, 1]).unwrap_err();
    assert!(error.to_string().contains("2 pixels of class id 7"), "{error}");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = Folder::new();
    let classes = ClassMap::course();
    let mask = Mask::from_fn(5, 3, |x, y| ((x + 2 * y) % 7) as u8);
    let (rgb, palette) = (folder.file("rgb.png"), folder.file("palette.png"));
    write_mask_rgb(&mask, &classes, &rgb).unwrap();
    write_mask_palette(&mask, &classes, &palette).unwrap();
    assert_eq!(read_mask(&rgb, &classes).unwrap(), mask);
    assert_eq!(read_mask(&palette, &classes).unwrap(), mask);
    // Both show the same colours.
    assert_eq!(read_image(&rgb).unwrap(), read_image(&palette).unwrap());
    let mut again = folder.file("again.png");
    write_mask_rgb(&mask, &classes, &again).unwrap();
    assert_eq!(std::fs::read(&rgb).unwrap(), std::fs::read(&again).unwrap());
    again.pop();
    assert_eq!(std::fs::read_dir(again).unwrap().count(), 3, "no temporary files are left");
}

#[test]
fn a_jpeg_mask_is_refused_by_its_colours() {
    let error = read_mask(&crate::fixtures().join("jpeg_420.jpg"), &ClassMap::course()).unwrap_err();
    assert!(matches!(error, DataError::UnlistedColour { .. }), "{error}");
}

#[test]
fn counts_leave_unlabelled_pixels_out() {
    let mask = Mask { width: 3, height: 1, ids: vec![0, 255, 2] };
    assert_eq!(mask.counts(4), [1, 0, 1, 0]);
    assert_eq!(mask.counts(1), [1]);
}

#[test]
fn ids_of_16_bits() {
    let folder = Folder::new();
    let read = |kind, data: &[u8]| {
        let width = (data.len() / 2 / kind_samples(kind)) as u32;
        read_mask(&folder.png("m.png", (width, 1), kind, BitDepth::Sixteen, None, data), &ClassMap::course())
    };
    assert_eq!(read(ColorType::Grayscale, &[0, 3, 0, 6, 0, 0]).unwrap().ids, [3, 6, 0]);
    assert_eq!(read(ColorType::GrayscaleAlpha, &[0, 3, 1, 1, 0, 6, 2, 2]).unwrap().ids, [3, 6]);
    // Black and white are colours of the map; another grey is not, nor is id 256.
    assert_eq!(read(ColorType::Grayscale, &[0, 0, 255, 255]).unwrap().ids, [6, 5]);
    let refused = read(ColorType::Grayscale, &[1, 0, 0, 6, 1, 0]);
    assert!(matches!(refused, Err(DataError::UnlistedId { id: 256, count: 2, .. })), "{refused:?}");
}

fn kind_samples(kind: ColorType) -> usize {
    if kind == ColorType::GrayscaleAlpha { 2 } else { 1 }
}
