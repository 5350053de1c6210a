//! Pictures on disk: PNG and JPEG to [`Image`], and back to PNG.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::files::write_atomic;
use crate::{DataError, Image, jpeg, png_file};

/// Most pixels that a picture may have before it is refused (Pillow refuses at the same number): a small
/// file cannot make the program take all memory.
pub const MAX_PIXELS: usize = 178_956_970;

pub(crate) fn check_size(path: &Path, width: usize, height: usize) -> Result<(), DataError> {
    if width == 0 || height == 0 {
        return Err(DataError::decode(path, format!("a picture of {width}x{height} pixels")));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(DataError::TooLarge { path: path.into(), width, height });
    }
    Ok(())
}

/// What a file is by its first bytes; its name does not matter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Png,
    Jpeg,
}

pub(crate) fn sniff(path: &Path, bytes: &[u8]) -> Result<Format, DataError> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok(Format::Png)
    } else if bytes.starts_with(&[0xff, 0xd8]) {
        Ok(Format::Jpeg)
    } else if bytes.is_empty() {
        Err(DataError::decode(path, "the file is empty"))
    } else {
        Err(DataError::decode(path, "neither a PNG nor a JPEG file"))
    }
}

/// Most bytes of a picture's file: more than [`MAX_PIXELS`] need in any format.
const LONGEST_PICTURE: u64 = 2 << 30;

/// A picture's file, whole.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    read_up_to(path, LONGEST_PICTURE)
}

/// A file, whole, if it has at most `limit` bytes: a device without an end cannot take all memory.
pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let fail = |e| DataError::io(path, &e);
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let mut bytes = Vec::with_capacity(length.min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(DataError::LongFile { path: path.into(), limit });
    }
    Ok(bytes)
}

/// Reads a PNG or JPEG picture as RGB.
///
/// Grey pictures get three equal channels, palettes their colours, samples of 16 bits keep their high byte,
/// alpha is dropped. The EXIF orientation is not applied (a mask beside the picture would not turn with it).
/// JPEG is decoded as libjpeg-turbo decodes it.
///
/// # Errors
/// A file that is not there, is not a picture, is truncated or damaged, or has more than [`MAX_PIXELS`]
/// pixels.
pub fn read_image(path: &Path) -> Result<Image, DataError> {
    decode_image(path, &read_bytes(path)?)
}

/// The picture in `bytes`; `path` is for messages.
pub(crate) fn decode_image(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    match sniff(path, bytes)? {
        Format::Png => Ok(png_file::read(path, bytes)?.into_image()),
        Format::Jpeg => jpeg::read(path, bytes),
    }
}

/// Width and height of a picture, from its header alone.
///
/// # Errors
/// As [`read_image`], except that damage after the header goes unseen.
pub fn image_size(path: &Path) -> Result<[usize; 2], DataError> {
    let bytes = read_bytes(path)?;
    match sniff(path, &bytes)? {
        Format::Png => png_file::size(path, &bytes),
        Format::Jpeg => jpeg::size(path, &bytes),
    }
}

/// Writes a PNG file, whole or not at all.
///
/// # Errors
/// When the folder cannot be written.
///
/// # Panics
/// When `pixels` is not as long as the size says.
pub fn write_png(image: &Image, path: &Path) -> Result<(), DataError> {
    let bytes = encode_png(image).map_err(|e| DataError::Io { path: path.into(), reason: e.to_string() })?;
    write_atomic(path, &bytes)
}

/// A picture as the bytes of a PNG file.
///
/// # Errors
/// When the encoder refuses: a picture without pixels.
///
/// # Panics
/// When `pixels` is not as long as the size says.
pub fn encode_png(image: &Image) -> Result<Vec<u8>, std::io::Error> {
    assert_eq!(image.pixels.len(), image.width * image.height * 3, "pixels of a {:?} picture", image.size());
    png_file::encode_rgb(image.width, image.height, &image.pixels).map_err(std::io::Error::other)
}
