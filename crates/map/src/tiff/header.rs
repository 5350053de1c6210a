//! Directories of tags: classic TIFF and BigTIFF, both byte orders.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::MapError;

/// More directories than this are taken for a loop.
const MAX_DIRECTORIES: usize = 4096;

/// One tag as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// TIFF's number of the type: 2 ASCII, 3 SHORT, 4 LONG, 12 DOUBLE and so on.
    pub kind: u16,
    /// Number of values.
    pub count: u64,
    /// The values in little-endian order.
    pub bytes: Vec<u8>,
}

/// Bytes of one value of a TIFF type; 0 for unknown ones.
pub(crate) fn size_of(kind: u16) -> usize {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => 0,
    }
}

impl Entry {
    /// Whole numbers of any width.
    pub fn integers(&self) -> Vec<u64> {
        let word = |b: &[u8]| b.iter().rev().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
        match self.kind {
            1 | 3 | 4 | 7 | 13 | 16 | 18 => self.bytes.chunks_exact(size_of(self.kind)).map(word).collect(),
            _ => Vec::new(),
        }
    }

    /// Numbers with a fraction (DOUBLE or FLOAT).
    pub fn doubles(&self) -> Vec<f64> {
        match self.kind {
            12 => self.bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            11 => self.bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            _ => Vec::new(),
        }
    }

    /// Text up to its first zero byte.
    pub fn text(&self) -> String {
        let end = self.bytes.iter().position(|b| *b == 0).unwrap_or(self.bytes.len());
        String::from_utf8_lossy(&self.bytes[..end]).into_owned()
    }
}

/// The tags of one image in the file.
pub type Directory = BTreeMap<u16, Entry>;

/// A TIFF file's directories.
#[derive(Debug)]
pub struct TiffHeader {
    /// The file.
    pub path: PathBuf,
    /// Whether numbers are stored lowest byte first.
    pub little: bool,
    /// Bytes of the file.
    pub length: u64,
    /// All images of the file in the order of its chain.
    pub directories: Vec<Directory>,
}

/// Whether a file begins as TIFF and BigTIFF do.
pub(crate) fn is_tiff(start: &[u8]) -> bool {
    matches!(start.get(..4), Some(b"II*\0" | b"MM\0*" | b"II+\0" | b"MM\0+"))
}

struct Source<'a> {
    file: &'a mut File,
    path: &'a Path,
    little: bool,
    length: u64,
}

impl Source<'_> {
    fn bytes(&mut self, at: u64, count: u64) -> Result<Vec<u8>, MapError> {
        if at.checked_add(count).is_none_or(|end| end > self.length) {
            return Err(MapError::damaged(
                self.path,
                format_args!("truncated: {count} bytes at {at} are asked for and it has {}", self.length),
            ));
        }
        let mut bytes = vec![0; count as usize];
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut bytes));
        read.map_err(|error| MapError::io(self.path, &error))?;
        Ok(bytes)
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let fold = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
        if self.little { bytes.iter().rev().fold(0, fold) } else { bytes.iter().fold(0, fold) }
    }
}

impl TiffHeader {
    /// Reads all directories.
    ///
    /// # Errors
    /// A file that is not there, is no TIFF file, or whose directories point outside it.
    pub fn read(path: &Path) -> Result<(TiffHeader, File), MapError> {
        let mut file = File::open(path).map_err(|error| MapError::io(path, &error))?;
        let length = file.metadata().map_err(|error| MapError::io(path, &error))?.len();
        let mut source = Source { file: &mut file, path, little: true, length };
        let start = source.bytes(0, 8)?;
        if !is_tiff(&start) {
            return Err(MapError::damaged(path, "not a TIFF file"));
        }
        source.little = start[0] == b'I';
        let big = source.number(&start[2..4]) == 43;
        let mut next = if big {
            let rest = source.bytes(8, 8)?;
            source.number(&rest)
        } else {
            source.number(&start[4..8])
        };
        let mut directories = Vec::new();
        while next != 0 {
            if directories.len() == MAX_DIRECTORIES {
                return Err(MapError::damaged(path, "its directories form a loop"));
            }
            let (directory, following) = source.directory(next, big)?;
            directories.push(directory);
            next = following;
        }
        if directories.is_empty() {
            return Err(MapError::damaged(path, "a TIFF file without an image"));
        }
        let little = source.little;
        Ok((TiffHeader { path: path.into(), little, length, directories }, file))
    }
}

impl Source<'_> {
    fn directory(&mut self, at: u64, big: bool) -> Result<(Directory, u64), MapError> {
        let (count_size, entry_size, word) = if big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.bytes(at, count_size)?;
        let count = self.number(&count);
        let table = self.bytes(at + count_size, count.saturating_mul(entry_size).saturating_add(word))?;
        let (entries, next) = table.split_at((count * entry_size) as usize);
        let mut directory = Directory::new();
        for entry in entries.chunks_exact(entry_size as usize) {
            let (number, kind) = (self.number(&entry[..2]) as u16, self.number(&entry[2..4]) as u16);
            let count = self.number(&entry[4..4 + word as usize]);
            let size = size_of(kind);
            if size == 0 {
                continue;
            }
            let total = count.saturating_mul(size as u64);
            let inline = &entry[4 + word as usize..];
            let mut bytes = if total <= word {
                inline[..total as usize].to_vec()
            } else {
                self.bytes(self.number(inline), total)?
            };
            if !self.little {
                // Fractions of two LONGs swap each half by itself.
                let unit = if matches!(kind, 5 | 10) { 4 } else { size };
                bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
            }
            directory.insert(number, Entry { kind, count, bytes });
        }
        Ok((directory, self.number(next)))
    }
}
