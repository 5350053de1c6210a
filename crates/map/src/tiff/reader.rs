//! Windows of an image, read through a cache of decoded chunks.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::header::TiffHeader;
use super::{Layout, chunk};
use crate::MapError;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First column.
    pub x: usize,
    /// First row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Reads windows of one image of a file.
#[derive(Debug)]
pub struct TiffReader {
    path: PathBuf,
    file: File,
    little: bool,
    layout: Layout,
    cache: HashMap<usize, (u64, Arc<Vec<u8>>)>,
    cached: usize,
    budget: usize,
    clock: u64,
}

impl TiffReader {
    /// A reader of the image in `directory` of the file. Decoded chunks are kept up to `budget` bytes.
    ///
    /// # Errors
    /// As [`Layout::of`], and compressions that are not supported.
    pub fn new(header: &TiffHeader, directory: usize, budget: usize) -> Result<TiffReader, MapError> {
        let path = header.path.clone();
        let file = File::open(&path).map_err(|error| MapError::io(&path, &error))?;
        let layout = Layout::of(&path, &header.directories[directory], header.length)?;
        chunk::check(&layout).map_err(|what| MapError::unsupported(&path, what))?;
        let little = header.little;
        Ok(TiffReader { path, file, little, layout, cache: HashMap::new(), cached: 0, budget, clock: 0 })
    }

    /// How the pixels lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Calls `row(y, band index, samples)` for every row and every band of `bands` in the window, which must lie within
    /// the image; `samples` yields the bytes of each pixel's sample. `None` in place of the bytes means that the file
    /// leaves these pixels out.
    ///
    /// # Errors
    /// Data that cannot be read or decoded.
    pub(crate) fn read(
        &mut self,
        window: Window,
        bands: &[usize],
        mut put: impl FnMut(Span<'_>),
    ) -> Result<(), MapError> {
        let Layout { chunk_width, chunk_height, separate, samples, .. } = self.layout;
        let size = self.layout.kind.bytes();
        let columns = self.layout.columns();
        let per_band = columns * self.layout.rows();
        let planes = if separate { bands.len() } else { 1 };
        for chunk_row in window.y / chunk_height..=(window.y + window.height - 1) / chunk_height {
            for chunk_column in window.x / chunk_width..=(window.x + window.width - 1) / chunk_width {
                let (left, top) = (chunk_column * chunk_width, chunk_row * chunk_height);
                let x = window.x.max(left)..(window.x + window.width).min(left + chunk_width);
                let y = window.y.max(top)..(window.y + window.height).min(top + chunk_height);
                for plane in 0..planes {
                    let band = if separate { bands[plane] } else { 0 };
                    let index = band * per_band + chunk_row * columns + chunk_column;
                    let direct =
                        self.layout.compression == 1 && self.layout.bits >= 8 && self.layout.predictor == 1;
                    // Rows of an uncompressed chunk are read one by one: it may be as large as the scene.
                    let rows = direct && self.layout.chunk_bytes(self.layout.chunk_height as u64) > (1 << 24);
                    let whole = if rows { None } else { Some(self.chunk(index, chunk_row)?) };
                    let stride = if separate { size } else { size * samples };
                    for row in y.clone() {
                        let own;
                        let line: Option<&[u8]> = match &whole {
                            Some(None) => None,
                            Some(Some(data)) => {
                                let at = ((row - top) * chunk_width + x.start - left) * stride;
                                Some(&data[at..at + x.len() * stride])
                            }
                            None => {
                                own = self.raw_row(index, row - top, x.start - left, x.len(), stride)?;
                                own.as_deref()
                            }
                        };
                        let listed = if separate { plane..plane + 1 } else { 0..bands.len() };
                        for at in listed {
                            let offset = if separate { 0 } else { bands[at] * size };
                            put(Span {
                                x: x.start - window.x,
                                y: row - window.y,
                                band: at,
                                count: x.len(),
                                bytes: line.map(|line| &line[offset..]),
                                stride,
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn bytes(&mut self, at: u64, count: u64) -> Result<Vec<u8>, MapError> {
        let mut data = vec![0; count as usize];
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut data));
        read.map_err(|error| MapError::io(&self.path, &error))?;
        Ok(data)
    }

    /// Part of a row of an uncompressed chunk; nothing where the file has no chunk.
    fn raw_row(
        &mut self,
        index: usize,
        row: usize,
        x: usize,
        count: usize,
        stride: usize,
    ) -> Result<Option<Vec<u8>>, MapError> {
        let (offset, bytes) = (self.layout.offsets[index], self.layout.counts[index]);
        if offset == 0 || bytes == 0 {
            return Ok(None);
        }
        let at = (row * self.layout.chunk_width + x) as u64 * stride as u64;
        let length = (count * stride) as u64;
        if at + length > bytes {
            return Err(MapError::damaged(&self.path, "a chunk is shorter than its size asks for"));
        }
        let mut data = self.bytes(offset + at, length)?;
        let size = self.layout.kind.bytes();
        if !self.little && size > 1 {
            data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(Some(data))
    }

    /// A decoded chunk; nothing where the file has none.
    fn chunk(&mut self, index: usize, chunk_row: usize) -> Result<Option<Arc<Vec<u8>>>, MapError> {
        self.clock += 1;
        if let Some((used, data)) = self.cache.get_mut(&index) {
            *used = self.clock;
            return Ok(Some(Arc::clone(data)));
        }
        let (offset, count) = (self.layout.offsets[index], self.layout.counts[index]);
        if offset == 0 || count == 0 {
            return Ok(None);
        }
        let data = self.bytes(offset, count)?;
        let rows = self.layout.stored_rows(chunk_row);
        let data = chunk::decode(&self.layout, self.little, rows, data)
            .map_err(|reason| MapError::damaged(&self.path, reason))?;
        let data = Arc::new(data);
        self.cached += data.len();
        while self.cached > self.budget
            && let Some(oldest) = self.cache.iter().min_by_key(|(_, (used, _))| *used).map(|(at, _)| *at)
        {
            self.cached -= self.cache.remove(&oldest).map_or(0, |(_, data)| data.len());
        }
        self.cache.insert(index, (self.clock, Arc::clone(&data)));
        Ok(Some(data))
    }
}

/// Samples of one band, side by side in one row of the window.
pub(crate) struct Span<'a> {
    /// First column, from the window's left.
    pub x: usize,
    /// Row, from the window's top.
    pub y: usize,
    /// Position in the list of bands that was asked for.
    pub band: usize,
    /// Pixels.
    pub count: usize,
    /// The first sample and what follows it; nothing where the file leaves the pixels out.
    pub bytes: Option<&'a [u8]>,
    /// Bytes from one pixel's sample to the next one's.
    pub stride: usize,
}
