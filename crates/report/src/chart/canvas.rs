//! A white picture to draw lines, dots and captions on.

use hectare_data::Image;

use crate::font;

/// A picture in the making.
pub(super) struct Canvas(pub Image);

impl Canvas {
    pub fn new(width: usize, height: usize) -> Canvas {
        Canvas(Image { width, height, pixels: vec![255; width * height * 3] })
    }

    /// Lays `colour` over a pixel, `share` of it.
    fn blend(&mut self, x: i64, y: i64, colour: [u8; 3], share: f64) {
        let (width, height) = (self.0.width as i64, self.0.height as i64);
        if (0..width).contains(&x) && (0..height).contains(&y) {
            let at = ((y * width + x) * 3) as usize;
            for (old, new) in self.0.pixels[at..at + 3].iter_mut().zip(colour) {
                *old = (f64::from(*old) + share * (f64::from(new) - f64::from(*old))).round() as u8;
            }
        }
    }

    /// A line from `a` to `b` as wide as `width`, with soft edges.
    pub fn line(&mut self, a: [f64; 2], b: [f64; 2], width: f64, colour: [u8; 3]) {
        let reach = width / 2.0 + 1.0;
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let length = (dx * dx + dy * dy).max(1e-12);
        let range = |i: usize| ((a[i].min(b[i]) - reach) as i64)..=((a[i].max(b[i]) + reach) as i64);
        for y in range(1) {
            for x in range(0) {
                let (u, v) = (x as f64 + 0.5 - a[0], y as f64 + 0.5 - a[1]);
                let along = ((u * dx + v * dy) / length).clamp(0.0, 1.0);
                let away = (u - along * dx).hypot(v - along * dy);
                self.blend(x, y, colour, (width / 2.0 + 0.5 - away).clamp(0.0, 1.0));
            }
        }
    }

    /// A disc.
    pub fn disc(&mut self, centre: [f64; 2], radius: f64, colour: [u8; 3]) {
        self.line(centre, centre, 2.0 * radius, colour);
    }

    /// Capital letters from the left edge (`x`) or, as a share of their width, from further right; `y` is their top.
    pub fn text(&mut self, text: &str, x: f64, y: f64, before: f64, colour: [u8; 3]) {
        let text = text.to_uppercase();
        let width = (text.chars().count() * (font::WIDTH + 1) * 2) as f64;
        let left = (x - before * width) as i64;
        for (i, letter) in text.chars().enumerate() {
            for (row, bits) in font::glyph(letter).into_iter().enumerate() {
                for column in (0..font::WIDTH).filter(|column| bits >> (font::WIDTH - 1 - column) & 1 == 1) {
                    for dot in 0..4 {
                        let x = left + ((i * (font::WIDTH + 1) + column) * 2 + dot % 2) as i64;
                        self.blend(x, y as i64 + (row * 2 + dot / 2) as i64, colour, 1.0);
                    }
                }
            }
        }
    }
}
