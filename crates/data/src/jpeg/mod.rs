//! JPEG files.

use std::path::Path;

use crate::image_file::check_size;
use crate::{DataError, Image};

/// Decodes a JPEG file.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Image, DataError> {
    let fail = |e: image::ImageError| DataError::decode(path, e);
    let decoder = image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(bytes)).map_err(fail)?;
    let (width, height) = image::ImageDecoder::dimensions(&decoder);
    check_size(path, width as usize, height as usize)?;
    let picture = image::DynamicImage::from_decoder(decoder).map_err(fail)?.into_rgb8();
    Ok(Image { width: width as usize, height: height as usize, pixels: picture.into_raw() })
}
