//! Classes of pixels in memory.

/// The id of a pixel that has no class: what a rotation leaves empty. The loss never sees it.
pub const UNLABELLED: u8 = u8::MAX;

/// A class id for each pixel of a picture.
///
/// Not an [`Image`](crate::Image): ids cannot be interpolated, so every change of size or position of a mask
/// takes the nearest pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Rows from the top: H x W class ids, or [`UNLABELLED`].
    pub ids: Vec<u8>,
}

impl Mask {
    /// A mask of one class.
    pub fn filled(width: usize, height: usize, id: u8) -> Mask {
        Mask { width, height, ids: vec![id; width * height] }
    }

    /// A mask painted by `id(x, y)`.
    pub fn from_fn(width: usize, height: usize, mut id: impl FnMut(usize, usize) -> u8) -> Mask {
        let mut ids = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                ids.push(id(x, y));
            }
        }
        Mask { width, height, ids }
    }

    /// Id of the pixel in column `x` and row `y`.
    ///
    /// # Panics
    /// Outside the mask.
    pub fn id(&self, x: usize, y: usize) -> u8 {
        assert!(x < self.width && y < self.height, "pixel {x},{y} of {}x{}", self.width, self.height);
        self.ids[y * self.width + x]
    }

    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }

    /// Pixels of each class `0 .. classes`; ids beyond are not counted.
    pub fn counts(&self, classes: usize) -> Vec<u64> {
        let mut all = [0u64; 256];
        for &id in &self.ids {
            all[usize::from(id)] += 1;
        }
        let mut counts = all[..classes.min(256)].to_vec();
        counts.resize(classes, 0);
        counts
    }
}
