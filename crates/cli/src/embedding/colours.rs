//! A colour for each class, dark enough for white paper: three lightnesses, and in each of them hues a golden angle apart, which
//! keeps any number of them as far from each other as can be.

/// The colour of the `i`-th class, red, green and blue.
pub fn of_class(i: usize) -> [u8; 3] {
    let lightness = [0.52, 0.66, 0.40][i % 3];
    let hue = ((i / 3) as f64 * 137.507_764 + (i % 3) as f64 * 120.0).to_radians() + 0.5;
    // The most colourful that the screen can show.
    let chroma = (0..=20).map(|step| 0.2 - 0.01 * f64::from(step));
    chroma
        .map(|chroma| oklch(lightness, chroma, hue))
        .find_map(|rgb| inside(rgb).then(|| bytes(rgb)))
        .unwrap_or([90; 3])
}

/// A shade from white to dark blue for a share of 0 to 1.
pub fn of_density(share: f64) -> [u8; 3] {
    if share <= 0.0 {
        return [255; 3];
    }
    let share = share.min(1.0);
    let rgb =
        oklch(0.88 - 0.68 * share, 0.05 + 0.07 * (share * std::f64::consts::PI).sin(), 4.45 - 0.35 * share);
    bytes(rgb.map(|value| value.clamp(0.0, 1.0)))
}

/// As `#rrggbb`.
pub fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Linear red, green and blue of a colour in Ottosson's Oklab (2020), by lightness, chroma and hue.
fn oklch(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (a, b) = (chroma * hue.cos(), chroma * hue.sin());
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ]
}

fn inside(rgb: [f64; 3]) -> bool {
    rgb.iter().all(|value| (0.0..=1.0).contains(value))
}

/// Linear values as bytes of sRGB.
fn bytes(rgb: [f64; 3]) -> [u8; 3] {
    rgb.map(|value| {
        let value = if value <= 0.003_130_8 { 12.92 * value } else { 1.055 * value.powf(1.0 / 2.4) - 0.055 };
        (value * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_classes_have_fifty_colours_that_show_on_white() {
        let colours: Vec<[u8; 3]> = (0..50).map(of_class).collect();
        for (i, a) in colours.iter().enumerate() {
            assert!(a.iter().map(|c| u32::from(*c)).sum::<u32>() < 600, "{a:?}");
            for b in &colours[..i] {
                let apart: i32 = a.iter().zip(b).map(|(a, b)| (i32::from(*a) - i32::from(*b)).abs()).sum();
                assert!(apart > 12, "{a:?} and {b:?}");
            }
        }
        assert_eq!(hex([255, 0, 10]), "#ff000a");
    }

    #[test]
    fn more_points_are_darker() {
        let light = |share| of_density(share).iter().map(|c| u32::from(*c)).sum::<u32>();
        assert_eq!(of_density(0.0), [255; 3]);
        let steps: Vec<u32> = (1..=10).map(|step| light(f64::from(step) / 10.0)).collect();
        assert!(steps.is_sorted_by(|a, b| a > b), "{steps:?}");
    }
}
