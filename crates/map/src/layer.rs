//! A raster that is written while it is made: finished rectangles go in, tiles and their overviews come out as soon as
//! they are full. Memory is a row of tiles; what is finished lies compressed in a spool file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use hectare_kernels::threads;

use crate::Window;
use crate::tiff::{Field, Spooled, TiffWriter, tag};

/// Side of a tile.
pub const TILE: usize = 256;

/// What the samples of a layer are, and how four of them become one of an overview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Class ids, 255 where there is none; overviews take the most frequent class (of several the one that comes first
    /// in reading order), and nothing only where all four are nothing.
    Classes,
    /// Whole per cent from 0 to 100, 255 where there is none; overviews take the mean of what there is.
    Percent,
    /// f32 in so many bands, NaN where there is none; overviews take the mean of what there is.
    Floats(usize),
}

/// The value of a pixel without data in layers of bytes.
pub const NODATA: u8 = 255;

impl LayerKind {
    fn bands(self) -> usize {
        match self {
            LayerKind::Floats(bands) => bands,
            _ => 1,
        }
    }

    fn sample_bytes(self) -> usize {
        match self {
            LayerKind::Floats(_) => 4,
            _ => 1,
        }
    }

    fn pixel_bytes(self) -> usize {
        self.bands() * self.sample_bytes()
    }

    fn nothing(self) -> Vec<u8> {
        match self {
            LayerKind::Floats(bands) => f32::NAN.to_le_bytes().repeat(bands),
            _ => vec![NODATA],
        }
    }

    /// One pixel from up to four.
    fn reduce(self, pixels: &[&[u8]], out: &mut [u8]) {
        match self {
            LayerKind::Classes => {
                let mut four = [NODATA; 4];
                four.iter_mut().zip(pixels).for_each(|(id, pixel)| *id = pixel[0]);
                out[0] = most_frequent(four);
            }
            LayerKind::Percent => {
                let values = pixels.iter().map(|p| p[0]).filter(|v| *v != NODATA).map(u32::from);
                let count = values.clone().count() as u32;
                out[0] =
                    (values.sum::<u32>() + count / 2).checked_div(count).map_or(NODATA, |mean| mean as u8);
            }
            LayerKind::Floats(_) => {
                for (band, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let value = |p: &&[u8]| f32::from_le_bytes([0, 1, 2, 3].map(|byte| p[band * 4 + byte]));
                    let (mut sum, mut count) = (0.0, 0.0);
                    for value in pixels.iter().map(value).filter(|v| !v.is_nan()) {
                        sum += value;
                        count += 1.0;
                    }
                    *out = (sum / count as f32).to_le_bytes();
                }
            }
        }
    }
}

/// The id that most of four hold, of several the first; [`NODATA`] where all are.
#[inline]
fn most_frequent([a, b, c, d]: [u8; 4]) -> u8 {
    // Of four, no other id is more frequent than the first one that occurs twice.
    if a != NODATA && (a == b || a == c || a == d) {
        a
    } else if b != NODATA && (b == c || b == d) {
        b
    } else if c != NODATA && c == d {
        c
    } else {
        [a, b, c, d].into_iter().find(|id| *id != NODATA).unwrap_or(NODATA)
    }
}

#[derive(Debug)]
struct Level {
    width: usize,
    height: usize,
    columns: usize,
    /// Tiles that are not full yet: pixels that are there, and all pixels (TILE x TILE, pixel by pixel).
    open: BTreeMap<usize, (usize, Vec<u8>)>,
    /// For each tile and band (band by band) where it lies.
    index: Vec<Spooled>,
}

impl Level {
    fn tiles(&self) -> usize {
        self.columns * self.height.div_ceil(TILE)
    }

    /// The real size of a tile: those at the right and bottom are cut.
    fn tile_size(&self, tile: usize) -> [usize; 2] {
        let (x, y) = (tile % self.columns * TILE, tile / self.columns * TILE);
        [TILE.min(self.width - x), TILE.min(self.height - y)]
    }
}

/// A raster in the making.
#[derive(Debug)]
pub struct Layer {
    kind: LayerKind,
    levels: Vec<Level>,
    spool: File,
    spooled: u64,
}

impl Layer {
    /// An empty raster of this size; `spool` takes the tiles.
    pub fn new(kind: LayerKind, width: usize, height: usize, spool: File) -> Layer {
        let mut levels = Vec::new();
        let (mut w, mut h) = (width, height);
        loop {
            let mut level = Level {
                width: w,
                height: h,
                columns: w.div_ceil(TILE),
                open: BTreeMap::new(),
                index: Vec::new(),
            };
            level.index = vec![Spooled::default(); level.tiles() * kind.bands()];
            levels.push(level);
            if w <= TILE && h <= TILE {
                break;
            }
            (w, h) = (w.div_ceil(2), h.div_ceil(2));
        }
        Layer { kind, levels, spool, spooled: 0 }
    }

    /// Puts finished pixels (row by row, each pixel's samples together) in their place. No pixel may be put twice.
    ///
    /// # Errors
    /// When the spool file cannot be written.
    pub fn put(&mut self, window: Window, pixels: &[u8]) -> io::Result<()> {
        let mut work = vec![(window, pixels.to_vec())];
        for level in 0..self.levels.len() {
            let mut full = Vec::new();
            for (window, pixels) in &work {
                self.paste(level, *window, pixels, &mut full);
            }
            self.compress(level, &full)?;
            if level + 1 < self.levels.len() {
                work = full.iter().map(|(tile, data)| self.shrink(level, *tile, data)).collect();
            }
        }
        Ok(())
    }

    fn paste(&mut self, level: usize, window: Window, pixels: &[u8], full: &mut Vec<(usize, Vec<u8>)>) {
        let size = self.kind.pixel_bytes();
        let level = &mut self.levels[level];
        if window.width == 0 || window.height == 0 {
            return;
        }
        for row in window.y / TILE..=(window.y + window.height - 1) / TILE {
            for column in window.x / TILE..=(window.x + window.width - 1) / TILE {
                let (left, top) = (column * TILE, row * TILE);
                let x = window.x.max(left)..(window.x + window.width).min(left + TILE);
                let y = window.y.max(top)..(window.y + window.height).min(top + TILE);
                let tile = row * level.columns + column;
                let nothing = || self.kind.nothing().repeat(TILE * TILE);
                let (filled, data) = level.open.entry(tile).or_insert_with(|| (0, nothing()));
                for y in y.clone() {
                    let from = ((y - window.y) * window.width + x.start - window.x) * size;
                    let to = ((y - top) * TILE + x.start - left) * size;
                    let bytes = x.len() * size;
                    data[to..to + bytes].copy_from_slice(&pixels[from..from + bytes]);
                }
                *filled += x.len() * y.len();
                let filled = *filled;
                let [w, h] = level.tile_size(tile);
                debug_assert!(filled <= w * h, "a pixel was put twice");
                if filled == w * h
                    && let Some((_, data)) = level.open.remove(&tile)
                {
                    full.push((tile, data));
                }
            }
        }
    }

    /// The part of the next overview that a tile gives.
    fn shrink(&self, level: usize, tile: usize, data: &[u8]) -> (Window, Vec<u8>) {
        let level = &self.levels[level];
        let size = self.kind.pixel_bytes();
        let [w, h] = level.tile_size(tile);
        let (to_w, to_h) = (w.div_ceil(2), h.div_ceil(2));
        let mut out = vec![0; to_w * to_h * size];
        if self.kind == LayerKind::Classes {
            // Beyond the raster nothing is: a missing pixel counts as one without data.
            for (y, out) in out.chunks_exact_mut(to_w).enumerate() {
                let upper = &data[2 * y * TILE..][..w];
                let lower = if 2 * y + 1 < h { &data[(2 * y + 1) * TILE..][..w] } else { &[] };
                for (x, out) in out.iter_mut().enumerate() {
                    let at = |row: &[u8], x: usize| row.get(x).copied().unwrap_or(NODATA);
                    let x = 2 * x;
                    *out = most_frequent([at(upper, x), at(upper, x + 1), at(lower, x), at(lower, x + 1)]);
                }
            }
            let (x, y) = (tile % level.columns * TILE / 2, tile / level.columns * TILE / 2);
            return (Window { x, y, width: to_w, height: to_h }, out);
        }
        for (i, out) in out.chunks_exact_mut(size).enumerate() {
            let (x, y) = (i % to_w * 2, i / to_w * 2);
            let mut four: [&[u8]; 4] = [&[]; 4];
            let mut count = 0;
            for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                if x < w && y < h {
                    four[count] = &data[(y * TILE + x) * size..][..size];
                    count += 1;
                }
            }
            self.kind.reduce(&four[..count], out);
        }
        let (x, y) = (tile % level.columns * TILE / 2, tile / level.columns * TILE / 2);
        (Window { x, y, width: to_w, height: to_h }, out)
    }

    fn compress(&mut self, level: usize, full: &[(usize, Vec<u8>)]) -> io::Result<()> {
        let bands = self.kind.bands();
        let mut done: Vec<Vec<u8>> = vec![Vec::new(); full.len() * bands];
        let kind = self.kind;
        threads::parallel_chunks_mut(&mut done, 1, |i, out| {
            let (tile, band) = (i / bands, i % bands);
            out[0] = deflate(&plane(kind, &full[tile].1, band));
        });
        for (i, data) in done.into_iter().enumerate() {
            let (tile, band) = (full[i / bands].0, i % bands);
            self.spool.write_all(&data)?;
            let tiles = self.levels[level].tiles();
            let length = data.len() as u64;
            self.levels[level].index[band * tiles + tile] = Spooled { offset: self.spooled, length };
            self.spooled += length;
        }
        Ok(())
    }

    /// Writes the finished file. `fields` are the tags beside those of the layout; those of the first image only (the
    /// georeference, say) are in `first`.
    ///
    /// # Errors
    /// When a pixel is missing, or the files cannot be read or written.
    pub fn finish(
        &mut self,
        fields: &BTreeMap<u16, Field>,
        first: &BTreeMap<u16, Field>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.levels.iter().any(|level| !level.open.is_empty()) {
            return Err(io::Error::other("pixels of the map are missing"));
        }
        let mut writer = TiffWriter::default();
        let bands = self.kind.bands();
        for (i, level) in self.levels.iter().enumerate() {
            let (bits, format, predictor) = match self.kind {
                LayerKind::Floats(_) => (32, 3, 3),
                _ => (8, 1, 1),
            };
            let mut all = fields.clone();
            if i == 0 {
                all.extend(first.clone());
            }
            all.extend([
                (tag::NEW_SUBFILE_TYPE, Field::Long(vec![u32::from(i > 0)])),
                (tag::IMAGE_WIDTH, Field::Long(vec![level.width as u32])),
                (tag::IMAGE_LENGTH, Field::Long(vec![level.height as u32])),
                (tag::BITS_PER_SAMPLE, Field::Short(vec![bits; bands])),
                (tag::COMPRESSION, Field::Short(vec![8])),
                (tag::SAMPLES_PER_PIXEL, Field::Short(vec![bands as u16])),
                (tag::PLANAR_CONFIGURATION, Field::Short(vec![if bands > 1 { 2 } else { 1 }])),
                (tag::PREDICTOR, Field::Short(vec![predictor])),
                (tag::TILE_WIDTH, Field::Short(vec![TILE as u16])),
                (tag::TILE_LENGTH, Field::Short(vec![TILE as u16])),
                (tag::SAMPLE_FORMAT, Field::Short(vec![format; bands])),
            ]);
            if bands > 1 {
                all.insert(tag::EXTRA_SAMPLES, Field::Short(vec![0; bands - 1]));
            }
            all.entry(tag::PHOTOMETRIC).or_insert(Field::Short(vec![1]));
            writer.images.push((all, level.index.clone()));
        }
        writer.write(&mut self.spool, out)
    }

    /// Everything that is not in the spool file yet, so that work can go on after a kill. The spool file is flushed to disk.
    ///
    /// # Errors
    /// When the spool file cannot be flushed.
    pub fn save(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.spool.sync_data()?;
        put_number(out, self.spooled);
        for level in &self.levels {
            for place in &level.index {
                put_number(out, place.offset);
                put_number(out, place.length);
            }
            put_number(out, level.open.len() as u64);
            for (tile, (filled, data)) in &level.open {
                put_number(out, *tile as u64);
                put_number(out, *filled as u64);
                out.extend(data);
            }
        }
        Ok(())
    }

    /// Takes up what [`Layer::save`] wrote for a layer of the same kind and size, with the spool file that it had.
    ///
    /// # Errors
    /// When the spool file cannot be used, or the bytes are not those of such a layer.
    pub fn restore(&mut self, from: &mut &[u8]) -> io::Result<()> {
        let damaged = || io::Error::other("the saved state does not fit");
        self.spooled = take_number(from).ok_or_else(damaged)?;
        for level in &mut self.levels {
            for place in &mut level.index {
                place.offset = take_number(from).ok_or_else(damaged)?;
                place.length = take_number(from).ok_or_else(damaged)?;
            }
            let count = take_number(from).ok_or_else(damaged)?;
            for _ in 0..count {
                let tile = take_number(from).ok_or_else(damaged)? as usize;
                let filled = take_number(from).ok_or_else(damaged)? as usize;
                let (data, rest) =
                    from.split_at_checked(TILE * TILE * self.kind.pixel_bytes()).ok_or_else(damaged)?;
                level.open.insert(tile, (filled, data.to_vec()));
                *from = rest;
            }
        }
        if self.spool.metadata()?.len() < self.spooled {
            return Err(damaged());
        }
        self.spool.set_len(self.spooled)?;
        self.spool.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

/// One band of a tile as it is compressed: bytes as they are, floats through predictor 3.
fn plane(kind: LayerKind, data: &[u8], band: usize) -> Vec<u8> {
    let LayerKind::Floats(bands) = kind else { return data.to_vec() };
    let mut out = Vec::with_capacity(TILE * TILE * 4);
    for row in data.chunks_exact(TILE * bands * 4) {
        let start = out.len();
        for byte in (0..4).rev() {
            out.extend((0..TILE).map(|x| row[(x * bands + band) * 4 + byte]));
        }
        for at in (start + 1..out.len()).rev() {
            out[at] = out[at].wrapping_sub(out[at - 1]);
        }
    }
    out
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = flate2::read::ZlibEncoder::new(data, flate2::Compression::new(6));
    encoder.read_to_end(&mut out).expect("reading from memory does not fail");
    out
}

pub(crate) fn put_number(out: &mut Vec<u8>, value: u64) {
    out.extend(value.to_le_bytes());
}

pub(crate) fn take_number(from: &mut &[u8]) -> Option<u64> {
    let (number, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiff::{TiffHeader, TiffReader};

    fn read(path: &std::path::Path, directory: usize, band: usize) -> Vec<u8> {
        let (header, _) = TiffHeader::read(path).unwrap();
        let mut reader = TiffReader::new(&header, directory, 1 << 24).unwrap();
        let (w, h) = (reader.layout().width, reader.layout().height);
        let size = reader.layout().kind.bytes();
        let mut out = vec![0; w * h * size];
        let window = Window { x: 0, y: 0, width: w, height: h };
        reader
            .read(window, &[band], |span| {
                for i in 0..span.count {
                    let at = (span.y * w + span.x + i) * size;
                    out[at..at + size].copy_from_slice(&span.bytes.unwrap()[i * span.stride..][..size]);
                }
            })
            .unwrap();
        out
    }

    #[test]
    fn rectangles_become_tiles_and_overviews_even_across_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let (w, h) = (601, 530);
        let value = |x: usize, y: usize| ((x / 7 + y / 5) % 6) as u8;
        for kind in [LayerKind::Classes, LayerKind::Floats(2)] {
            let pixel = |x, y| match kind {
                LayerKind::Floats(_) => {
                    let v = f32::from(value(x, y));
                    [v.to_le_bytes(), (0.5 - v).to_le_bytes()].concat()
                }
                _ => vec![value(x, y)],
            };
            let open = |new| {
                std::fs::File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(new)
                    .open(dir.path().join("spool"))
                    .unwrap()
            };
            let mut layer = Layer::new(kind, w, h, open(true));
            for y in (0..h).step_by(97) {
                for x in (0..w).step_by(130) {
                    let window = Window { x, y, width: 130.min(w - x), height: 97.min(h - y) };
                    let pixels: Vec<u8> = (y..y + window.height)
                        .flat_map(|y| (x..x + window.width).flat_map(move |x| pixel(x, y)))
                        .collect();
                    layer.put(window, &pixels).unwrap();
                }
                // A kill after each row: what was written since is lost.
                let mut state = Vec::new();
                layer.save(&mut state).unwrap();
                layer.spool.write_all(b"lost").unwrap();
                layer = Layer::new(kind, w, h, open(false));
                layer.restore(&mut &state[..]).unwrap();
            }
            let path = dir.path().join("out.tif");
            let mut out = std::fs::File::create(&path).unwrap();
            layer.finish(&BTreeMap::new(), &BTreeMap::new(), &mut out).unwrap();
            let full = read(&path, 0, 0);
            match kind {
                LayerKind::Floats(_) => {
                    for (i, bytes) in full.as_chunks::<4>().0.iter().enumerate() {
                        assert_eq!(f32::from_le_bytes(*bytes), f32::from(value(i % w, i / w)));
                    }
                    let second = f32::from_le_bytes(read(&path, 0, 1)[..4].try_into().unwrap());
                    assert_eq!(second, 0.5 - f32::from(value(0, 0)));
                }
                _ => {
                    assert!((0..w * h).all(|i| full[i] == value(i % w, i / w)));
                    let half = read(&path, 1, 0);
                    let mode = |x: usize, y: usize| {
                        let mut ids = Vec::new();
                        for (x, y) in [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)] {
                            if x < w && y < h {
                                ids.push(value(x, y));
                            }
                        }
                        let count = |id: u8| ids.iter().filter(|v| **v == id).count();
                        let most = ids.iter().map(|id| count(*id)).max().unwrap();
                        *ids.iter().find(|id| count(**id) == most).unwrap()
                    };
                    let to_w = w.div_ceil(2);
                    assert!(half.iter().enumerate().all(|(i, v)| *v == mode(i % to_w * 2, i / to_w * 2)));
                    assert_eq!(read(&path, 2, 0).len(), w.div_ceil(4) * h.div_ceil(4));
                }
            }
        }
    }

    #[test]
    fn the_most_frequent_of_four() {
        let ids = [0, 1, 2, NODATA];
        for i in 0..256usize {
            let four = [i, i / 4, i / 16, i / 64].map(|i| ids[i % 4]);
            let count = |id: u8| four.iter().filter(|other| **other == id && id != NODATA).count();
            let most = four.iter().map(|id| count(*id)).max().unwrap();
            let expected = *four.iter().find(|id| count(**id) == most).unwrap();
            assert_eq!(most_frequent(four), expected, "{four:?}");
        }
    }

    #[test]
    fn nothing_is_no_class() {
        let mut out = [0];
        LayerKind::Classes.reduce(&[&[255], &[3], &[255], &[255]], &mut out);
        assert_eq!(out, [3]);
        LayerKind::Classes.reduce(&[&[255u8][..]; 4], &mut out);
        assert_eq!(out, [255]);
        LayerKind::Percent.reduce(&[&[10], &[255], &[13], &[255]], &mut out);
        assert_eq!(out, [12]);
    }
}
