//! The grader's lines, on every kind of mask.

use crate::support::{PALETTE, Place};

#[test]
fn the_graders_lines() {
    let place = Place::new();
    // Ids by row: truth 0 0 1 1 2 3 4 5, prediction 0 1 1 1 2 3 4 5.
    place.mask("labels/0010_mask.png", 8, 1, |x, _| [0, 0, 1, 1, 2, 3, 4, 5][x as usize]);
    place.mask("pred/0010.png", 8, 1, |x, _| [0, 1, 1, 1, 2, 3, 4, 5][x as usize]);
    let said = place.hectare("score --labels labels --pred pred").exits(0);
    let expected = "class #0 : 0.50000\nclass #1 : 0.66667\nclass #2 : 1.00000\nclass #3 : 1.00000\n\
                    class #4 : 1.00000\nclass #5 : 1.00000\n\nmean_iou: 0.861111\n\n";
    assert_eq!(said.out, expected);
    assert_eq!(said.err, "");
    place.hectare("score --labels labels --pred pred --min-miou 0.86").exits(0);
    place.hectare("score --labels labels --pred pred --min-miou 0.87").exits(1);
}

#[test]
fn json_holds_the_confusion_matrix() {
    let place = Place::new();
    // Red in the truth is Unknown; urban predicted there is a false positive of urban.
    let colours = [PALETTE[0], [255, 0, 0], PALETTE[6], PALETTE[4]];
    let truth = image::RgbImage::from_fn(4, 1, |x, _| image::Rgb(colours[x as usize]));
    std::fs::create_dir(place.at("labels")).unwrap();
    truth.save(place.at("labels/a_mask.png")).unwrap();
    place.mask("pred/a_mask.png", 4, 1, |x, _| [0, 0, 6, 0][x as usize]);
    let json = place.hectare("score --labels labels --pred pred --json").exits(0).json();
    assert_eq!(json["protocol"], "course");
    assert_eq!(json["images"], 1);
    assert_eq!(json["classes"].as_array().unwrap().len(), 6);
    assert_eq!(json["classes"][0]["name"], "Urban");
    assert_eq!(json["classes"][0]["iou"].as_f64().unwrap(), 1.0 / 3.0);
    assert!(json["classes"][1]["iou"].is_null());
    assert_eq!(json["classes"][4]["iou"], 0.0);
    assert_eq!(json["mean_iou"].as_f64().unwrap(), 1.0 / 6.0);
    let confusion = &json["confusion"];
    assert_eq!(
        (&confusion[0][0], &confusion[6][0], &confusion[6][6], &confusion[4][0]),
        (&1.into(), &1.into(), &1.into(), &1.into())
    );
    assert_eq!(confusion.as_array().unwrap().len(), 7);
}

#[test]
fn orphans_alpha_palettes_and_greys() {
    let place = Place::new();
    for name in ["0001", "0002", "0003", "0004"] {
        place.mask(&format!("labels/{name}_mask.png"), 5, 3, |x, _| x as usize);
    }
    place.mask("pred/0001_mask.png", 5, 3, |x, _| x as usize);
    // Alpha does not count, and 128 is where a channel begins to be on.
    let alpha = image::RgbaImage::from_fn(5, 3, |x, y| {
        let on = |channel: u8| if channel > 0 { 128 } else { 127 };
        let [r, g, b] = PALETTE[x as usize];
        image::Rgba([on(r), on(g), on(b), y as u8])
    });
    alpha.save(place.at("pred/0002_mask.png")).unwrap();
    image::GrayImage::from_fn(5, 3, |x, _| image::Luma([x as u8]))
        .save(place.at("pred/0003_mask.png"))
        .unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(place.at("pred/0004_mask.png")).unwrap(), 5, 3);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    // The palette is turned round: its colours count, not its indices.
    encoder.set_palette(PALETTE.iter().rev().flatten().copied().collect::<Vec<u8>>());
    let ids: Vec<u8> = (0..15).map(|i| 6 - i % 5).collect();
    encoder.write_header().unwrap().write_image_data(&ids).unwrap();
    let json = place.hectare("score --labels labels --pred pred --json").exits(0).json();
    assert_eq!(json["mean_iou"], 1.0);
    assert_eq!(json["images"], 4);

    place.mask("labels/0005_mask.png", 5, 3, |_, _| 1);
    place.mask("pred/0006_mask.png", 5, 3, |_, _| 1);
    let said = place.hectare("score --labels labels --pred pred").exits(1);
    assert!(said.err.contains("0005_mask.png") && said.err.contains("0006_mask.png"), "{said:?}");
    assert!(said.out.contains("mean_iou: 1.000000"), "{said:?}");
    let json = place.hectare("score --labels labels --pred pred --json").exits(1).json();
    assert_eq!(json["orphans"], serde_json::json!(["0005_mask.png"]));
}
