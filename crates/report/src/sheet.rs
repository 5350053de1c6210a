//! A contact sheet: rows of tiles, columns for the image, the truth and each network's mask, with
//! captions above and the palette's legend below.

use crate::font;
use hectare_data::Image;
use hectare_net::ClassMap;

/// Pixels between tiles and around the sheet.
const GAP: usize = 8;
/// Height of a caption line, with its air.
const LINE: usize = 22;
const PAPER: [u8; 3] = [255, 255, 255];
const INK: [u8; 3] = [32, 32, 32];

/// A white sheet to put pictures and captions on.
struct Sheet(Image);

impl Sheet {
    fn new(width: usize, height: usize) -> Sheet {
        Sheet(Image { width, height, pixels: PAPER.repeat(width * height) })
    }

    fn dot(&mut self, x: usize, y: usize, colour: [u8; 3]) {
        if x < self.0.width && y < self.0.height {
            let at = (y * self.0.width + x) * 3;
            self.0.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn fill(&mut self, x: usize, y: usize, w: usize, h: usize, colour: [u8; 3]) {
        for row in y..y + h {
            for column in x..x + w {
                self.dot(column, row, colour);
            }
        }
    }

    /// `picture` enlarged `zoom` times without smoothing.
    fn picture(&mut self, x: usize, y: usize, picture: &Image, zoom: usize) {
        for row in 0..picture.height {
            for column in 0..picture.width {
                let at = (row * picture.width + column) * 3;
                let colour = [picture.pixels[at], picture.pixels[at + 1], picture.pixels[at + 2]];
                self.fill(x + column * zoom, y + row * zoom, zoom, zoom, colour);
            }
        }
    }

    fn text(&mut self, x: usize, y: usize, text: &str) {
        for (i, letter) in text.chars().enumerate() {
            for (row, bits) in font::glyph(letter).into_iter().enumerate() {
                for column in 0..font::WIDTH {
                    if bits >> (font::WIDTH - 1 - column) & 1 == 1 {
                        self.fill(x + (i * (font::WIDTH + 1) + column) * 2, y + row * 2, 2, 2, INK);
                    }
                }
            }
        }
    }
}

/// Width of a caption in pixels.
fn text_width(text: &str) -> usize {
    text.chars().count() * (font::WIDTH + 1) * 2
}

/// One sheet of `rows`, each as many pictures as there are `captions`; all of one size.
pub fn contact_sheet(captions: &[String], rows: &[Vec<Image>], classes: &ClassMap, zoom: usize) -> Image {
    let side = rows.first().and_then(|row| row.first()).map_or((0, 0), |p| (p.width * zoom, p.height * zoom));
    let width = GAP + captions.len() * (side.0 + GAP);
    let entries: Vec<_> = classes.classes.iter().map(|c| (c.colour, c.name.to_uppercase())).collect();
    let legend_lines = place_legend(&entries, width).last().map_or(0, |&(_, line)| line + 1);
    let mut sheet = Sheet::new(width, 2 * GAP + LINE + rows.len() * (side.1 + GAP) + legend_lines * LINE);
    for (i, caption) in captions.iter().enumerate() {
        sheet.text(GAP + i * (side.0 + GAP), GAP, &caption.to_uppercase());
    }
    for (j, row) in rows.iter().enumerate() {
        for (i, picture) in row.iter().enumerate() {
            sheet.picture(GAP + i * (side.0 + GAP), GAP + LINE + j * (side.1 + GAP), picture, zoom);
        }
    }
    let top = 2 * GAP + LINE + rows.len() * (side.1 + GAP) - GAP / 2;
    for ((colour, name), (x, line)) in entries.iter().zip(place_legend(&entries, width)) {
        let y = top + line * LINE;
        sheet.fill(x, y, 14, 14, INK);
        sheet.fill(x + 1, y + 1, 12, 12, *colour);
        sheet.text(x + 20, y, name);
    }
    sheet.0
}

/// For each entry of the legend its left edge and its line.
fn place_legend(entries: &[([u8; 3], String)], width: usize) -> Vec<(usize, usize)> {
    let (mut x, mut line) = (GAP, 0);
    entries
        .iter()
        .map(|(_, name)| {
            let needed = 20 + text_width(name) + GAP;
            if x > GAP && x + needed > width {
                (x, line) = (GAP, line + 1);
            }
            x += needed;
            (x - needed, line)
        })
        .collect()
}
