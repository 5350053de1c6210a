//! Change of size: antialiased bilinear for pictures (Pillow's), nearest pixel for masks.

use crate::{Image, Mask};

/// A rectangle of pixels: left, top, width, height.
pub type Window = [usize; 4];

/// Fraction bits of the weights, as in Pillow: a sum of weights times 255 fits 32 bits with two to spare.
const WEIGHT_BITS: u32 = 22;

/// The picture at `width` x `height`, by Pillow's `BILINEAR`: a triangle filter that widens when shrinking, in
/// Pillow's fixed point, rows first. The bits are Pillow's where it goes the same way; where it takes columns
/// first (Pillow 13 does, for pictures that shrink much more in height than in width) they differ by 1 level at
/// most.
///
/// # Panics
/// When a side of the result is 0.
pub fn resize(image: &Image, width: usize, height: usize) -> Image {
    resize_crop(image, [0, 0, image.width, image.height], width, height)
}

/// A window of the picture at `width` x `height`; the same as cutting it out and calling [`resize`].
///
/// # Panics
/// When a side is 0 or the window leaves the picture.
pub fn resize_crop(image: &Image, window: Window, width: usize, height: usize) -> Image {
    check(image.size(), window, width, height);
    let [left, top, w, h] = window;
    let rows = (top..top + h).map(|y| &image.pixels[(y * image.width + left) * 3..][..w * 3]);
    let mut pixels = if w == width { rows.collect::<Vec<_>>().concat() } else { across(rows, w, width, h) };
    if h != height {
        pixels = down(&pixels, width * 3, h, height);
    }
    Image { width, height, pixels }
}

/// Which samples one output sample is made of, and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The triangle filter's taps for each of `to` samples out of `from`.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let one = |i: usize| {
        let centre = (i as f64 + 0.5) * scale;
        // Truncation, as Pillow's; what is below 0 becomes 0.
        let first = (centre - reach + 0.5) as usize;
        let end = ((centre + reach + 0.5) as usize).min(from);
        let weight = |x: usize| (1.0 - ((x as f64 - centre + 0.5) * (1.0 / reach)).abs()).max(0.0);
        let sum: f64 = (first..end).map(weight).sum();
        let fixed = |x| (0.5 + weight(x) / sum * f64::from(1 << WEIGHT_BITS)) as i32;
        Taps { first, weights: (first..end).map(fixed).collect() }
    };
    (0..to).map(one).collect()
}

fn round(sum: i32) -> u8 {
    ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// Resizes each of `count` rows of `from` pixels to `to`.
fn across<'a>(rows: impl Iterator<Item = &'a [u8]>, from: usize, to: usize, count: usize) -> Vec<u8> {
    let taps = taps(from, to);
    let mut out = Vec::with_capacity(to * count * 3);
    for row in rows {
        let row = row.as_chunks::<3>().0;
        for Taps { first, weights } in &taps {
            let mut sum = [0; 3];
            for (pixel, &weight) in row[*first..].iter().zip(weights) {
                for c in 0..3 {
                    sum[c] += i32::from(pixel[c]) * weight;
                }
            }
            out.extend(sum.map(round));
        }
    }
    out
}

/// Resizes `from` rows of `line` bytes to `to` rows.
fn down(data: &[u8], line: usize, from: usize, to: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(line * to);
    let mut sums = vec![0; line];
    for Taps { first, weights } in taps(from, to) {
        sums.fill(0);
        for (row, weight) in data.chunks_exact(line).skip(first).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += i32::from(v) * weight);
        }
        out.extend(sums.iter().map(|&sum| round(sum)));
    }
    out
}

/// The mask at `width` x `height`: each pixel takes the id at its centre.
///
/// # Panics
/// When a side of the result is 0.
pub fn resize_mask(mask: &Mask, width: usize, height: usize) -> Mask {
    resize_mask_crop(mask, [0, 0, mask.width, mask.height], width, height)
}

/// A window of the mask at `width` x `height`.
///
/// # Panics
/// When a side is 0 or the window leaves the mask.
pub fn resize_mask_crop(mask: &Mask, window: Window, width: usize, height: usize) -> Mask {
    check(mask.size(), window, width, height);
    let [left, top, w, h] = window;
    // floor((i + 1/2) * from / to), in integers.
    let nearest = |i: usize, from: usize, to: usize| (2 * i + 1) * from / (2 * to);
    let columns: Vec<usize> = (0..width).map(|x| left + nearest(x, w, width)).collect();
    let mut ids = Vec::with_capacity(width * height);
    for y in 0..height {
        let row = &mask.ids[(top + nearest(y, h, height)) * mask.width..][..mask.width];
        ids.extend(columns.iter().map(|&x| row[x]));
    }
    Mask { width, height, ids }
}

fn check(size: [usize; 2], [left, top, w, h]: Window, width: usize, height: usize) {
    assert!(width > 0 && height > 0 && w > 0 && h > 0, "a side of 0: {w}x{h} to {width}x{height}");
    assert!(left + w <= size[0] && top + h <= size[1], "window {left},{top} {w}x{h} of {size:?}");
}
