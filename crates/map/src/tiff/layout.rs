//! How an image's pixels lie in its file.

use std::path::Path;

use super::{Directory, tag};
use crate::MapError;

/// Largest decoded chunk that is taken into memory.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleKind {
    /// Unsigned, 8 bits (files of 1, 2 and 4 bits are unpacked).
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Floating point, 32 bits.
    F32,
    /// Floating point, 64 bits.
    F64,
}

impl SampleKind {
    /// Bytes of a sample in memory.
    pub fn bytes(self) -> usize {
        match self {
            SampleKind::U8 | SampleKind::I8 => 1,
            SampleKind::U16 | SampleKind::I16 => 2,
            SampleKind::U32 | SampleKind::I32 | SampleKind::F32 => 4,
            SampleKind::F64 => 8,
        }
    }

    /// The name in messages, as `uint16`.
    pub fn name(self) -> &'static str {
        match self {
            SampleKind::U8 => "uint8",
            SampleKind::U16 => "uint16",
            SampleKind::U32 => "uint32",
            SampleKind::I8 => "int8",
            SampleKind::I16 => "int16",
            SampleKind::I32 => "int32",
            SampleKind::F32 => "float32",
            SampleKind::F64 => "float64",
        }
    }

    /// A sample from its little-endian bytes.
    #[inline]
    pub(crate) fn value(self, b: &[u8]) -> f64 {
        match self {
            SampleKind::U8 => f64::from(b[0]),
            SampleKind::I8 => f64::from(b[0] as i8),
            SampleKind::U16 => f64::from(u16::from_le_bytes([b[0], b[1]])),
            SampleKind::I16 => f64::from(i16::from_le_bytes([b[0], b[1]])),
            SampleKind::U32 => f64::from(u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            SampleKind::I32 => f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            SampleKind::F32 => f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            SampleKind::F64 => f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
        }
    }
}

/// How the pixels of one image are cut, packed and compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Samples of a pixel.
    pub samples: usize,
    /// What each of them is.
    pub kind: SampleKind,
    /// Bits of a sample in the file: 1, 2, 4, or those of `kind`.
    pub bits: usize,
    /// Whether each band has chunks of its own.
    pub separate: bool,
    /// Whether chunks are tiles; strips otherwise.
    pub tiled: bool,
    /// Width of a chunk.
    pub chunk_width: usize,
    /// Height of a chunk.
    pub chunk_height: usize,
    /// TIFF's number of the compression.
    pub compression: u16,
    /// 1 none, 2 differences, 3 differences of floating-point bytes.
    pub predictor: u16,
    /// TIFF's number of the colour space.
    pub photometric: u16,
    /// Whether bits are stored lowest first.
    pub reversed_bits: bool,
    /// What each sample beyond the colours is: 0 unspecified, 1 and 2 alpha.
    pub extra_samples: Vec<u16>,
    /// Tables that all JPEG chunks share.
    pub jpeg_tables: Vec<u8>,
    /// Where each chunk lies; 0 where there is none.
    pub offsets: Vec<u64>,
    /// Bytes of each chunk.
    pub counts: Vec<u64>,
}

impl Layout {
    /// The layout that a directory describes.
    ///
    /// # Errors
    /// Missing or contradictory tags, dimensions that the file cannot hold, chunks outside the file.
    pub fn of(path: &Path, directory: &Directory, length: u64) -> Result<Layout, MapError> {
        let all = |number: u16| directory.get(&number).map(super::Entry::integers).unwrap_or_default();
        let one = |number: u16, default: u64| all(number).first().copied().unwrap_or(default);
        let damaged = |reason: String| MapError::damaged(path, reason);
        let (width, height) = (one(tag::IMAGE_WIDTH, 0), one(tag::IMAGE_LENGTH, 0));
        let most = i32::MAX as u64;
        if width == 0 || height == 0 || width > most || height > most {
            return Err(damaged(format!("an image of {width} x {height} pixels")));
        }
        let samples = one(tag::SAMPLES_PER_PIXEL, 1);
        if samples == 0 || samples > 65_535 {
            return Err(damaged(format!("{samples} samples a pixel")));
        }
        let bits = all(tag::BITS_PER_SAMPLE);
        let formats = all(tag::SAMPLE_FORMAT);
        if bits.iter().any(|b| *b != bits[0]) || formats.iter().any(|f| *f != formats[0]) {
            return Err(MapError::unsupported(
                path,
                "bands of different kinds in one file are not supported",
            ));
        }
        let (bits, format) = (bits.first().copied().unwrap_or(1), formats.first().copied().unwrap_or(1));
        let kind = match (format, bits) {
            (1 | 4, 1 | 2 | 4 | 8) => SampleKind::U8,
            (1 | 4, 16) => SampleKind::U16,
            (1 | 4, 32) => SampleKind::U32,
            (2, 8) => SampleKind::I8,
            (2, 16) => SampleKind::I16,
            (2, 32) => SampleKind::I32,
            (3, 32) => SampleKind::F32,
            (3, 64) => SampleKind::F64,
            _ => {
                let what = format!("samples of {bits} bits (format {format}) are not supported");
                return Err(MapError::unsupported(path, what));
            }
        };
        let tiled = directory.contains_key(&tag::TILE_WIDTH);
        let (chunk_width, chunk_height) = if tiled {
            (one(tag::TILE_WIDTH, 0), one(tag::TILE_LENGTH, 0))
        } else {
            (width, one(tag::ROWS_PER_STRIP, height).min(height))
        };
        if chunk_width == 0 || chunk_height == 0 || chunk_width > most || chunk_height > most {
            return Err(damaged(format!("chunks of {chunk_width} x {chunk_height} pixels")));
        }
        let separate = one(tag::PLANAR_CONFIGURATION, 1) == 2 && samples > 1;
        let mut layout = Layout {
            width: width as usize,
            height: height as usize,
            samples: samples as usize,
            kind,
            bits: bits as usize,
            separate,
            tiled,
            chunk_width: chunk_width as usize,
            chunk_height: chunk_height as usize,
            compression: one(tag::COMPRESSION, 1) as u16,
            predictor: one(tag::PREDICTOR, 1) as u16,
            photometric: one(tag::PHOTOMETRIC, 1) as u16,
            reversed_bits: one(tag::FILL_ORDER, 1) == 2,
            extra_samples: all(tag::EXTRA_SAMPLES).into_iter().map(|v| v as u16).collect(),
            jpeg_tables: directory.get(&tag::JPEG_TABLES).map(|e| e.bytes.clone()).unwrap_or_default(),
            offsets: all(if tiled { tag::TILE_OFFSETS } else { tag::STRIP_OFFSETS }),
            counts: all(if tiled { tag::TILE_BYTE_COUNTS } else { tag::STRIP_BYTE_COUNTS }),
        };
        let chunk_bytes = layout.chunk_bytes(chunk_height);
        if layout.compression != 1 && chunk_bytes > MAX_CHUNK_BYTES {
            let what = format!(
                "a compressed {} of {chunk_width} x {chunk_height} pixels is too large to be read; rewrite the \
                 scene with tiles (gdal_translate -co TILED=YES)",
                if tiled { "tile" } else { "strip" }
            );
            return Err(MapError::unsupported(path, what));
        }
        let wanted =
            layout.columns() as u64 * layout.rows() as u64 * if layout.separate { samples } else { 1 };
        if layout.counts.is_empty() && layout.compression == 1 && !tiled {
            layout.counts = vec![chunk_bytes; layout.offsets.len()];
        }
        if (layout.offsets.len() as u64) < wanted || layout.counts.len() < layout.offsets.len() {
            return Err(damaged(format!(
                "{width} x {height} pixels in {samples} samples take {wanted} chunks and {} are listed",
                layout.offsets.len().min(layout.counts.len())
            )));
        }
        for (offset, count) in layout.offsets.iter().zip(&layout.counts) {
            if offset.checked_add(*count).is_none_or(|end| end > length) {
                return Err(damaged(format!(
                    "truncated: a chunk at {offset} has {count} bytes and the file only {length}"
                )));
            }
        }
        Ok(layout)
    }

    /// Chunks side by side.
    pub fn columns(&self) -> usize {
        self.width.div_ceil(self.chunk_width)
    }

    /// Chunks one below the other.
    pub fn rows(&self) -> usize {
        self.height.div_ceil(self.chunk_height)
    }

    /// Samples of a pixel within one chunk.
    pub fn chunk_samples(&self) -> usize {
        if self.separate { 1 } else { self.samples }
    }

    /// Bytes of `rows` rows of a chunk as the file packs them.
    pub(crate) fn chunk_bytes(&self, rows: u64) -> u64 {
        let row_bits = self.chunk_width as u64 * self.chunk_samples() as u64 * self.bits as u64;
        row_bits.div_ceil(8).saturating_mul(rows)
    }

    /// Rows that chunk row `row` really has: the last strip is cut, tiles are not.
    pub(crate) fn stored_rows(&self, row: usize) -> usize {
        if self.tiled {
            self.chunk_height
        } else {
            self.chunk_height.min(self.height - row * self.chunk_height)
        }
    }

    /// Position among the samples of a band that is an alpha channel.
    pub fn alpha(&self) -> Option<usize> {
        let first = self.samples.checked_sub(self.extra_samples.len())?;
        self.extra_samples.iter().position(|kind| matches!(kind, 1 | 2)).map(|at| first + at)
    }
}
