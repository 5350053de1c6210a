//! JPEG files, decoded to the same bytes as libjpeg-turbo with its default settings (what Pillow and OpenCV
//! use): its integer inverse DCT, its "fancy" chroma upsampling and its fixed-point colour conversion.
//!
//! The decoders on crates.io round differently: against Pillow, on photographs of 4:2:0, zune-jpeg 0.5 is off by
//! up to 5 levels and jpeg-decoder 0.3 by 3, and both by tens of levels on pictures two or three pixels wide.
//! Sequential and progressive Huffman files of 8 bits with one or three components are decoded here; the rest
//! (CMYK) goes through the `image` crate. Damaged files are refused where libjpeg would warn and go on.

mod bits;
mod colour;
mod header;
mod huffman;
mod idct;
mod scan;
mod upsample;

use std::fmt;
use std::path::Path;

use crate::image_file::check_size;
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
    match decode(bytes) {
        Ok(Some(image)) => Ok(image),
        Ok(None) => read_other(path, bytes),
        Err(Fault::TooLarge(width, height)) => Err(DataError::TooLarge { path: path.into(), width, height }),
        Err(fault) => Err(DataError::decode(path, fault)),
    }
}

/// The picture; `None` for a kind that is left to another decoder.
fn decode(bytes: &[u8]) -> Result<Option<Image>, Fault> {
    let Some((frame, planes)) = scan::read(bytes)? else { return Ok(None) };
    let (width, height) = (frame.width, frame.height);
    let mut pixels = vec![0; width * height * 3];
    match &planes[..] {
        [grey] => {
            for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
                let from = &grey.samples[y * grey.stride..][..width];
                row.as_chunks_mut::<3>().0.iter_mut().zip(from).for_each(|(to, &v)| *to = [v; 3]);
            }
        }
        [a, b, c] => {
            let [method_a, method_b, method_c] =
                [frame.upsampling(0)?, frame.upsampling(1)?, frame.upsampling(2)?];
            // Upsampling makes up to three samples more than a row has.
            let mut rows = [0, 1, 2].map(|_| vec![0u8; width + 8]);
            for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
                method_a.row(a, y, &mut rows[0]);
                method_b.row(b, y, &mut rows[1]);
                method_c.row(c, y, &mut rows[2]);
                let [x, y, z] = &rows;
                colour::row([x, y, z], frame.is_rgb, row.as_chunks_mut::<3>().0);
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(Image { width, height, pixels }))
}

/// CMYK and the like, through the `image` crate, which does not notice that data are missing: at least the
/// end must be there.
fn read_other(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    if !bytes.windows(2).any(|pair| pair == [0xff, 0xd9]) {
        return Err(DataError::decode(path, Fault::Truncated));
    }
    let fail = |e: image::ImageError| DataError::decode(path, e);
    let decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(bytes)).map_err(fail)?;
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    check_size(path, width as usize, height as usize)?;
    let picture = image::DynamicImage::from_decoder(decoder).map_err(fail)?.into_rgb8();
    Ok(Image { width: width as usize, height: height as usize, pixels: picture.into_raw() })
}
