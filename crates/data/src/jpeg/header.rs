//! The frame header, and the tables that come in segments of their own.

use super::Fault;
use super::colour::Colours;
use super::huffman::Huffman;
use super::upsample::{Method, choose};
use crate::MAX_PIXELS;

/// One colour component.
#[derive(Clone)]
pub(super) struct Component {
    pub id: u8,
    /// Horizontal and vertical sampling factors, 1 to 4.
    pub h: usize,
    pub v: usize,
    /// Which quantisation table.
    pub table: usize,
    /// Its quantisation table, in natural order, from its first scan on.
    pub quantisation: Option<[u16; 64]>,
    /// Width and height in samples.
    pub width: usize,
    pub height: usize,
    /// Blocks a row and a column of the picture need.
    pub blocks: [usize; 2],
    /// Blocks a row and a column take up when whole MCUs are stored.
    pub stored: [usize; 2],
}

/// The picture as its frame header describes it.
pub(super) struct Frame {
    pub width: usize,
    pub height: usize,
    pub progressive: bool,
    pub components: Vec<Component>,
    /// Whole MCUs in a row and a column.
    pub mcus: [usize; 2],
    /// What the components are.
    pub colours: Colours,
    max_h: usize,
    max_v: usize,
}

/// Reads a big-endian number of two bytes.
pub(super) fn word(data: &[u8], at: usize) -> Result<usize, Fault> {
    match data.get(at..at + 2) {
        Some(b) => Ok(usize::from(b[0]) << 8 | usize::from(b[1])),
        None => Err(Fault::Truncated),
    }
}

impl Frame {
    /// Parses the segment after SOF0, SOF1 or SOF2.
    pub(super) fn parse(segment: &[u8], progressive: bool) -> Result<Frame, Fault> {
        let short = Fault::Damaged("the frame header is too short");
        if segment.len() < 6 {
            return Err(short);
        }
        if segment[0] != 8 {
            return Err(Fault::Unsupported("a JPEG of other than 8 bits"));
        }
        let (height, width) = (word(segment, 1)?, word(segment, 3)?);
        if width == 0 || height == 0 {
            return Err(Fault::Damaged("a picture without pixels"));
        }
        if width * height > MAX_PIXELS {
            return Err(Fault::TooLarge(width, height));
        }
        if !matches!(segment[5], 1 | 3 | 4) {
            return Err(Fault::Unsupported("a JPEG of other than one, three or four components"));
        }
        let specs = segment[6..].get(..usize::from(segment[5]) * 3).ok_or(short)?;
        let mut components: Vec<Component> = Vec::new();
        for spec in specs.as_chunks::<3>().0 {
            let (h, v) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            if !(1..=4).contains(&h) || !(1..=4).contains(&v) || spec[2] > 3 {
                return Err(Fault::Damaged("a component's sampling or table is not possible"));
            }
            components.push(Component {
                id: spec[0],
                h,
                v,
                table: usize::from(spec[2]),
                quantisation: None,
                width: 0,
                height: 0,
                blocks: [0; 2],
                stored: [0; 2],
            });
        }
        let max_h = components.iter().map(|c| c.h).max().unwrap_or(1);
        let max_v = components.iter().map(|c| c.v).max().unwrap_or(1);
        let mcus = [width.div_ceil(8 * max_h), height.div_ceil(8 * max_v)];
        for c in &mut components {
            c.width = (width * c.h).div_ceil(max_h);
            c.height = (height * c.v).div_ceil(max_v);
            c.blocks = [c.width.div_ceil(8), c.height.div_ceil(8)];
            c.stored = [mcus[0] * c.h, mcus[1] * c.v];
        }
        Ok(Frame { width, height, progressive, components, mcus, colours: Colours::Grey, max_h, max_v })
    }

    /// Decides on the colour space as libjpeg does.
    pub(super) fn set_colours(&mut self, has_jfif: bool, adobe_transform: Option<u8>) {
        let ids: Vec<u8> = self.components.iter().map(|c| c.id).collect();
        self.colours = match (ids.len(), adobe_transform) {
            (1, _) => Colours::Grey,
            (4, None | Some(0)) => Colours::Cmyk,
            (4, _) => Colours::Ycck,
            (_, Some(0)) if !has_jfif => Colours::Rgb,
            (_, None) if !has_jfif && ids == *b"RGB" => Colours::Rgb,
            _ => Colours::Ycc,
        };
    }

    /// How to bring component `i` to the picture's size.
    pub(super) fn upsampling(&self, i: usize) -> Result<Method, Fault> {
        let c = &self.components[i];
        choose([c.h, c.v], [self.max_h, self.max_v], c.width)
    }
}

/// Tables in force, as segments define and redefine them.
#[derive(Default)]
pub(super) struct Tables {
    pub quantisation: [Option<[u16; 64]>; 4],
    pub dc: [Option<Huffman>; 4],
    pub ac: [Option<Huffman>; 4],
}

/// Position in a block, row by row, of each coefficient in the order of the file.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

impl Tables {
    /// Parses a DQT segment.
    pub(super) fn define_quantisation(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        while let Some((&head, rest)) = segment.split_first() {
            let wide = head >> 4 != 0;
            let length = if wide { 128 } else { 64 };
            if head & 15 > 3 || rest.len() < length {
                return Err(Fault::Damaged("a quantisation table is not possible"));
            }
            let mut table = [0; 64];
            for (i, &to) in ZIGZAG.iter().enumerate() {
                table[usize::from(to)] = if wide { word(rest, 2 * i)? as u16 } else { u16::from(rest[i]) };
            }
            self.quantisation[usize::from(head & 15)] = Some(table);
            segment = &rest[length..];
        }
        Ok(())
    }

    /// Parses a DHT segment.
    pub(super) fn define_huffman(&mut self, mut segment: &[u8]) -> Result<(), Fault> {
        let damaged = Fault::Damaged("a Huffman table is not possible");
        while let Some((&head, rest)) = segment.split_first() {
            let counts: &[u8; 16] = rest.first_chunk().ok_or(damaged.clone())?;
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let symbols = rest[16..].get(..total).ok_or(damaged.clone())?;
            let tables = match head >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(damaged),
            };
            *tables.get_mut(usize::from(head & 15)).ok_or(damaged.clone())? =
                Some(Huffman::new(counts, symbols)?);
            segment = &rest[16 + total..];
        }
        Ok(())
    }
}
