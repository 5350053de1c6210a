//! Animations as APNG, which browsers play and which everything else shows as its first picture.

use hectare_data::Image;

use crate::error::ReportError;
use crate::picture::indexed;

/// The frames one after the other, for ever; each stays for `hold_ms` and the last three times as long. All must have the
/// size of the first.
///
/// # Errors
/// No frames, or frames of different sizes.
pub fn apng(frames: &[Image], hold_ms: u16) -> Result<Vec<u8>, ReportError> {
    let Some(first) = frames.first() else {
        return Err(ReportError::Picture("an animation of nothing".into()));
    };
    if frames.iter().any(|frame| frame.size() != first.size()) {
        return Err(ReportError::Picture("the frames of an animation differ in size".into()));
    }
    let whole = Image {
        width: first.width,
        height: first.height * frames.len(),
        pixels: frames.iter().flat_map(|frame| frame.pixels.iter().copied()).collect(),
    };
    let palette = indexed(&whole);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, first.width as u32, first.height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let samples = match palette {
        Some((indices, palette)) => {
            encoder.set_color(png::ColorType::Indexed);
            encoder.set_palette(palette);
            indices
        }
        None => {
            encoder.set_color(png::ColorType::Rgb);
            whole.pixels
        }
    };
    encoder.set_animated(frames.len() as u32, 0).map_err(ReportError::picture)?;
    encoder.set_frame_delay(hold_ms, 1000).map_err(ReportError::picture)?;
    let mut writer = encoder.write_header().map_err(ReportError::picture)?;
    let bytes_each = samples.len() / frames.len();
    for (index, frame) in samples.chunks_exact(bytes_each.max(1)).enumerate() {
        if index + 1 == frames.len() && frames.len() > 1 {
            writer.set_frame_delay(hold_ms.saturating_mul(3), 1000).map_err(ReportError::picture)?;
        }
        writer.write_image_data(frame).map_err(ReportError::picture)?;
    }
    writer.finish().map_err(ReportError::picture)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let frames: Vec<Image> =
            (0..3).map(|i| Image::from_fn(4, 3, |x, y| [x as u8, y as u8, 80 * i])).collect();
        let bytes = apng(&frames, 200).unwrap();
        let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        assert_eq!(reader.info().animation_control().unwrap().num_frames, 3);
        for frame in &frames {
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert_eq!(pixels, frame.pixels);
        }
        assert!(apng(&[], 1).is_err());
        assert!(apng(&[Image::black(1, 1), Image::black(2, 1)], 1).is_err());
    }
}
