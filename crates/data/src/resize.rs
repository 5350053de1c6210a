//! Change of size: antialiased bilinear for pictures (Pillow's), nearest pixel for masks.

use std::cell::RefCell;

use fast_image_resize::images::{Image as Target, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::{Image, Mask};

/// A rectangle of pixels: left, top, width, height.
pub type Window = [usize; 4];

thread_local! {
    // Keeps its buffers from one picture to the next.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// The picture at `width` x `height`, by Pillow's `BILINEAR`: a triangle filter that widens when shrinking, in
/// fixed point. Agrees with Pillow within 1 level.
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
    if (w, h) == (width, height) {
        return Image { width, height, pixels: crop::<3>(&image.pixels, image.width, window) };
    }
    let source = ImageRef::new(image.width as u32, image.height as u32, &image.pixels, PixelType::U8x3)
        .expect("the pixels fill the picture");
    let mut target = Target::new(width as u32, height as u32, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left as f64, top as f64, w as f64, h as f64)
        .use_alpha(false);
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize(&source, &mut target, &options))
        .expect("equal pixel types");
    Image { width, height, pixels: target.into_vec() }
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
    if (w, h) == (width, height) {
        return Mask { width, height, ids: crop::<1>(&mask.ids, mask.width, window) };
    }
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

/// A window of rows of `width` pixels of `B` bytes.
fn crop<const B: usize>(data: &[u8], width: usize, [left, top, w, h]: Window) -> Vec<u8> {
    let mut out = Vec::with_capacity(w * h * B);
    for y in top..top + h {
        out.extend_from_slice(&data[(y * width + left) * B..][..w * B]);
    }
    out
}
