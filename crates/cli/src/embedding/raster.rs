//! A map as a picture of pixels.

use hectare_data::Image;

use super::canvas::{Canvas, Letters};
use super::colours;
use super::plot::{LINE, MARGIN, Plot, SIDE, Style, TITLE};

/// Colour of titles.
const INK: [u8; 3] = [40, 40, 40];

/// Draws the whole picture.
pub fn draw(plot: &Plot<'_>) -> Image {
    let [width, height] = plot.size();
    let mut canvas = Canvas::new(width, height);
    for (i, line) in plot.title.iter().enumerate() {
        canvas.text([MARGIN as i64, 10 + 26 * i as i64], line, Letters::Medium, INK);
    }
    let pixels = plot.pixels();
    match (plot.style(), plot.labels) {
        (Style::Numbers, Some(labels)) => {
            for (point, number) in pixels.iter().zip(&labels.of_row) {
                let colour = labels.classes[labels.place(*number)].colour;
                canvas.text_at(*point, &number.to_string(), Letters::Small, colour);
            }
        }
        (Style::Dots, Some(labels)) => {
            for (point, number) in pixels.iter().zip(&labels.of_row) {
                canvas.disc(*point, plot.radius(), labels.classes[labels.place(*number)].colour, 0.8);
            }
            for (class, middle) in labels.classes.iter().zip(plot.medians()) {
                canvas.text_with_rim(middle, &class.number.to_string(), Letters::Large, INK);
            }
        }
        _ if pixels.len() < 2000 => {
            for point in &pixels {
                canvas.disc(*point, plot.radius(), colours::of_density(0.7), 0.6);
            }
        }
        _ => {
            let (shades, corner) = (density(plot), [MARGIN, TITLE + MARGIN]);
            for y in 0..shades.height {
                for x in 0..shades.width {
                    canvas.blend((corner[0] + x) as i64, (corner[1] + y) as i64, shades.pixel(x, y), 1.0);
                }
            }
        }
    }
    for column in plot.legend() {
        for (i, (class, title)) in column.entries.iter().enumerate() {
            let top = (TITLE + MARGIN + i * LINE) as i64;
            let left = column.left as i64;
            let class = class.and_then(|place| Some(&plot.labels?.classes[place]));
            if let Some(class) = class {
                canvas.rectangle([left, top + 4], [12, 12], class.colour);
            }
            canvas.text([left + 20, top], title, Letters::Medium, class.map_or(INK, |class| class.colour));
        }
    }
    canvas.into_image()
}

/// How many points lie where, as shades: the logarithm of counts about each pixel.
pub fn density(plot: &Plot<'_>) -> Image {
    let side = SIDE - 2 * MARGIN;
    let mut counts = vec![0.0_f32; side * side];
    for [x, y] in plot.unit() {
        let cell = |v: f32| ((v * side as f32) as usize).min(side - 1);
        counts[cell(y) * side + cell(x)] += 1.0;
    }
    // Wider for fewer points, so that they join.
    let reach = (160.0 / (plot.points.len().max(1) as f32).sqrt()).ceil().clamp(1.0, 8.0) as usize;
    for _ in 0..2 {
        counts = smoothed(&counts, side, reach);
    }
    let least = 1.0 / ((2 * reach + 1) as f32).powi(4);
    let most = counts.iter().copied().fold(least, f32::max);
    let scale = f64::from((most / least).ln_1p());
    Image::from_fn(side, side, |x, y| {
        colours::of_density(f64::from((counts[y * side + x] / least).ln_1p()) / scale)
    })
}

/// Means over squares, `reach` pixels to each side.
fn smoothed(values: &[f32], side: usize, reach: usize) -> Vec<f32> {
    let along = |values: &[f32], step: usize, next: usize| {
        let mut result = vec![0.0; values.len()];
        for line in 0..side {
            for i in 0..side {
                let (low, high) = (i.saturating_sub(reach), (i + reach).min(side - 1));
                let sum: f32 = (low..=high).map(|j| values[line * next + j * step]).sum();
                result[line * next + i * step] = sum / (2 * reach + 1) as f32;
            }
        }
        result
    };
    along(&along(values, 1, side), side, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::labels::Labels;

    fn ink(image: &Image) -> usize {
        image.pixels.chunks(3).filter(|pixel| pixel.iter().any(|c| *c < 250)).count()
    }

    #[test]
    fn every_style_leaves_ink() {
        for (n, labelled) in [(1, true), (1, false), (300, true), (300, false), (7000, true), (7000, false)] {
            let points: Vec<[f32; 2]> =
                (0..n).map(|i| [(i * 37 % 101) as f32, (i * 53 % 89) as f32]).collect();
            let labels = Labels::new((0..n as u32).map(|i| i % 7).collect(), &|_| None);
            let title = ["one".to_string(), "two".to_string()];
            let plot = Plot { points: &points, labels: labelled.then_some(&labels), title };
            let image = draw(&plot);
            assert_eq!(image.size(), plot.size());
            assert!(ink(&image) > 100 + n / 2, "{n} {labelled}: {}", ink(&image));
        }
    }

    #[test]
    fn smoothing_keeps_the_sum_inside() {
        let mut values = vec![0.0; 121];
        values[60] = 1.0;
        let smooth = smoothed(&values, 11, 2);
        assert!((smooth.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((smooth[60] - 0.04).abs() < 1e-7 && smooth[60] == smooth[36]);
    }
}
