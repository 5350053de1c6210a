//! Small pictures of the rows, all on one sheet.

use hectare_data::{Image, resize};

/// Sides of a thumbnail that are tried, the largest first.
const SIDES: [usize; 5] = [64, 48, 32, 24, 16];

/// Most pixels of a sheet: some 25 MB as a PNG of photographs.
const MOST: usize = 12_000_000;

/// Thumbnails of one size, in rows and columns.
pub struct Thumbnails {
    /// Side of a thumbnail.
    pub side: usize,
    /// Thumbnails in a row.
    pub columns: usize,
    sheet: Image,
    placed: usize,
}

impl Thumbnails {
    /// A sheet for `count` pictures of which the largest has that side; none for so many that not even the smallest
    /// would fit.
    pub fn new(count: usize, largest: usize) -> Option<Thumbnails> {
        let fits = |side: &usize| count * side * side <= MOST;
        // Pictures are not enlarged.
        let side = SIDES.into_iter().filter(fits).find(|side| *side <= largest.max(SIDES[4]))?;
        let columns = (count as f64).sqrt().ceil().max(1.0) as usize;
        let rows = count.div_ceil(columns).max(1);
        let sheet = Image {
            width: columns * side,
            height: rows * side,
            pixels: vec![255; columns * rows * side * side * 3],
        };
        Some(Thumbnails { side, columns, sheet, placed: 0 })
    }

    /// Puts the next picture on the sheet, its longer side as long as a thumbnail.
    pub fn push(&mut self, image: &Image) {
        let longest = image.width.max(image.height).max(1);
        let scaled = |side: usize| (side * self.side).div_ceil(longest).clamp(1, self.side);
        let (width, height) = (scaled(image.width), scaled(image.height));
        let small = if [width, height] == image.size() { image } else { &resize(image, width, height) };
        let corner = [
            self.placed % self.columns * self.side + (self.side - width) / 2,
            self.placed / self.columns * self.side + (self.side - height) / 2,
        ];
        for (y, line) in small.pixels.chunks_exact(3 * width).enumerate() {
            let at = 3 * ((corner[1] + y) * self.sheet.width + corner[0]);
            self.sheet.pixels[at..at + line.len()].copy_from_slice(line);
        }
        self.placed += 1;
    }

    /// The sheet.
    pub fn sheet(&self) -> &Image {
        &self.sheet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_in_their_places() {
        let mut thumbnails = Thumbnails::new(5, 32).unwrap();
        assert_eq!((thumbnails.side, thumbnails.columns), (32, 3));
        for i in 0..5_u8 {
            let size = [32, 20 + usize::from(i)];
            thumbnails.push(&Image::from_fn(size[0], size[1], |_, _| [i; 3]));
        }
        for i in 0..5 {
            assert_eq!(thumbnails.sheet().pixel(i % 3 * 32 + 16, i / 3 * 32 + 16), [i as u8; 3]);
        }
        thumbnails = Thumbnails::new(1, 500).unwrap();
        thumbnails.push(&Image::black(500, 250));
        assert_eq!(thumbnails.sheet().size(), [64, 64]);
        assert_eq!((thumbnails.sheet().pixel(0, 32), thumbnails.sheet().pixel(0, 0)), ([0; 3], [255; 3]));
        assert_eq!(Thumbnails::new(20_000, 500).unwrap().side, 24);
        assert!(Thumbnails::new(1_000_000, 500).is_none());
    }
}
