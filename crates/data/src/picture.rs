//! A picture in memory.

/// An RGB picture of 8 bits per channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Rows from the top, each pixel R, G, B: H x W x 3 bytes.
    pub pixels: Vec<u8>,
}

impl Image {
    /// A black picture.
    pub fn black(width: usize, height: usize) -> Image {
        Image { width, height, pixels: vec![0; width * height * 3] }
    }

    /// A picture painted by `colour(x, y)`.
    pub fn from_fn(width: usize, height: usize, mut colour: impl FnMut(usize, usize) -> [u8; 3]) -> Image {
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                pixels.extend_from_slice(&colour(x, y));
            }
        }
        Image { width, height, pixels }
    }

    /// Colour of the pixel in column `x` and row `y`.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "pixel {x},{y} of {}x{}", self.width, self.height);
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Width and height.
    pub fn size(&self) -> [usize; 2] {
        [self.width, self.height]
    }
}
