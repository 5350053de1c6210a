//! Tiled files with overviews, laid out so that a reader over a network needs few requests ("cloud-optimised"): all
//! directories at the front, then the overviews from the smallest to the largest, then the image itself.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::header::{Entry, size_of};
use super::tag;

/// The values of a tag.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Type SHORT.
    Short(Vec<u16>),
    /// Type LONG.
    Long(Vec<u32>),
    /// Text; the zero byte is added.
    Text(String),
    /// A tag of another file, as it is.
    Raw(Entry),
}

impl Field {
    fn entry(&self) -> Entry {
        let bytes: Vec<u8>;
        let (kind, count) = match self {
            Field::Short(values) => {
                bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (3, values.len())
            }
            Field::Long(values) => {
                bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (4, values.len())
            }
            Field::Text(text) => {
                bytes = text.bytes().chain([0]).collect();
                (2, bytes.len())
            }
            Field::Raw(entry) => return entry.clone(),
        };
        Entry { kind, count: count as u64, bytes }
    }
}

/// Where a compressed tile lies in the file that it was put down in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spooled {
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// One image of the file: its tags (without those of the tiles) and its tiles.
#[derive(Clone, Debug, Default)]
pub struct TiffWriter {
    /// The images: the full one, then its overviews from large to small.
    pub images: Vec<(BTreeMap<u16, Field>, Vec<Spooled>)>,
}

impl TiffWriter {
    /// Writes the file, taking the tiles from `spool`. It becomes a BigTIFF where 4 GiB do not suffice.
    ///
    /// # Errors
    /// What reading or writing meets.
    pub fn write(&self, spool: &mut (impl Read + Seek), out: &mut impl Write) -> io::Result<()> {
        let data: u64 = self.images.iter().flat_map(|(_, tiles)| tiles).map(|tile| tile.length).sum();
        let big = self.header_bytes(false) + data > u64::from(u32::MAX) - 8;
        self.write_as(big, spool, out)
    }

    /// As [`TiffWriter::write`], as a BigTIFF or not.
    pub(super) fn write_as(
        &self,
        big: bool,
        spool: &mut (impl Read + Seek),
        out: &mut impl Write,
    ) -> io::Result<()> {
        // Data follow in the order of the images' sizes, the full image last.
        let mut at = self.header_bytes(big);
        let mut offsets: Vec<Vec<u64>> = vec![Vec::new(); self.images.len()];
        for (image, (_, tiles)) in self.images.iter().enumerate().rev() {
            for tile in tiles {
                offsets[image].push(at);
                at += tile.length;
            }
        }
        let mut front = Vec::new();
        if big {
            front.extend(b"II+\0\x08\0\0\0");
            front.extend(16u64.to_le_bytes());
        } else {
            front.extend(b"II*\0");
            front.extend(8u32.to_le_bytes());
        }
        for (image, offsets) in offsets.iter().enumerate() {
            let last = image + 1 == self.images.len();
            self.directory(image, offsets, big, last, &mut front);
        }
        debug_assert_eq!(front.len() as u64, self.header_bytes(big));
        out.write_all(&front)?;
        let mut buffer = Vec::new();
        for (_, tiles) in self.images.iter().rev() {
            for tile in tiles {
                buffer.resize(tile.length as usize, 0);
                spool.seek(SeekFrom::Start(tile.offset))?;
                spool.read_exact(&mut buffer)?;
                out.write_all(&buffer)?;
            }
        }
        Ok(())
    }

    fn entries(&self, image: usize, offsets: Option<&[u64]>, big: bool) -> BTreeMap<u16, Entry> {
        let (fields, tiles) = &self.images[image];
        let mut entries: BTreeMap<u16, Entry> =
            fields.iter().map(|(number, field)| (*number, field.entry())).collect();
        let numbers = |values: &mut dyn Iterator<Item = u64>| {
            let mut bytes = Vec::new();
            for value in values {
                if big {
                    bytes.extend(value.to_le_bytes());
                } else {
                    bytes.extend((value as u32).to_le_bytes());
                }
            }
            Entry { kind: if big { 16 } else { 4 }, count: tiles.len() as u64, bytes }
        };
        let offsets = match offsets {
            Some(offsets) => numbers(&mut offsets.iter().copied()),
            None => numbers(&mut tiles.iter().map(|_| 0)),
        };
        entries.insert(tag::TILE_OFFSETS, offsets);
        entries.insert(tag::TILE_BYTE_COUNTS, numbers(&mut tiles.iter().map(|tile| tile.length)));
        entries
    }

    fn directory(&self, image: usize, offsets: &[u64], big: bool, last: bool, out: &mut Vec<u8>) {
        let entries = self.entries(image, Some(offsets), big);
        let word = if big { 8 } else { 4 };
        let table = table_bytes(entries.len(), big);
        let mut outside = Vec::new();
        let start = out.len() as u64;
        if big {
            out.extend((entries.len() as u64).to_le_bytes());
        } else {
            out.extend((entries.len() as u16).to_le_bytes());
        }
        let end = start + table + entries.values().map(|entry| outside_bytes(entry, big)).sum::<u64>();
        for (number, entry) in &entries {
            debug_assert_eq!(entry.bytes.len() as u64, entry.count * size_of(entry.kind) as u64);
            out.extend(number.to_le_bytes());
            out.extend(entry.kind.to_le_bytes());
            out.extend(&entry.count.to_le_bytes()[..word]);
            if entry.bytes.len() <= word {
                out.extend(&entry.bytes);
                out.extend(std::iter::repeat_n(0, word - entry.bytes.len()));
            } else {
                let place = start + table + outside.len() as u64;
                out.extend(&place.to_le_bytes()[..word]);
                outside.extend(&entry.bytes);
                outside.resize(outside.len().next_multiple_of(8), 0);
            }
        }
        let next = if last { 0 } else { end };
        out.extend(&next.to_le_bytes()[..word]);
        out.resize((start + table) as usize, 0);
        out.extend(outside);
    }

    fn header_bytes(&self, big: bool) -> u64 {
        let mut bytes = if big { 16 } else { 8 };
        for image in 0..self.images.len() {
            let entries = self.entries(image, None, big);
            bytes += table_bytes(entries.len(), big);
            bytes += entries.values().map(|entry| outside_bytes(entry, big)).sum::<u64>();
        }
        bytes
    }
}

/// A directory's table, up to a multiple of eight.
fn table_bytes(entries: usize, big: bool) -> u64 {
    let bytes = if big { 8 + 20 * entries + 8 } else { 2 + 12 * entries + 4 };
    bytes.next_multiple_of(8) as u64
}

/// What an entry takes beside the table.
fn outside_bytes(entry: &Entry, big: bool) -> u64 {
    let length = entry.bytes.len();
    if length <= if big { 8 } else { 4 } { 0 } else { length.next_multiple_of(8) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Window;
    use crate::tiff::{TiffHeader, TiffReader};

    #[test]
    fn both_forms_are_read_back() {
        // Two images of one uncompressed tile each.
        let dir = tempfile::tempdir().unwrap();
        let tiles: [Vec<u8>; 2] = [(0..=255).collect(), (0..=255).rev().collect()];
        let mut spool = io::Cursor::new(tiles.concat());
        let mut writer = TiffWriter::default();
        for (i, side) in [16u32, 8].into_iter().enumerate() {
            let fields = [
                (tag::IMAGE_WIDTH, Field::Long(vec![side])),
                (tag::IMAGE_LENGTH, Field::Long(vec![side - 1])),
                (tag::BITS_PER_SAMPLE, Field::Short(vec![8])),
                (tag::TILE_WIDTH, Field::Short(vec![16])),
                (tag::TILE_LENGTH, Field::Short(vec![16])),
                (tag::GDAL_NODATA, Field::Text("255".into())),
            ];
            let tile = Spooled { offset: 256 * i as u64, length: 256 };
            writer.images.push((fields.into(), vec![tile]));
        }
        for big in [false, true] {
            let path = dir.path().join(format!("{big}.tif"));
            let mut file = std::fs::File::create(&path).unwrap();
            writer.write_as(big, &mut spool, &mut file).unwrap();
            let (header, _) = TiffHeader::read(&path).unwrap();
            assert_eq!(header.directories.len(), 2);
            assert_eq!(header.directories[0][&tag::GDAL_NODATA].text(), "255");
            for (directory, tile) in tiles.iter().enumerate() {
                let mut reader = TiffReader::new(&header, directory, 1 << 20).unwrap();
                let mut seen: Vec<u8> = Vec::new();
                let window = Window { x: 3, y: 2, width: 4, height: 5 };
                reader.read(window, &[0], |span| seen.extend(&span.bytes.unwrap()[..span.count])).unwrap();
                let expected: Vec<u8> = (2..7).flat_map(|y| tile[y * 16 + 3..y * 16 + 7].to_vec()).collect();
                assert_eq!(seen, expected, "{big} {directory}");
            }
            let offsets: Vec<u64> =
                header.directories.iter().map(|d| d[&tag::TILE_OFFSETS].integers()[0]).collect();
            assert!(offsets[1] < offsets[0], "overviews lie before the image");
        }
    }
}
