//! The zip archive that PyTorch writes: every entry stored, none compressed.

use std::collections::HashMap;
use std::ops::Range;

/// Entries that an archive may have.
const MOST_ENTRIES: u64 = 100_000;

/// Where the bytes of each entry lie, by name without the archive's own folder.
///
/// # Errors
/// What is wrong with the archive.
pub(super) fn entries(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let (count, mut at) = directory(bytes)?;
    if count > MOST_ENTRIES {
        return Err(format!("the archive claims {count} entries"));
    }
    let mut entries = HashMap::new();
    for _ in 0..count {
        let fixed = slice(bytes, at, 46)?;
        if !fixed.starts_with(b"PK\x01\x02") {
            return Err("the archive's directory is damaged".to_owned());
        }
        let half = |place: usize| usize::from(u16::from_le_bytes([fixed[place], fixed[place + 1]]));
        let (flags, method) = (half(8), half(10));
        let [name_len, extra_len, comment_len] = [28, 30, 32].map(half);
        let mut sizes = [24, 20, 42].map(|place| u64::from(word(fixed, place)));
        let name = slice(bytes, at + 46, name_len)?;
        let name = std::str::from_utf8(name).map_err(|_| "an entry's name is not UTF-8".to_owned())?;
        wide_sizes(slice(bytes, at + 46 + name_len, extra_len)?, &mut sizes);
        at += 46 + name_len + extra_len + comment_len;
        let [size, stored, local] = sizes;
        if flags & 1 != 0 || method != 0 || size != stored {
            return Err(format!("entry {name} is compressed or encrypted, which PyTorch never does"));
        }
        let local = usize::try_from(local).map_err(|_| "an entry lies outside the file".to_owned())?;
        let header = slice(bytes, local, 30)?;
        if !header.starts_with(b"PK\x03\x04") {
            return Err(format!("entry {name} does not begin where the directory says"));
        }
        let half = |place: usize| usize::from(u16::from_le_bytes([header[place], header[place + 1]]));
        let start = local + 30 + half(26) + half(28);
        let size = usize::try_from(size).map_err(|_| format!("entry {name} is larger than the file"))?;
        slice(bytes, start, size)?;
        let inner = name.split_once('/').map_or(name, |(_, inner)| inner);
        if entries.insert(inner.to_owned(), start..start + size).is_some() {
            return Err(format!("entry {name} is there twice"));
        }
    }
    Ok(entries)
}

/// Number of entries and the directory's place.
fn directory(bytes: &[u8]) -> Result<(u64, usize), String> {
    let missing = || "the archive has no directory at its end: the file is cut short".to_owned();
    // The end record is 22 bytes and a comment of up to 64 KiB.
    let least = bytes.len().saturating_sub(22 + 65_535);
    let tail = &bytes[least..];
    let end = (0..tail.len().saturating_sub(21)).rev().find(|&i| tail[i..].starts_with(b"PK\x05\x06"));
    let end = least + end.ok_or_else(missing)?;
    let record = slice(bytes, end, 22)?;
    let mut count = u64::from(u16::from_le_bytes([record[10], record[11]]));
    let mut place = u64::from(word(record, 16));
    if let Some(locator) = end.checked_sub(20).map(|start| &bytes[start..end])
        && locator.starts_with(b"PK\x06\x07")
    {
        let start = usize::try_from(long(locator, 8)).map_err(|_| missing())?;
        let wide = slice(bytes, start, 56)?;
        if !wide.starts_with(b"PK\x06\x06") {
            return Err(missing());
        }
        (count, place) = (long(wide, 32), long(wide, 48));
    }
    Ok((count, usize::try_from(place).map_err(|_| missing())?))
}

/// Takes the 64-bit sizes of the zip64 field in for those that say they are there.
fn wide_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) {
    while extra.len() >= 4 {
        let (id, len) =
            (u16::from_le_bytes([extra[0], extra[1]]), usize::from(u16::from_le_bytes([extra[2], extra[3]])));
        let body = &extra[4..(4 + len).min(extra.len())];
        if id == 1 {
            let mut chunks = body.as_chunks::<8>().0.iter();
            for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
                if let Some(chunk) = chunks.next() {
                    *size = u64::from_le_bytes(*chunk);
                }
            }
        }
        extra = &extra[(4 + len).min(extra.len())..];
    }
}

fn slice(bytes: &[u8], start: usize, len: usize) -> Result<&[u8], String> {
    start
        .checked_add(len)
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| "the archive is cut short".to_owned())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}
