//! A white picture to write and draw on.

use hectare_data::Image;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// How high letters are, in pixels from line to line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// 16.
    Small,
    /// 20.
    Medium,
    /// 24, bold.
    Large,
}

impl Letters {
    fn font(self) -> (FontWeight, RasterHeight) {
        match self {
            Letters::Small => (FontWeight::Bold, RasterHeight::Size16),
            Letters::Medium => (FontWeight::Regular, RasterHeight::Size20),
            Letters::Large => (FontWeight::Bold, RasterHeight::Size24),
        }
    }

    /// Width and height of a text.
    pub fn size(self, text: &str) -> [usize; 2] {
        let (weight, height) = self.font();
        [text.chars().count() * get_raster_width(weight, height), height.val()]
    }
}

/// A picture in the making.
pub struct Canvas {
    image: Image,
}

impl Canvas {
    /// A white sheet.
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas { image: Image { width, height, pixels: vec![255; width * height * 3] } }
    }

    /// What was drawn.
    pub fn into_image(self) -> Image {
        self.image
    }

    /// Lays a colour over a pixel; `cover` from 0 to 1. What lies beyond the sheet is lost.
    pub fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], cover: f32) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= self.image.width || y >= self.image.height {
            return;
        }
        let at = 3 * (y * self.image.width + x);
        for (below, above) in self.image.pixels[at..at + 3].iter_mut().zip(colour) {
            *below = (f32::from(*below) * (1.0 - cover) + f32::from(above) * cover).round() as u8;
        }
    }

    /// A disc about a point, its edge smooth.
    pub fn disc(&mut self, [x, y]: [f32; 2], radius: f32, colour: [u8; 3], cover: f32) {
        let reach = radius.ceil() as i64 + 1;
        let (column, row) = (x.floor() as i64, y.floor() as i64);
        for v in row - reach..=row + reach {
            for u in column - reach..=column + reach {
                let distance = (u as f32 + 0.5 - x).hypot(v as f32 + 0.5 - y);
                let inside = (radius + 0.5 - distance).clamp(0.0, 1.0);
                if inside > 0.0 {
                    self.blend(u, v, colour, inside * cover);
                }
            }
        }
    }

    /// A filled rectangle.
    pub fn rectangle(&mut self, [x, y]: [i64; 2], [width, height]: [usize; 2], colour: [u8; 3]) {
        for v in y..y + height as i64 {
            for u in x..x + width as i64 {
                self.blend(u, v, colour, 1.0);
            }
        }
    }

    /// A text whose box begins at `[x, y]`. Letters that the font lacks come out as `?`.
    pub fn text(&mut self, [x, y]: [i64; 2], text: &str, letters: Letters, colour: [u8; 3]) {
        let (weight, height) = letters.font();
        for (i, letter) in text.chars().enumerate() {
            let Some(raster) = get_raster(letter, weight, height).or_else(|| get_raster('?', weight, height))
            else {
                continue;
            };
            let left = x + (i * raster.width()) as i64;
            for (row, line) in raster.rows().enumerate() {
                for (column, cover) in line.iter().enumerate().filter(|(_, cover)| **cover > 0) {
                    self.blend(left + column as i64, y + row as i64, colour, f32::from(*cover) / 255.0);
                }
            }
        }
    }

    /// A text with its middle at a point.
    pub fn text_at(&mut self, [x, y]: [f32; 2], text: &str, letters: Letters, colour: [u8; 3]) {
        let [width, height] = letters.size(text);
        let corner = [(x - width as f32 / 2.0).round() as i64, (y - height as f32 / 2.0).round() as i64];
        self.text(corner, text, letters, colour);
    }

    /// As [`Canvas::text_at`], on a white rim that sets it off.
    pub fn text_with_rim(&mut self, [x, y]: [f32; 2], text: &str, letters: Letters, colour: [u8; 3]) {
        for (dx, dy) in [(-2, 0), (2, 0), (0, -2), (0, 2), (-1, -1), (1, -1), (-1, 1), (1, 1)] {
            self.text_at([x + dx as f32, y + dy as f32], text, letters, [255; 3]);
        }
        self.text_at([x, y], text, letters, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beyond_the_sheet_is_lost() {
        let mut canvas = Canvas::new(20, 10);
        canvas.disc([0.0, 0.0], 3.0, [0; 3], 1.0);
        canvas.text([-5, -5], "88", Letters::Large, [0; 3]);
        canvas.text([15, 5], "88\u{4e00}", Letters::Large, [0; 3]);
        canvas.rectangle([-2, 8], [100, 100], [9; 3]);
        let image = canvas.into_image();
        assert_eq!((image.width, image.height, image.pixels.len()), (20, 10, 600));
        assert_eq!(image.pixel(19, 9), [9; 3]);
        assert_eq!(image.pixel(0, 0)[0], 0);
    }

    #[test]
    fn letters_leave_ink_where_they_are_set() {
        let mut canvas = Canvas::new(60, 40);
        canvas.text_at([30.0, 20.0], "42", Letters::Small, [0, 0, 200]);
        let image = canvas.into_image();
        let [width, height] = Letters::Small.size("42");
        let inked = (0..40)
            .flat_map(|y| (0..60).map(move |x| (x, y)))
            .filter(|(x, y)| image.pixel(*x, *y) != [255; 3]);
        let inked: Vec<_> = inked.collect();
        assert!(inked.len() > 30);
        assert!(inked.iter().all(|(x, y)| x.abs_diff(30) <= width / 2 && y.abs_diff(20) <= height / 2 + 1));
    }
}
