//! JPEG files, decoded to the same bytes as libjpeg-turbo with its default settings (what Pillow and OpenCV
//! use): its integer inverse DCT, its "fancy" chroma upsampling and its fixed-point colour conversion.
//!
//! The decoders on crates.io round differently: against Pillow, on photographs of 4:2:0, zune-jpeg 0.5 is off by
//! up to 5 levels and jpeg-decoder 0.3 by 3, and both by tens of levels on pictures two or three pixels wide.
//! Sequential and progressive Huffman files of 8 bits are decoded, of one component (grey), three (colours) or
//! four (CMYK, made RGB as Pillow makes it). Damaged files are refused where libjpeg would warn and go on.

mod bits;
mod colour;
mod header;
mod huffman;
mod idct;
mod scan;
mod upsample;

use std::fmt;
use std::path::Path;

use crate::{DataError, Image};

/// Why a file does not decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The data end before the picture does.
    Truncated,
    /// The data contradict the format.
    Damaged(&'static str),
    /// A kind of JPEG that is not supported.
    Unsupported(&'static str),
    /// More pixels than allowed.
    TooLarge(usize, usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated => write!(f, "the file is truncated"),
            Fault::Damaged(what) => write!(f, "the file is damaged: {what}"),
            Fault::Unsupported(what) => write!(f, "{what} is not supported"),
            Fault::TooLarge(w, h) => write!(f, "{w}x{h} pixels are too many"),
        }
    }
}

/// Decodes a JPEG file; `path` is for messages.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    decode(bytes).map_err(|fault| error(path, fault))
}

/// Width and height of a JPEG file, from its header.
pub(crate) fn size(path: &Path, bytes: &[u8]) -> Result<[usize; 2], DataError> {
    scan::size(bytes).map_err(|fault| error(path, fault))
}

fn error(path: &Path, fault: Fault) -> DataError {
    match fault {
        Fault::TooLarge(width, height) => DataError::TooLarge { path: path.into(), width, height },
        Fault::Truncated => DataError::Truncated { path: path.into() },
        fault => DataError::decode(path, fault),
    }
}

/// What the components of a JPEG file are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JpegColours {
    /// As the file's markers say, by libjpeg's rules.
    #[default]
    AsStored,
    /// Three components are red, green and blue.
    Rgb,
    /// Three components are luminance and two chrominances.
    YCbCr,
}

/// Decodes a JPEG file whose container may say what its components are, as TIFF does. Grey becomes three equal channels.
///
/// # Errors
/// Says why the data do not decode.
pub fn decode_jpeg(bytes: &[u8], colours: JpegColours) -> Result<Image, String> {
    decode_as(bytes, colours).map_err(|fault| fault.to_string())
}

fn decode(bytes: &[u8]) -> Result<Image, Fault> {
    decode_as(bytes, JpegColours::AsStored)
}

fn decode_as(bytes: &[u8], colours: JpegColours) -> Result<Image, Fault> {
    let (mut frame, planes) = scan::read(bytes)?;
    match (colours, planes.len()) {
        (JpegColours::Rgb, 3) => frame.colours = colour::Colours::Rgb,
        (JpegColours::YCbCr, 3) => frame.colours = colour::Colours::Ycc,
        _ => {}
    }
    let (width, height) = (frame.width, frame.height);
    let methods: Vec<_> = (0..planes.len()).map(|i| frame.upsampling(i)).collect::<Result<_, _>>()?;
    // Upsampling makes up to three samples more than a row has.
    let mut rows = vec![vec![0u8; width + 8]; planes.len()];
    let mut pixels = vec![0; width * height * 3];
    for (y, out) in pixels.chunks_exact_mut(width * 3).enumerate() {
        for ((method, plane), row) in methods.iter().zip(&planes).zip(&mut rows) {
            method.row(plane, y, row);
        }
        colour::row(frame.colours, &rows, out.as_chunks_mut::<3>().0);
    }
    Ok(Image { width, height, pixels })
}
