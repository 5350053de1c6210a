//! PNG files, read with their palette and bit depth kept apart, so that masks can look at both.

use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};

use crate::header::Header;
use crate::image_file::check_size;
use crate::{DataError, Image};

/// What a PNG file holds, before anything is made of it.
pub(crate) struct Raw {
    pub width: usize,
    pub height: usize,
    pub kind: Kind,
    /// Samples of 8 bits in file order, without padding: H x W x channels. Samples of 16 bits are cut to
    /// their high byte.
    pub samples: Vec<u8>,
}

/// The meaning of a sample.
pub(crate) enum Kind {
    /// One sample a pixel, from 0 to `max` (1, 3, 15 or 255).
    Grey {
        max: u8,
    },
    /// Grey and alpha.
    GreyAlpha,
    Rgb,
    Rgba,
    /// One sample a pixel, an index into these colours.
    Palette(Vec<[u8; 3]>),
}

/// Width and height of a PNG file, from its header.
pub(crate) fn size(path: &Path, bytes: &[u8]) -> Result<[usize; 2], DataError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    let header = decoder.read_header_info().map_err(|e| fault(path, e))?;
    let size = [header.width as usize, header.height as usize];
    check_size(path, size[0], size[1])?;
    Ok(size)
}

/// Decodes a PNG file. A file that ends early or fails a checksum is an error.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Raw, DataError> {
    let Decoded { width, height, palette, frame, data } = decode(path, bytes, Transformations::STRIP_16)?;
    let bits: u8 = match frame.bit_depth {
        BitDepth::One => 1,
        BitDepth::Two => 2,
        BitDepth::Four => 4,
        BitDepth::Eight | BitDepth::Sixteen => 8,
    };
    let samples = if bits < 8 { unpack(&data, width, frame.line_size, bits) } else { data };
    let kind = match frame.color_type {
        ColorType::Grayscale => Kind::Grey { max: (((1u16) << bits) - 1) as u8 },
        ColorType::GrayscaleAlpha => Kind::GreyAlpha,
        ColorType::Rgb => Kind::Rgb,
        ColorType::Rgba => Kind::Rgba,
        ColorType::Indexed => {
            let palette = palette.ok_or_else(|| DataError::decode(path, "the palette is missing"))?;
            let colours: Vec<[u8; 3]> = palette.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect();
            let highest = samples.iter().max().map_or(0, |&i| usize::from(i));
            if highest >= colours.len() {
                let reason = format!("index {highest} into a palette of {} colours", colours.len());
                return Err(DataError::decode(path, reason));
            }
            Kind::Palette(colours)
        }
    };
    Ok(Raw { width, height, kind, samples })
}

/// The values of a grey PNG file of 16 bits, with or without alpha; `None` for one of another kind.
pub(crate) fn read_wide_grey(path: &Path, bytes: &[u8]) -> Result<Option<Vec<u16>>, DataError> {
    let header = Header::of(bytes);
    if header.bits != 16 || header.channels != 1 {
        return Ok(None);
    }
    let Decoded { frame, data, .. } = decode(path, bytes, Transformations::IDENTITY)?;
    let values = data.as_chunks::<2>().0.iter().map(|v| u16::from_be_bytes(*v));
    Ok(Some(values.step_by(frame.color_type.samples()).collect()))
}

/// The most bytes that one byte of deflate data can stand for: 258 from two bits.
const DEFLATE_RATIO: usize = 1032;

/// What the decoder makes of a file.
struct Decoded {
    width: usize,
    height: usize,
    palette: Option<Vec<u8>>,
    frame: png::OutputInfo,
    data: Vec<u8>,
}

fn decode(path: &Path, bytes: &[u8], transformations: Transformations) -> Result<Decoded, DataError> {
    let fail = |e: png::DecodingError| fault(path, e);
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.ignore_checksums(false);
    let header = decoder.read_header_info().map_err(fail)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(path, width, height)?;
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(fail)?;
    let palette = reader.info().palette.as_ref().map(|p| p.to_vec());
    let size = reader.output_buffer_size();
    let size = size.ok_or_else(|| DataError::TooLarge { path: path.into(), width, height })?;
    // A file that cannot hold as many pixels is cut off: do not ask for their memory.
    if size / DEFLATE_RATIO > bytes.len() {
        return Err(DataError::Truncated { path: path.into() });
    }
    let mut data = vec![0; size];
    let frame = reader.next_frame(&mut data).map_err(fail)?;
    reader.finish().map_err(fail)?;
    data.truncate(frame.buffer_size());
    Ok(Decoded { width, height, palette, frame, data })
}

fn fault(path: &Path, error: png::DecodingError) -> DataError {
    match error {
        png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            DataError::Truncated { path: path.into() }
        }
        error => DataError::decode(path, error),
    }
}

/// Samples of 1, 2 or 4 bits, one byte each; rows begin on a byte.
fn unpack(data: &[u8], width: usize, line: usize, bits: u8) -> Vec<u8> {
    let per_byte = 8 / usize::from(bits);
    let mask = (1u8 << bits) - 1;
    let mut samples = Vec::with_capacity(data.len() * per_byte);
    for row in data.chunks_exact(line.max(1)) {
        samples.extend((0..width).map(|x| {
            let shift = 8 - bits * (x % per_byte + 1) as u8;
            (row[x / per_byte] >> shift) & mask
        }));
    }
    samples
}

impl Raw {
    /// The picture: grey becomes three equal channels, palettes their colours; alpha is dropped.
    pub(crate) fn into_image(self) -> Image {
        let Raw { width, height, kind, samples } = self;
        let pixels = match kind {
            Kind::Rgb => samples,
            Kind::Rgba => samples.as_chunks::<4>().0.iter().flat_map(|p| [p[0], p[1], p[2]]).collect(),
            Kind::Grey { max } => {
                let scale = 255 / max;
                samples.iter().flat_map(|&v| [v * scale; 3]).collect()
            }
            Kind::GreyAlpha => samples.as_chunks::<2>().0.iter().flat_map(|p| [p[0]; 3]).collect(),
            Kind::Palette(colours) => samples.iter().flat_map(|&i| colours[usize::from(i)]).collect(),
        };
        Image { width, height, pixels }
    }
}

/// An RGB picture as the bytes of a PNG file.
pub(crate) fn encode_rgb(width: usize, height: usize, pixels: &[u8]) -> Result<Vec<u8>, png::EncodingError> {
    encode(width, height, pixels, ColorType::Rgb, None)
}

/// Indices and their palette (R, G, B each) as the bytes of a PNG file.
pub(crate) fn encode_palette(
    width: usize,
    height: usize,
    indices: &[u8],
    palette: Vec<u8>,
) -> Result<Vec<u8>, png::EncodingError> {
    encode(width, height, indices, ColorType::Indexed, Some(palette))
}

fn encode(
    width: usize,
    height: usize,
    samples: &[u8],
    colour: ColorType,
    palette: Option<Vec<u8>>,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(png::Compression::Balanced);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(samples)?;
    writer.finish()?;
    Ok(bytes)
}
