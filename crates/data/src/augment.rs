//! Random changes of training pictures, and of their masks with them.
//!
//! What happens to a sample is a function of (seed, epoch, index of the sample): see [`Augment::draw`]. The
//! order is crop and resize, rotation, flips and quarter turns, colours.

use hectare_kernels::rng::Key;
use serde::{Deserialize, Serialize};

use crate::resize::{Window, resize_crop, resize_mask_crop};
use crate::{Image, Jitter, Mask, Raster, UNLABELLED};

/// Sets augmentation's random numbers apart from all others of one seed.
const STREAM: u64 = 0x6175_676d << 32;

/// Which random changes to make. The default makes none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror left and right, for half of the samples.
    pub flip_h: bool,
    /// Mirror top and bottom, for half of the samples.
    pub flip_v: bool,
    /// Turn by 0, 90, 180 or 270 degrees; what is not square only by 0 or 180.
    pub quarter_turns: bool,
    /// Turn by up to this many degrees either way about the centre, as torchvision's `RandomRotation`: nearest
    /// pixel, what comes from outside is black (and unlabelled in a mask).
    pub rotate_deg: f32,
    /// The part of the picture to use.
    pub crop: CropRule,
    /// Random colours (the mask stays as it is).
    pub jitter: Jitter,
}

/// The part of a picture to train on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CropRule {
    /// The whole picture at its own size.
    #[default]
    None,
    /// torchvision's `RandomResizedCrop`: a part of random area and shape, resized to a square.
    RandomResized {
        /// Smallest and largest share of the area, such as 0.08 and 1.
        area: [f32; 2],
        /// Smallest and largest ratio of width to height, such as 3/4 and 4/3.
        aspect: [f32; 2],
        /// Side of the result in pixels.
        size: usize,
    },
    /// A square at a random place, from the picture scaled by a random factor. A picture that is smaller than
    /// the square is scaled up to it; one that a factor below 1 makes smaller is mirrored at its edges.
    RandomCrop {
        /// Side of the result in pixels.
        size: usize,
        /// Smallest and largest factor; factors are drawn evenly in their logarithm. 1 and 1 for no scaling.
        scale: [f32; 2],
    },
}

/// The changes drawn for one sample of one epoch.
#[derive(Clone, Debug, PartialEq)]
struct Draw {
    part: Part,
    /// Width and height before turning.
    out: [usize; 2],
    angle_deg: f32,
    flip_h: bool,
    flip_v: bool,
    turns: u8,
    colours: [f32; 3],
}

/// The part of a picture that is used.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    window: Window,
    /// Width and height that it is scaled to.
    scaled: [usize; 2],
    /// How it is mirrored beyond its edges, if it is.
    mirror: Option<Mirror>,
}

/// A square laid into a larger one and mirrored at its edges.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mirror {
    left: usize,
    top: usize,
    /// Side of the larger one.
    side: usize,
}

/// Numbers from [0, 1), one after the other.
struct Numbers {
    key: Key,
    next: u64,
}

impl Numbers {
    fn uniform(&mut self) -> f32 {
        self.next += 1;
        self.key.f32(self.next - 1)
    }

    fn between(&mut self, [low, high]: [f32; 2]) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Evenly from `0 ..= highest`, which is far below 2^24.
    fn up_to(&mut self, highest: usize) -> usize {
        ((self.uniform() * (highest + 1) as f32) as usize).min(highest)
    }
}

impl Augment {
    /// Whether nothing is ever changed.
    pub fn is_none(&self) -> bool {
        *self == Augment::default()
    }

    /// The picture as sample `index` sees it in `epoch`.
    pub fn image(&self, image: &Image, seed: u64, epoch: u64, index: usize) -> Image {
        let draw = self.draw(image.size(), seed, epoch, index);
        self.change_image(image, &draw)
    }

    /// The picture and its mask as sample `index` sees them in `epoch`.
    ///
    /// # Panics
    /// When the two are not of one size.
    pub fn image_and_mask(
        &self,
        image: &Image,
        mask: &Mask,
        seed: u64,
        epoch: u64,
        index: usize,
    ) -> (Image, Mask) {
        assert_eq!(image.size(), mask.size(), "a picture and its mask");
        let draw = self.draw(image.size(), seed, epoch, index);
        (self.change_image(image, &draw), self.change_mask(mask, &draw))
    }

    /// Ground and its classes as sample `index` sees them in `epoch`: flips, turns, rotation, brightness and contrast; the
    /// crop is its reader's, and saturation is for colours. What a rotation brings in from outside holds no data.
    ///
    /// # Panics
    /// When the two are not of one size.
    pub fn raster_and_mask(
        &self,
        raster: Raster,
        mask: Mask,
        seed: u64,
        epoch: u64,
        index: usize,
    ) -> (Raster, Mask) {
        /// Stands for what comes from outside.
        const OUTSIDE: u32 = u32::MAX;
        assert_eq!(raster.size(), mask.size(), "ground and its classes");
        let whole = Augment { crop: CropRule::None, ..self.clone() };
        let draw = whole.draw(raster.size(), seed, epoch, index);
        let mut size = raster.size();
        let mut from: Option<Vec<u32>> = None;
        let all = || (0..mask.ids.len() as u32).collect::<Vec<u32>>();
        if draw.angle_deg != 0.0 {
            from = Some(rotate(&all(), size, draw.angle_deg, OUTSIDE));
        }
        if let Some((turned, to)) = turn(&from.clone().unwrap_or_else(all), size, &draw) {
            (from, size) = (Some(turned), to);
        }
        let (mut raster, mask) = match from {
            None => (raster, mask),
            Some(from) => {
                let [width, height] = size;
                let bands = raster.bands;
                let mut levels = vec![0.0; from.len() * bands];
                for (to, from) in levels.chunks_exact_mut(bands).zip(&from).filter(|(_, at)| **at != OUTSIDE)
                {
                    to.copy_from_slice(&raster.levels[*from as usize * bands..][..bands]);
                }
                let valid = from.iter().map(|at| *at != OUTSIDE && raster.valid[*at as usize]).collect();
                let id = |at: &u32| if *at == OUTSIDE { UNLABELLED } else { mask.ids[*at as usize] };
                let mask = Mask { width, height, ids: from.iter().map(id).collect() };
                (Raster { width, height, bands, levels, valid }, mask)
            }
        };
        self.jitter.apply_to_raster(&mut raster, draw.colours);
        (raster, mask)
    }

    /// Every number is drawn whether it is used or not, so that switching one change on leaves the others.
    fn draw(&self, size: [usize; 2], seed: u64, epoch: u64, index: usize) -> Draw {
        let mut numbers = Numbers { key: Key { seed, stream: STREAM ^ index as u64, step: epoch }, next: 0 };
        let half = [numbers.uniform() < 0.5, numbers.uniform() < 0.5];
        let turns = numbers.up_to(3) as u8;
        let angle_deg = self.rotate_deg * (2.0 * numbers.uniform() - 1.0);
        let colours = [numbers.uniform(), numbers.uniform(), numbers.uniform()];
        let part = self.part(size, &mut numbers);
        let out = part.mirror.map_or(part.scaled, |mirror| [mirror.side; 2]);
        Draw {
            part,
            out,
            angle_deg,
            flip_h: self.flip_h && half[0],
            flip_v: self.flip_v && half[1],
            turns: match self.quarter_turns {
                true if out[0] == out[1] => turns,
                true => turns & 2,
                false => 0,
            },
            colours,
        }
    }

    fn part(&self, [width, height]: [usize; 2], numbers: &mut Numbers) -> Part {
        let plain = |window, scaled| Part { window, scaled, mirror: None };
        match self.crop {
            CropRule::None => plain([0, 0, width, height], [width, height]),
            CropRule::RandomResized { area, aspect, size } => {
                plain(random_part([width, height], area, aspect, numbers), [size, size])
            }
            CropRule::RandomCrop { size, scale } => {
                let factor = numbers.between(scale.map(f32::ln)).exp();
                let wanted = ((size as f32 / factor).round() as usize).max(1);
                let side = wanted.min(width).min(height);
                let left = numbers.up_to(width - side);
                let top = numbers.up_to(height - side);
                let window = [left, top, side, side];
                if side == wanted || factor >= 1.0 || side < size {
                    return plain(window, [size, size]);
                }
                let inner = ((side as f32 * factor).round() as usize).clamp(1, size);
                let [left, top] = [numbers.up_to(size - inner), numbers.up_to(size - inner)];
                Part { window, scaled: [inner, inner], mirror: Some(Mirror { left, top, side: size }) }
            }
        }
    }

    fn change_image(&self, image: &Image, draw: &Draw) -> Image {
        let Part { window, scaled, mirror } = draw.part;
        let mut image = resize_crop(image, window, scaled[0], scaled[1]);
        if let Some(mirror) = mirror {
            let pixels = mirror.lay(image.pixels.as_chunks::<3>().0, image.width).concat();
            image = Image { width: mirror.side, height: mirror.side, pixels };
        }
        if draw.angle_deg != 0.0 {
            image.pixels =
                rotate(image.pixels.as_chunks::<3>().0, image.size(), draw.angle_deg, [0; 3]).concat();
        }
        if let Some((pixels, [width, height])) = turn(image.pixels.as_chunks::<3>().0, image.size(), draw) {
            image = Image { width, height, pixels: pixels.concat() };
        }
        self.jitter.apply(&mut image, draw.colours);
        image
    }

    fn change_mask(&self, mask: &Mask, draw: &Draw) -> Mask {
        let Part { window, scaled, mirror } = draw.part;
        let mut mask = resize_mask_crop(mask, window, scaled[0], scaled[1]);
        if let Some(mirror) = mirror {
            mask = Mask { width: mirror.side, height: mirror.side, ids: mirror.lay(&mask.ids, mask.width) };
        }
        if draw.angle_deg != 0.0 {
            mask.ids = rotate(&mask.ids, mask.size(), draw.angle_deg, UNLABELLED);
        }
        if let Some((ids, [width, height])) = turn(&mask.ids, mask.size(), draw) {
            mask = Mask { width, height, ids };
        }
        mask
    }
}

/// torchvision's choice: up to ten tries for a part that fits, then the largest centred one.
fn random_part(
    [width, height]: [usize; 2],
    area: [f32; 2],
    aspect: [f32; 2],
    numbers: &mut Numbers,
) -> Window {
    let whole = (width * height) as f32;
    for _ in 0..10 {
        let part = whole * numbers.between(area);
        let ratio = numbers.between(aspect.map(f32::ln)).exp();
        let (x, y) = (numbers.uniform(), numbers.uniform());
        let w = (part * ratio).sqrt().round() as usize;
        let h = (part / ratio).sqrt().round() as usize;
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let place = |u: f32, room: usize| ((u * (room + 1) as f32) as usize).min(room);
            return [place(x, width - w), place(y, height - h), w, h];
        }
    }
    let ratio = width as f32 / height as f32;
    let (w, h) = if ratio < aspect[0] {
        (width, (width as f32 / aspect[0]).round() as usize)
    } else if ratio > aspect[1] {
        ((height as f32 * aspect[1]).round() as usize, height)
    } else {
        (width, height)
    };
    let (w, h) = (w.clamp(1, width), h.clamp(1, height));
    [(width - w) / 2, (height - h) / 2, w, h]
}

impl Mirror {
    /// Lays a square of side `inner`, mirrored at its edges as often as it takes.
    fn lay<T: Copy>(self, pixels: &[T], inner: usize) -> Vec<T> {
        let along = |start: usize| -> Vec<usize> {
            // There and back is a period; counting begins far enough to the left.
            let period = 2 * inner;
            let at = |i: usize| (i + start.next_multiple_of(period) - start) % period;
            (0..self.side).map(|i| at(i).min(period - 1 - at(i))).collect()
        };
        let (columns, rows) = (along(self.left), along(self.top));
        rows.iter().flat_map(|y| columns.iter().map(move |x| pixels[y * inner + x])).collect()
    }
}

/// Turns pixels counter-clockwise about the centre, taking the nearest; `fill` comes in from outside.
fn rotate<T: Copy>(pixels: &[T], [width, height]: [usize; 2], angle_deg: f32, fill: T) -> Vec<T> {
    let (sin, cos) = f64::from(angle_deg).to_radians().sin_cos();
    let centre = [width as f64 / 2.0, height as f64 / 2.0];
    let mut out = Vec::with_capacity(pixels.len());
    for y in 0..height {
        let dy = y as f64 + 0.5 - centre[1];
        for x in 0..width {
            let dx = x as f64 + 0.5 - centre[0];
            let from_x = (cos * dx - sin * dy + centre[0]).floor();
            let from_y = (sin * dx + cos * dy + centre[1]).floor();
            let inside = from_x >= 0.0 && from_y >= 0.0 && from_x < width as f64 && from_y < height as f64;
            out.push(if inside { pixels[from_y as usize * width + from_x as usize] } else { fill });
        }
    }
    out
}

/// Flips, then turns counter-clockwise by quarters, in one pass; `None` where nothing moves.
fn turn<T: Copy>(pixels: &[T], [width, height]: [usize; 2], draw: &Draw) -> Option<(Vec<T>, [usize; 2])> {
    let &Draw { flip_h, flip_v, turns, .. } = draw;
    // A half turn is two flips.
    let (flip_h, flip_v) = (flip_h ^ (turns & 2 != 0), flip_v ^ (turns & 2 != 0));
    let quarter = turns & 1 != 0;
    if !(flip_h || flip_v || quarter) {
        return None;
    }
    let at = |x: usize, y: usize| {
        let x = if flip_h { width - 1 - x } else { x };
        let y = if flip_v { height - 1 - y } else { y };
        pixels[y * width + x]
    };
    let mut out = Vec::with_capacity(pixels.len());
    if quarter {
        for y in 0..width {
            out.extend((0..height).map(|x| at(width - 1 - y, x)));
        }
        return Some((out, [height, width]));
    }
    for y in 0..height {
        out.extend((0..width).map(|x| at(x, y)));
    }
    Some((out, [width, height]))
}
