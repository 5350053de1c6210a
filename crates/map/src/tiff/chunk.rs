//! One chunk (tile or strip): from compressed bytes to samples in the machine's order.

use std::io::Read;

use super::{Layout, SampleKind};
use hectare_data::{JpegColours, decode_jpeg};

/// Whether chunks of this layout can be decoded.
///
/// # Errors
/// Says which compression or kind of sample is not supported, with the remedy.
pub(super) fn check(layout: &Layout) -> Result<(), String> {
    match layout.compression {
        1 | 5 | 8 | 32773 | 32946 | 50000 => Ok(()),
        7 if layout.kind == SampleKind::U8 && layout.bits == 8 && matches!(layout.chunk_samples(), 1 | 3) => {
            Ok(())
        }
        7 => Err(format!(
            "JPEG with {} samples of {} is not supported; rewrite the scene with deflate (gdal_translate -co \
             COMPRESS=DEFLATE)",
            layout.chunk_samples(),
            layout.kind.name()
        )),
        other => Err(format!(
            "compression {} is not supported; rewrite the scene with deflate (gdal_translate -co COMPRESS=DEFLATE)",
            name(other)
        )),
    }
}

/// Decodes a chunk of `rows` rows into chunk_width x rows x chunk_samples little-endian samples.
///
/// # Errors
/// Says what is wrong with the data, or which compression is not supported.
pub(super) fn decode(
    layout: &Layout,
    little: bool,
    rows: usize,
    mut data: Vec<u8>,
) -> Result<Vec<u8>, String> {
    if layout.reversed_bits && !matches!(layout.compression, 7) {
        data.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
    }
    let wanted = layout.chunk_bytes(rows as u64) as usize;
    let mut bytes = match layout.compression {
        1 => data,
        5 => lzw(&data, wanted)?,
        7 => return jpeg(layout, rows, &data),
        8 | 32946 => inflate(&data, wanted)?,
        32773 => pack_bits(&data, wanted),
        50000 => zstd(&data, wanted)?,
        other => return Err(format!("compression {} is not supported", name(other))),
    };
    if bytes.len() < wanted {
        return Err(format!("a chunk has {} bytes where its size asks for {wanted}", bytes.len()));
    }
    bytes.truncate(wanted);
    if layout.bits < 8 {
        return Ok(unpack(layout, rows, &bytes));
    }
    let size = layout.kind.bytes();
    if !little && layout.predictor != 3 && size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    let samples = layout.chunk_samples();
    let row_bytes = layout.chunk_width * samples * size;
    match layout.predictor {
        2 => bytes.chunks_exact_mut(row_bytes).for_each(|row| add_up(row, samples, layout.kind)),
        3 => bytes.chunks_exact_mut(row_bytes).for_each(|row| add_up_floats(row, samples, size)),
        _ => {}
    }
    Ok(bytes)
}

fn name(compression: u16) -> String {
    let known = match compression {
        2..=4 => "CCITT fax",
        6 => "old-style JPEG",
        34887 => "LERC",
        34925 => "LZMA",
        34933 | 50001 => "WebP",
        34712 | 33003 | 33005 => "JPEG 2000",
        50002 => "JPEG XL",
        _ => return compression.to_string(),
    };
    format!("{known} ({compression})")
}

fn lzw(data: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let mut out = vec![0; wanted];
    let (mut read, mut written) = (0, 0);
    while written < wanted {
        let step = decoder.decode_bytes(&data[read..], &mut out[written..]);
        read += step.consumed_in;
        written += step.consumed_out;
        match step.status.map_err(|error| format!("damaged LZW data: {error}"))? {
            weezl::LzwStatus::Ok if step.consumed_in + step.consumed_out > 0 => {}
            _ => break,
        }
    }
    out.truncate(written);
    Ok(out)
}

fn inflate(data: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(wanted);
    let mut decoder = flate2::read::ZlibDecoder::new(data).take(wanted as u64);
    decoder.read_to_end(&mut out).map_err(|error| format!("damaged deflate data: {error}"))?;
    Ok(out)
}

fn zstd(data: &[u8], wanted: usize) -> Result<Vec<u8>, String> {
    let damaged = |error: &dyn std::fmt::Display| format!("damaged ZSTD data: {error}");
    let mut out = Vec::with_capacity(wanted);
    let decoder = ruzstd::decoding::StreamingDecoder::new(data).map_err(|error| damaged(&error))?;
    decoder.take(wanted as u64).read_to_end(&mut out).map_err(|error| damaged(&error))?;
    Ok(out)
}

fn pack_bits(data: &[u8], wanted: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(wanted);
    let mut rest = data;
    while let Some((&head, after)) = rest.split_first() {
        if out.len() >= wanted {
            break;
        }
        rest = after;
        match head as i8 {
            -128 => {}
            count @ 0.. => {
                let count = (count as usize + 1).min(rest.len());
                out.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            }
            count => {
                let Some((&byte, after)) = rest.split_first() else { break };
                out.extend(std::iter::repeat_n(byte, 1 - count as isize as usize));
                rest = after;
            }
        }
    }
    out
}

/// Samples of 1, 2 or 4 bits, rows padded to bytes, as a byte each.
fn unpack(layout: &Layout, rows: usize, bytes: &[u8]) -> Vec<u8> {
    let bits = layout.bits;
    let samples = layout.chunk_width * layout.chunk_samples();
    let row_bytes = (samples * bits).div_ceil(8);
    let mut out = Vec::with_capacity(samples * rows);
    for row in bytes.chunks_exact(row_bytes) {
        out.extend((0..samples).map(|i| {
            let at = i * bits;
            row[at / 8] >> (8 - bits - at % 8) & ((1 << bits) - 1) as u8
        }));
    }
    out
}

/// Undoes predictor 2: each sample is the difference to the one before it in its band. Floating-point samples are
/// differences of their bits.
fn add_up(row: &mut [u8], samples: usize, kind: SampleKind) {
    macro_rules! sum {
        ($type:ty) => {{
            const SIZE: usize = size_of::<$type>();
            let row = row.as_chunks_mut::<SIZE>().0;
            for at in samples..row.len() {
                let before = <$type>::from_le_bytes(row[at - samples]);
                row[at] = <$type>::from_le_bytes(row[at]).wrapping_add(before).to_le_bytes();
            }
        }};
    }
    match kind.bytes() {
        1 => sum!(u8),
        2 => sum!(u16),
        4 => sum!(u32),
        _ => sum!(u64),
    }
}

/// Undoes predictor 3 (Adobe Photoshop TIFF Technical Note 3): bytes of the row are differences, and the row holds the
/// highest bytes of all samples first, then the next ones.
fn add_up_floats(row: &mut [u8], samples: usize, size: usize) {
    for at in samples..row.len() {
        row[at] = row[at].wrapping_add(row[at - samples]);
    }
    let planes = row.to_vec();
    let count = row.len() / size;
    for (i, sample) in row.chunks_exact_mut(size).enumerate() {
        for (byte, to) in sample.iter_mut().rev().enumerate() {
            *to = planes[byte * count + i];
        }
    }
}

/// A chunk that is a JPEG file, possibly without the tables that all of them share.
fn jpeg(layout: &Layout, rows: usize, data: &[u8]) -> Result<Vec<u8>, String> {
    let samples = layout.chunk_samples();
    let tables = layout.jpeg_tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(&layout.jpeg_tables);
    let file = match data.strip_prefix(&[0xff, 0xd8]) {
        Some(rest) if !tables.is_empty() => &[tables, rest].concat(),
        _ => data,
    };
    let colours = match (samples, layout.photometric) {
        (1, _) => JpegColours::AsStored,
        (_, 6) => JpegColours::YCbCr,
        _ => JpegColours::Rgb,
    };
    let image = decode_jpeg(file, colours).map_err(|error| format!("damaged JPEG data: {error}"))?;
    if image.height < rows.min(layout.height) || image.width < layout.chunk_width.min(layout.width) {
        return Err(format!("a JPEG chunk has only {} x {} pixels", image.width, image.height));
    }
    let mut out = vec![0; layout.chunk_width * rows * samples];
    let width = image.width.min(layout.chunk_width);
    for (to, from) in
        out.chunks_exact_mut(layout.chunk_width * samples).zip(image.pixels.chunks_exact(image.width * 3))
    {
        if samples == 3 {
            to[..width * 3].copy_from_slice(&from[..width * 3]);
        } else {
            to[..width].iter_mut().zip(from.chunks_exact(3)).for_each(|(to, from)| *to = from[0]);
        }
    }
    Ok(out)
}
