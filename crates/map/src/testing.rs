//! TIFF files of many kinds for tests, written by plain loops that share nothing with the reader.

use std::path::Path;

use crate::SampleKind;

/// A file to be written.
#[derive(Clone)]
pub(crate) struct Kind {
    pub width: usize,
    pub height: usize,
    pub bands: usize,
    pub sample: SampleKind,
    pub little: bool,
    pub big: bool,
    /// Width and height of tiles; strips of so many rows where the width is 0.
    pub chunk: [usize; 2],
    pub separate: bool,
    pub compression: u16,
    pub predictor: u16,
    pub alpha: bool,
    pub nodata: Option<&'static str>,
    /// Chunks that the file leaves out.
    pub sparse: bool,
    /// Further tags: number, type, little-endian bytes.
    pub tags: Vec<(u16, u16, Vec<u8>)>,
}

impl Kind {
    pub fn new(width: usize, height: usize, bands: usize, sample: SampleKind) -> Kind {
        Kind {
            width,
            height,
            bands,
            sample,
            little: true,
            big: false,
            chunk: [0, 7],
            separate: false,
            compression: 1,
            predictor: 1,
            alpha: false,
            nodata: None,
            sparse: false,
            tags: Vec::new(),
        }
    }

    /// UTM zone 32 with 10 m pixels, or longitudes and latitudes, or without a coordinate system.
    pub fn on_ground(mut self, epsg: u16, pixel: f64, [x, y]: [f64; 2]) -> Kind {
        let doubles = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let shorts = |values: &[u16]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        self.tags.push((33550, 12, doubles(&[pixel, pixel, 0.0])));
        self.tags.push((33922, 12, doubles(&[0.0, 0.0, 0.0, x, y, 0.0])));
        let (model, key) = if epsg == 4326 { (2, 2048) } else { (1, 3072) };
        self.tags.push((34735, 3, shorts(&[1, 1, 0, 3, 1024, 0, 1, model, 1025, 0, 1, 1, key, 0, 1, epsg])));
        self
    }

    fn bytes_of(&self, value: f64) -> Vec<u8> {
        match self.sample {
            SampleKind::U8 => vec![value as u8],
            SampleKind::I8 => (value as i8).to_le_bytes().to_vec(),
            SampleKind::U16 => (value as u16).to_le_bytes().to_vec(),
            SampleKind::I16 => (value as i16).to_le_bytes().to_vec(),
            SampleKind::U32 => (value as u32).to_le_bytes().to_vec(),
            SampleKind::I32 => (value as i32).to_le_bytes().to_vec(),
            SampleKind::F32 => (value as f32).to_le_bytes().to_vec(),
            SampleKind::F64 => value.to_le_bytes().to_vec(),
        }
    }

    /// One chunk as the file holds it.
    fn chunk(&self, samples: &[Vec<u8>], row_samples: usize, per_pixel: usize) -> Vec<u8> {
        let size = self.sample.bytes();
        let mut out = Vec::new();
        for row in samples.chunks(row_samples) {
            let word = |at: usize| row[at].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            match self.predictor {
                2 => {
                    for at in 0..row.len() {
                        let before = if at >= per_pixel { word(at - per_pixel) } else { 0 };
                        let mut bytes = word(at).wrapping_sub(before).to_le_bytes()[..size].to_vec();
                        if !self.little {
                            bytes.reverse();
                        }
                        out.extend(bytes);
                    }
                }
                3 => {
                    let planes: Vec<u8> =
                        (0..size).rev().flat_map(|byte| row.iter().map(move |s| s[byte])).collect();
                    for at in 0..planes.len() {
                        let before = if at >= per_pixel { planes[at - per_pixel] } else { 0 };
                        out.push(planes[at].wrapping_sub(before));
                    }
                }
                _ => {
                    for sample in row {
                        let mut bytes = sample.clone();
                        if !self.little {
                            bytes.reverse();
                        }
                        out.extend(bytes);
                    }
                }
            }
        }
        match self.compression {
            5 => weezl::encode::Encoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8).encode(&out).unwrap(),
            8 => {
                use std::io::Read;
                let mut packed = Vec::new();
                let mut encoder = flate2::read::ZlibEncoder::new(&out[..], flate2::Compression::fast());
                encoder.read_to_end(&mut packed).unwrap();
                packed
            }
            // One literal run for every 100 bytes.
            32773 => out.chunks(100).flat_map(|run| [&[run.len() as u8 - 1], run].concat()).collect(),
            50000 => ruzstd::encoding::compress_to_vec(&out[..], ruzstd::encoding::CompressionLevel::Fastest),
            _ => out,
        }
    }

    /// Writes the file with the samples that `value(x, y, band)` gives.
    pub fn write(&self, path: &Path, value: impl Fn(usize, usize, usize) -> f64) {
        let tiled = self.chunk[0] > 0;
        let (chunk_w, chunk_h) = (if tiled { self.chunk[0] } else { self.width }, self.chunk[1]);
        let number = |out: &mut Vec<u8>, value: u64, bytes: usize| {
            let little = &value.to_le_bytes()[..bytes];
            if self.little { out.extend(little) } else { out.extend(little.iter().rev()) }
        };
        let word = if self.big { 8 } else { 4 };
        let mut out: Vec<u8> = if self.little { b"II".to_vec() } else { b"MM".to_vec() };
        number(&mut out, if self.big { 43 } else { 42 }, 2);
        if self.big {
            number(&mut out, 8, 2);
            number(&mut out, 0, 2);
        }
        let pointer = out.len();
        number(&mut out, 0, word);
        let (mut offsets, mut counts) = (Vec::new(), Vec::new());
        let planes = if self.separate { self.bands } else { 1 };
        let per_pixel = if self.separate { 1 } else { self.bands };
        for plane in 0..planes {
            for top in (0..self.height).step_by(chunk_h) {
                for left in (0..self.width).step_by(chunk_w) {
                    if self.sparse && left == 0 {
                        offsets.push(0);
                        counts.push(0);
                        continue;
                    }
                    let rows = if tiled { chunk_h } else { chunk_h.min(self.height - top) };
                    let mut samples = Vec::new();
                    for y in top..top + rows {
                        for x in left..left + chunk_w {
                            for band in 0..per_pixel {
                                let inside = x < self.width && y < self.height;
                                let band = if self.separate { plane } else { band };
                                samples.push(self.bytes_of(if inside { value(x, y, band) } else { 0.0 }));
                            }
                        }
                    }
                    let data = self.chunk(&samples, chunk_w * per_pixel, per_pixel);
                    offsets.push(out.len() as u64);
                    counts.push(data.len() as u64);
                    out.extend(data);
                }
            }
        }
        let format = match self.sample {
            SampleKind::U8 | SampleKind::U16 | SampleKind::U32 => 1,
            SampleKind::I8 | SampleKind::I16 | SampleKind::I32 => 2,
            _ => 3,
        };
        let short = |v: u64| (3u16, vec![v]);
        let long = |v: u64| (4u16, vec![v]);
        let mut entries: Vec<(u16, (u16, Vec<u64>))> = vec![
            (256, long(self.width as u64)),
            (257, long(self.height as u64)),
            (258, (3, vec![self.sample.bytes() as u64 * 8; self.bands])),
            (259, short(u64::from(self.compression))),
            (262, short(if self.bands >= 3 { 2 } else { 1 })),
            (277, short(self.bands as u64)),
            (284, short(if self.separate { 2 } else { 1 })),
            (317, short(u64::from(self.predictor))),
            (339, (3, vec![format; self.bands])),
        ];
        let colours = if self.bands >= 3 { 3 } else { 1 };
        if self.bands > colours {
            let mut extra = vec![0; self.bands - colours];
            if self.alpha {
                *extra.last_mut().unwrap() = 2;
            }
            entries.push((338, (3, extra)));
        }
        let at = if self.big { 16 } else { 4 };
        if tiled {
            entries.extend([(322, long(chunk_w as u64)), (323, long(chunk_h as u64))]);
            entries.extend([(324, (at, offsets)), (325, (at, counts))]);
        } else {
            entries.extend([(278, long(chunk_h as u64)), (273, (at, offsets)), (279, (at, counts))]);
        }
        if let Some(text) = self.nodata {
            entries.push((42113, (2, text.bytes().chain([0]).map(u64::from).collect())));
        }
        let size = |kind: u16| match kind {
            1 | 2 => 1,
            3 => 2,
            4 => 4,
            _ => 8,
        };
        for (tag, kind, bytes) in &self.tags {
            let values = bytes.chunks(size(*kind));
            let values = values.map(|b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b))).collect();
            entries.push((*tag, (*kind, values)));
        }
        entries.sort_by_key(|(tag, _)| *tag);
        let mut table = Vec::new();
        for (tag, (kind, values)) in &entries {
            let mut bytes = Vec::new();
            values.iter().for_each(|v| number(&mut bytes, *v, size(*kind)));
            number(&mut table, u64::from(*tag), 2);
            number(&mut table, u64::from(*kind), 2);
            number(&mut table, values.len() as u64, word);
            if bytes.len() <= word {
                bytes.resize(word, 0);
                table.extend(bytes);
            } else {
                number(&mut table, out.len() as u64, word);
                out.extend(bytes);
            }
        }
        let mut start = Vec::new();
        number(&mut start, out.len() as u64, word);
        out[pointer..pointer + word].copy_from_slice(&start);
        number(&mut out, entries.len() as u64, if self.big { 8 } else { 2 });
        out.extend(table);
        number(&mut out, 0, word);
        std::fs::write(path, out).unwrap();
    }
}

/// A byte that looks random.
pub(crate) fn noise(x: usize, y: usize, seed: usize) -> u8 {
    let mut bits = (x as u32).wrapping_mul(0x9e37_79b9) ^ (y as u32).wrapping_mul(0x85eb_ca6b);
    bits = bits.wrapping_add((seed as u32).wrapping_mul(0xc2b2_ae35));
    bits = (bits ^ bits >> 15).wrapping_mul(0x2c1b_3c6d);
    bits = (bits ^ bits >> 12).wrapping_mul(0x297a_2d39);
    (bits ^ bits >> 15) as u8
}
