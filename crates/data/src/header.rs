//! What a picture's file says of itself beside its pixels: depth, colours, alpha, EXIF orientation.
//!
//! Nothing here decodes a pixel or fails: a file that contradicts itself is refused by the readers.

/// What a file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bits of a sample.
    pub bits: u8,
    /// Samples of a pixel: 1 grey (or an index), 3 colours, 4 CMYK; alpha not counted.
    pub channels: u8,
    /// Whether a sample is an index into a palette.
    pub palette: bool,
    /// Whether pixels may be transparent.
    pub alpha: bool,
    /// EXIF's orientation, 1 (upright) to 8; 1 where the file says nothing.
    pub orientation: u8,
}

impl Header {
    /// The header of a PNG or JPEG file; all zeros for anything else.
    pub(crate) fn of(bytes: &[u8]) -> Header {
        let header = if bytes.starts_with(b"\x89PNG") { of_png(bytes) } else { of_jpeg(bytes) };
        header.unwrap_or_default()
    }
}

fn of_png(bytes: &[u8]) -> Option<Header> {
    let mut header = Header { orientation: 1, ..Header::default() };
    let mut rest = bytes.get(8..)?;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((kind, data)) = tail.split_first_chunk::<4>() else { break };
        let Some((data, after)) = data.split_at_checked(length) else { break };
        match kind {
            b"IHDR" => {
                let (&bits, &colour) = (data.get(8)?, data.get(9)?);
                header.bits = bits;
                header.palette = colour == 3;
                header.channels = if matches!(colour, 2 | 6) { 3 } else { 1 };
                header.alpha = matches!(colour, 4 | 6);
            }
            b"tRNS" => header.alpha = true,
            b"eXIf" => header.orientation = orientation(data).unwrap_or(1),
            _ => {}
        }
        // After a chunk comes its checksum.
        rest = after.get(4..).unwrap_or_default();
    }
    Some(header)
}

fn of_jpeg(bytes: &[u8]) -> Option<Header> {
    let mut header = Header { orientation: 1, ..Header::default() };
    let mut rest = bytes.get(2..)?;
    loop {
        let at = rest.iter().position(|&b| b == 0xff)?;
        rest = &rest[at..];
        let at = rest.iter().position(|&b| b != 0xff)?;
        let marker = rest[at];
        rest = &rest[at + 1..];
        if matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
            continue;
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let segment = rest.get(2..length.max(2))?;
        match marker {
            0xc0..=0xc2 => {
                (header.bits, header.channels) = (*segment.first()?, *segment.get(5)?);
                return Some(header);
            }
            0xe1 if segment.starts_with(b"Exif\0\0") => {
                header.orientation = orientation(&segment[6..]).unwrap_or(1);
            }
            _ => {}
        }
        rest = &rest[length..];
    }
}

/// The orientation in EXIF data, which are a TIFF file whose first directory may hold tag 0x0112.
fn orientation(tiff: &[u8]) -> Option<u8> {
    let big = match tiff.first_chunk::<4>()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let word = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<2>()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let directory = *tiff.get(4..)?.first_chunk::<4>()?;
    let directory = if big { u32::from_be_bytes(directory) } else { u32::from_le_bytes(directory) } as usize;
    for entry in 0..usize::from(word(directory)?) {
        let at = directory + 2 + 12 * entry;
        if word(at)? == 0x0112 {
            // A short, which stands at the left of the value's four bytes.
            return u8::try_from(word(at + 8)?).ok().filter(|value| (1..=8).contains(value));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TIFF header with one directory entry.
    fn tiff(big: bool, tag: u16, value: u16) -> Vec<u8> {
        let word = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let long = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let mut bytes = if big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        bytes.extend(long(8));
        bytes.extend([word(1), word(tag), word(3)].concat());
        bytes.extend(long(1));
        bytes.extend([word(value), word(0)].concat());
        bytes
    }

    #[test]
    fn orientation_is_found_in_either_byte_order() {
        for big in [false, true] {
            assert_eq!(orientation(&tiff(big, 0x0112, 6)), Some(6));
            assert_eq!(orientation(&tiff(big, 0x0110, 6)), None);
            assert_eq!(orientation(&tiff(big, 0x0112, 9)), None);
            let whole = tiff(big, 0x0112, 3);
            assert!((0..whole.len() - 2).all(|n| orientation(&whole[..n]).is_none()));
        }
        // A directory far outside.
        assert_eq!(orientation(b"II*\0\xff\xff\xff\xff"), None);
    }

    #[test]
    fn a_jpeg_without_a_frame_has_no_header() {
        for bytes in
            [&b""[..], b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\0", b"\xff\xd8\xff\xc0\0\x03\x08"]
        {
            assert_eq!(Header::of(bytes), Header::default(), "{bytes:x?}");
        }
        let frame = b"\xff\xd8\xff\xc0\0\x0b\x08\0\x01\0\x01\x01\x01\x11\0";
        assert_eq!((Header::of(frame).bits, Header::of(frame).channels), (8, 1));
    }
}
