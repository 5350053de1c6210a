//! Cut-outs of the tiles, on class borders, in which two runs differ most, for the better and for the worse.

use hectare_data::{Image, Mask, read_image, read_mask};

use super::tiles::validation_set;
use crate::document::{Block, Document, Gallery, Panel};
use crate::error::ReportError;
use crate::picture::{crop, mask_colours};
use crate::run::Run;
use crate::study::Study;

/// Cut-outs in which the second run is better, and in which it is worse.
const SHOWN: [usize; 2] = [4, 2];

/// Where two masks differ most within a tile.
struct Window {
    sample: usize,
    at: [usize; 2],
    size: [usize; 2],
    /// Share of pixels that the second gets right and the first does not, less the reverse.
    gain: f64,
}

/// Adds the pictures; nothing with fewer than two studied runs.
pub fn add(document: &mut Document, runs: &[&Run]) -> Result<(), ReportError> {
    let studied: Vec<&&Run> = runs.iter().filter(|run| run.study.is_some()).collect();
    let [first, .., second] = studied[..] else { return Ok(()) };
    let Some(set) = validation_set(second) else { return Ok(()) };
    let mask = |run: &Run, stem: &str| {
        read_mask(&Study::masks(&run.folder).join(format!("{stem}_mask.png")), &run.classes).ok()
    };
    let mut windows = Vec::new();
    for (index, sample) in set.samples.iter().enumerate() {
        let (Some(a), Some(b)) = (mask(first, &sample.stem), mask(second, &sample.stem)) else { continue };
        let Ok(truth) = read_mask(&sample.mask, &second.classes) else { continue };
        if truth.size() == a.size() && truth.size() == b.size() {
            windows.extend(extremes(index, &truth, &a, &b));
        }
    }
    windows.sort_by(|a, b| b.gain.total_cmp(&a.gain).then(a.sample.cmp(&b.sample)));
    let better = windows.iter().filter(|window| window.gain > 0.0).take(SHOWN[0]);
    let worse = windows.iter().rev().filter(|window| window.gain < 0.0).take(SHOWN[1]);
    let mut rows = Vec::new();
    for window in better.chain(worse) {
        let sample = &set.samples[window.sample];
        let stem = &sample.stem;
        let (Ok(image), Ok(truth)) = (read_image(&sample.image), read_mask(&sample.mask, &second.classes))
        else {
            continue;
        };
        let cut = |picture: &Image, what: &str, is_mask: bool| {
            let [x, y] = window.at;
            let alt = format!("Tile {stem} from ({x}, {y}) on, {what}");
            Panel::new(&crop(picture, window.at, window.size), alt, is_mask).map(Some)
        };
        let mut panels = vec![
            cut(&image, "the image", false)?,
            cut(&mask_colours(&truth, &second.classes), "the truth", true)?,
        ];
        for run in [first, second] {
            panels.push(match mask(run, stem) {
                Some(mask) => cut(&mask_colours(&mask, &run.classes), &run.name, true)?,
                None => None,
            });
        }
        let points = 100.0 * window.gain;
        rows.push((format!("Tile {stem}: {points:+.0} % of these pixels right in {}", second.name), panels));
    }
    if rows.is_empty() {
        return Ok(());
    }
    document.heading(3, format!("Where {} and {} differ most", first.name, second.name));
    document.push(Block::Gallery(Gallery {
        caption: format!(
            "Cut-outs chosen by figures: {} gains most, then those in which it loses most",
            second.name
        ),
        columns: vec!["Image".into(), "Truth".into(), first.name.clone(), second.name.clone()],
        rows,
        classes: Some(second.classes.clone()),
    }));
    Ok(())
}

/// Whether at least a tenth of a window is not of its most frequent class.
fn holds_border(truth: &Mask, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> bool {
    let mut counts = [0usize; 256];
    for row in y..y + height {
        let start = row * truth.width + x;
        truth.ids[start..start + width].iter().for_each(|id| counts[usize::from(*id)] += 1);
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    (width * height - most) * 10 >= width * height
}

/// The window of a tile where the second mask gains most, and the one where it loses most, of those that hold a border.
fn extremes(sample: usize, truth: &Mask, a: &Mask, b: &Mask) -> Vec<Window> {
    let [width, height] = truth.size();
    let size = [(width / 4).max(1), (height / 4).max(1)];
    // Sums over all pixels above and left of a corner give those of any window.
    let mut sums = vec![0i64; (width + 1) * (height + 1)];
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let right = |mask: &Mask| i64::from(mask.ids[at] == truth.ids[at]);
            sums[(y + 1) * (width + 1) + x + 1] =
                right(b) - right(a) + sums[y * (width + 1) + x + 1] + sums[(y + 1) * (width + 1) + x]
                    - sums[y * (width + 1) + x];
        }
    }
    let sum = |x: usize, y: usize| sums[y * (width + 1) + x];
    let step = [(size[0] / 4).max(1), (size[1] / 4).max(1)];
    let (mut most, mut least): (Option<Window>, Option<Window>) = (None, None);
    for y in (0..=height - size[1]).step_by(step[1]) {
        for x in (0..=width - size[0]).step_by(step[0]) {
            if !holds_border(truth, [x, y], size) {
                continue;
            }
            let (right, below) = (x + size[0], y + size[1]);
            let total = sum(right, below) - sum(x, below) - sum(right, y) + sum(x, y);
            let gain = total as f64 / (size[0] * size[1]) as f64;
            let window = || Some(Window { sample, at: [x, y], size, gain });
            if most.as_ref().is_none_or(|most| gain > most.gain) {
                most = window();
            }
            if least.as_ref().is_none_or(|least| gain < least.gain) {
                least = window();
            }
        }
    }
    most.into_iter().chain(least).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_windows_hold_the_gain_and_the_loss() {
        // Stripes, so that every window holds a border.
        let stripe = |x: usize| (x / 2 % 2) as u8;
        let truth = Mask::from_fn(40, 40, |x, _| stripe(x));
        let spot = |x0: usize, y0: usize| {
            Mask::from_fn(40, 40, |x, y| {
                let wrong = (x0..x0 + 10).contains(&x) && (y0..y0 + 10).contains(&y);
                if wrong { 1 - stripe(x) } else { stripe(x) }
            })
        };
        let found = extremes(3, &truth, &spot(30, 0), &spot(0, 20));
        assert_eq!((found[0].at, found[0].gain, found[0].size), ([30, 0], 1.0, [10, 10]));
        assert_eq!((found[1].at, found[1].gain), ([0, 20], -1.0));
        // A window within one class shows no border, however much differs there.
        assert!(extremes(3, &Mask::filled(40, 40, 1), &spot(30, 0), &spot(0, 20)).is_empty());
    }
}
