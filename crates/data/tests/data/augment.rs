//! Augmentation: pictures and masks move together, and nothing but (seed, epoch, index) decides how.

use std::collections::HashSet;

use hectare_data::{Augment, CropRule, Image, Jitter, Mask, UNLABELLED};

use crate::{coordinate_id, coordinate_mask, coordinates};

fn all_geometry() -> Augment {
    Augment {
        flip_h: true,
        flip_v: true,
        quarter_turns: true,
        rotate_deg: 20.0,
        crop: CropRule::RandomCrop { size: 24, scale: [1.0, 1.0] },
        jitter: Jitter::default(),
    }
}

/// Each pixel of the picture says where it came from; the mask must have come from there too.
fn assert_together(image: &Image, mask: &Mask) {
    assert_eq!(image.size(), mask.size());
    for y in 0..image.height {
        for x in 0..image.width {
            let [column, row, here] = image.pixel(x, y);
            if here == 0 {
                // Black came in from outside.
                assert_eq!(mask.id(x, y), UNLABELLED);
            } else {
                assert_eq!(mask.id(x, y), coordinate_id(column.into(), row.into()), "at {x},{y}");
            }
        }
    }
}

#[test]
fn masks_move_with_their_pictures() {
    let (image, mask) = (coordinates(60, 45), coordinate_mask(60, 45));
    let mut seen = HashSet::new();
    for index in 0..60 {
        let (image, mask) = all_geometry().image_and_mask(&image, &mask, 3, 1, index);
        assert_eq!(image.size(), [24, 24]);
        assert_together(&image, &mask);
        seen.insert(image.pixels);
    }
    assert_eq!(seen.len(), 60, "every sample is another");
}

#[test]
fn scaled_crops_stay_aligned_to_half_a_pixel() {
    let (image, mask) = (coordinates(120, 120), Mask::from_fn(120, 120, |x, _| x as u8));
    for (scale, slack) in [([0.5, 0.5], 1.0), ([2.0, 2.0], 1.0), ([0.7, 1.6], 1.0)] {
        let augment = Augment { crop: CropRule::RandomCrop { size: 32, scale }, ..Augment::default() };
        for index in 0..20 {
            let (image, mask) = augment.image_and_mask(&image, &mask, 1, 0, index);
            assert_eq!(image.size(), [32, 32]);
            for y in 0..32 {
                for x in 1..31 {
                    let difference = f32::from(image.pixel(x, y)[0]) - f32::from(mask.id(x, y));
                    assert!(difference.abs() <= slack, "{scale:?} at {x},{y}: {difference}");
                }
            }
        }
    }
}

#[test]
fn a_whole_tile_made_smaller_is_mirrored_at_its_edges() {
    let (image, mask) = (coordinates(40, 40), Mask::from_fn(40, 40, |x, _| x as u8));
    let augment = |scale| Augment {
        crop: CropRule::RandomCrop { size: 40, scale: [scale, scale] },
        ..Augment::default()
    };
    let mut starts = HashSet::new();
    for index in 0..30 {
        let (seen, ids) = augment(0.5).image_and_mask(&image, &mask, 1, 0, index);
        assert_eq!((seen.size(), ids.size()), ([40, 40], [40, 40]));
        // Columns 1, 3, 5 ... stand where the smaller picture lies; nothing is unlabelled.
        let row: Vec<u8> = (0..40).map(|x| ids.id(x, 7)).collect();
        let start = (0..=20).find(|s| (0..20).all(|x| usize::from(row[s + x]) == 2 * x + 1)).unwrap();
        for x in 0..40 {
            let inner = if x < start { start - 1 - x } else { (x - start).min(2 * 20 - 1 - (x - start)) };
            assert_eq!(usize::from(row[x]), 2 * inner + 1, "{x} from {start}: {row:?}");
            assert!(u8::abs_diff(seen.pixel(x, 7)[0], row[x]) <= 1);
        }
        starts.insert(start);
    }
    assert!(starts.len() > 10, "{starts:?}");
    // Larger ones are cut, and a picture smaller than the crop is still scaled up to it.
    assert_eq!(augment(2.0).image(&image, 1, 0, 0).size(), [40, 40]);
    let small = coordinates(20, 30);
    let scaled = augment(1.0).image(&small, 1, 0, 0);
    assert_eq!(scaled.size(), [40, 40]);
    assert!(scaled.pixel(0, 5)[0] < 2 && scaled.pixel(39, 5)[0] > 17);
}

#[test]
fn flips_and_turns_give_all_eight_positions() {
    let image = Image::from_fn(2, 2, |x, y| [(2 * y + x) as u8; 3]);
    let augment = Augment { flip_h: true, flip_v: true, quarter_turns: true, ..Augment::default() };
    let mut counts = std::collections::HashMap::new();
    for index in 0..800 {
        let turned = augment.image(&image, 1, 0, index);
        *counts.entry(turned.pixels).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 8);
    assert!(counts.values().all(|&n| (60..150).contains(&n)), "{counts:?}");
}

#[test]
fn each_flip_is_what_it_says() {
    let image = coordinates(5, 3);
    let variants = |augment: &Augment| -> HashSet<Vec<u8>> {
        (0..40).map(|index| augment.image(&image, 0, 0, index).pixels).collect()
    };
    let mirrored = |f: &dyn Fn(usize, usize) -> (usize, usize)| {
        let pixel = |x, y| {
            let (x, y) = f(x, y);
            image.pixel(x, y)
        };
        Image::from_fn(5, 3, pixel).pixels
    };
    let left_right = mirrored(&|x, y| (4 - x, y));
    let top_bottom = mirrored(&|x, y| (x, 2 - y));
    let half_turn = mirrored(&|x, y| (4 - x, 2 - y));
    let itself = image.pixels.clone();
    let of = |list: &[&Vec<u8>]| list.iter().map(|v| (*v).clone()).collect::<HashSet<_>>();
    assert_eq!(variants(&Augment { flip_h: true, ..Augment::default() }), of(&[&itself, &left_right]));
    assert_eq!(variants(&Augment { flip_v: true, ..Augment::default() }), of(&[&itself, &top_bottom]));
    // What is not square keeps its size.
    assert_eq!(variants(&Augment { quarter_turns: true, ..Augment::default() }), of(&[&itself, &half_turn]));
}

#[test]
fn only_seed_epoch_and_index_decide() {
    let image = coordinates(50, 50);
    let augment = Augment {
        crop: CropRule::RandomResized { area: [0.08, 1.0], aspect: [0.75, 4.0 / 3.0], size: 20 },
        jitter: Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4 },
        ..all_geometry()
    };
    let once: Vec<Image> = (0..20).map(|i| augment.image(&image, 5, 2, i)).collect();
    let backwards: Vec<Image> = (0..20).rev().map(|i| augment.image(&image, 5, 2, i)).collect();
    assert!(once.iter().eq(backwards.iter().rev()));
    for (seed, epoch) in [(6, 2), (5, 3)] {
        let other: Vec<Image> = (0..20).map(|i| augment.image(&image, seed, epoch, i)).collect();
        assert!(once.iter().zip(&other).all(|(a, b)| a != b), "seed {seed}, epoch {epoch}");
    }
    // Another change switched off leaves the rest as it was.
    let without = Augment { jitter: Jitter::default(), ..augment.clone() };
    let (a, b) = (augment.image(&image, 5, 2, 0), without.image(&image, 5, 2, 0));
    assert_eq!(a.size(), b.size());
    assert_ne!(a, b);
}

#[test]
fn random_resized_crops_have_the_area_and_shape_asked_for() {
    // The picture tells its coordinates, so that the corners of the result tell the part that was taken.
    let image = coordinates(200, 160);
    let augment = |area, aspect| Augment {
        crop: CropRule::RandomResized { area, aspect, size: 64 },
        ..Augment::default()
    };
    let mut areas = Vec::new();
    for index in 0..300 {
        let part = augment([0.25, 0.5], [0.75, 4.0 / 3.0]).image(&image, 1, 0, index);
        assert_eq!(part.size(), [64, 64]);
        let extent = |axis: usize, a: (usize, usize), b: (usize, usize)| {
            (f32::from(part.pixel(b.0, b.1)[axis]) - f32::from(part.pixel(a.0, a.1)[axis])) * 64.0 / 63.0
        };
        let (w, h) = (extent(0, (0, 0), (63, 0)), extent(1, (0, 0), (0, 63)));
        let (area, ratio) = (w * h / (200.0 * 160.0), w / h);
        assert!((0.23..0.53).contains(&area) && (0.7..1.43).contains(&ratio), "{area} {ratio}");
        areas.push(area);
    }
    let mean = areas.iter().sum::<f32>() / areas.len() as f32;
    assert!((mean - 0.375).abs() < 0.02, "{mean}");
    // A shape that never fits: the largest centred part.
    let part = augment([1.0, 1.0], [1.0, 1.0]).image(&image, 1, 0, 0);
    let centre = part.pixel(32, 32);
    assert!(centre[0].abs_diff(100) <= 2 && centre[1].abs_diff(80) <= 2, "{centre:?}");
}

#[test]
fn crops_of_small_and_odd_pictures() {
    let augment = Augment { crop: CropRule::RandomCrop { size: 16, scale: [0.5, 2.0] }, ..all_geometry() };
    for (width, height) in [(1, 1), (1, 30), (30, 1), (16, 16), (15, 17), (5, 40)] {
        for index in 0..10 {
            let pair = augment.image_and_mask(
                &coordinates(width, height),
                &coordinate_mask(width, height),
                1,
                1,
                index,
            );
            assert_eq!((pair.0.size(), pair.1.size()), ([16, 16], [16, 16]));
        }
    }
    let resized = CropRule::RandomResized { area: [0.08, 1.0], aspect: [0.75, 1.3333], size: 8 };
    for (width, height) in [(1, 1), (1, 30), (30, 1)] {
        let augment = Augment { crop: resized, ..Augment::default() };
        assert_eq!(augment.image(&coordinates(width, height), 1, 1, 1).size(), [8, 8]);
    }
}

#[test]
fn a_rotation_turns_about_the_centre() {
    let augment = Augment { rotate_deg: 30.0, ..Augment::default() };
    let (image, mask) = (coordinates(41, 41), coordinate_mask(41, 41));
    let mut outside = 0;
    for index in 0..30 {
        let (turned, ids) = augment.image_and_mask(&image, &mask, 9, 0, index);
        assert_eq!(turned.pixel(20, 20), [20, 20, 7]);
        assert_together(&turned, &ids);
        outside += ids.ids.iter().filter(|&&id| id == UNLABELLED).count();
    }
    assert!(outside > 0);
}

#[test]
fn jitter_leaves_masks_alone_and_stays_in_range() {
    let image = Image::from_fn(16, 16, |x, y| [(x * 17) as u8, (y * 17) as u8, 128]);
    let mask = coordinate_mask(16, 16);
    let jitter = Jitter { brightness: 0.5, contrast: 0.5, saturation: 0.5 };
    let augment = Augment { jitter, ..Augment::default() };
    let mut brightness = Vec::new();
    for index in 0..50 {
        let (coloured, same) = augment.image_and_mask(&image, &mask, 2, 0, index);
        assert_eq!(same, mask);
        let sum = |i: &Image| i.pixels.iter().map(|&v| f64::from(v)).sum::<f64>();
        brightness.push(sum(&coloured) / sum(&image));
    }
    let (low, high) = brightness.iter().fold((f64::MAX, 0.0f64), |(l, h), &v| (l.min(v), h.max(v)));
    assert!(low < 0.8 && high > 1.1 && high < 1.6, "{low} {high}");
}

#[test]
fn the_default_changes_nothing() {
    let (image, mask) = (coordinates(7, 9), coordinate_mask(7, 9));
    assert!(Augment::default().is_none());
    assert_eq!(Augment::default().image_and_mask(&image, &mask, 1, 2, 3), (image, mask));
}

#[test]
fn settings_are_read_from_toml() {
    let text = "flip_h = true\ncrop = { random_crop = { size = 256, scale = [0.5, 1.5] } }\njitter = { contrast = 0.2 }\n";
    let augment: Augment = toml::from_str(text).unwrap();
    assert_eq!(augment.crop, CropRule::RandomCrop { size: 256, scale: [0.5, 1.5] });
    assert_eq!(augment.jitter.contrast, 0.2);
    assert_eq!(toml::from_str::<Augment>(&toml::to_string(&augment).unwrap()).unwrap(), augment);
    assert!(toml::from_str::<Augment>("flip = true").is_err());
}
