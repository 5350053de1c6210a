//! Pictures of masks: in the palette's colours, laid over the image, and where two of them differ.

use hectare_data::{Image, Mask, resize};
use hectare_net::ClassMap;

use crate::error::ReportError;

/// Where a prediction is right: a light grey, on which both kinds of colour blindness see the classes.
const RIGHT: [u8; 3] = [235, 235, 235];

/// The mask in the palette's colours. An id that the map has not is black.
pub fn mask_colours(mask: &Mask, classes: &ClassMap) -> Image {
    let pixels = mask.ids.iter().flat_map(|&id| classes.colour_of(id).unwrap_or_default()).collect();
    Image { width: mask.width, height: mask.height, pixels }
}

/// The mask over its image, each half. Both must have one size.
pub fn overlay(image: &Image, mask: &Mask, classes: &ClassMap) -> Image {
    let colours = mask_colours(mask, classes);
    let mixed = image.pixels.iter().zip(&colours.pixels);
    let pixels = mixed.map(|(&a, &b)| u8::midpoint(a, b)).collect();
    Image { width: image.width, height: image.height, pixels }
}

/// Where the prediction is wrong, the colour of the class that is true there; light grey elsewhere.
pub fn error_map(truth: &Mask, predicted: &Mask, classes: &ClassMap) -> Image {
    let colour = |(&t, &p): (&u8, &u8)| {
        if t == p { RIGHT } else { classes.colour_of(t).unwrap_or_default() }
    };
    let pixels = truth.ids.iter().zip(&predicted.ids).flat_map(colour).collect();
    Image { width: truth.width, height: truth.height, pixels }
}

/// The picture, made smaller where its longer side is above `side`.
pub fn fit(image: &Image, side: usize) -> Image {
    let longest = image.width.max(image.height);
    if longest <= side {
        return image.clone();
    }
    let scaled = |length: usize| (length * side / longest).max(1);
    resize(image, scaled(image.width), scaled(image.height))
}

/// The part of a picture from (`x`, `y`) on, `width` x `height`; it must lie inside.
pub(crate) fn crop(image: &Image, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> Image {
    Image::from_fn(width, height, |u, v| image.pixel(x + u, y + v))
}

/// The picture as the bytes of a PNG file: with a palette where 256 colours do, which masks need.
///
/// # Errors
/// An empty picture.
pub fn encode_png(image: &Image) -> Result<Vec<u8>, ReportError> {
    let (samples, palette) = match indexed(image) {
        Some((indices, palette)) => (indices, Some(palette)),
        None => (image.pixels.clone(), None),
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width as u32, image.height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_color(if palette.is_some() { png::ColorType::Indexed } else { png::ColorType::Rgb });
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    let mut writer = encoder.write_header().map_err(ReportError::picture)?;
    writer.write_image_data(&samples).map_err(ReportError::picture)?;
    writer.finish().map_err(ReportError::picture)?;
    Ok(bytes)
}

/// Indices and palette of a picture of at most 256 colours, which come in the order of their first pixel.
pub(crate) fn indexed(image: &Image) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut colours: Vec<[u8; 3]> = Vec::new();
    let mut indices = Vec::with_capacity(image.pixels.len() / 3);
    let mut last: Option<([u8; 3], u8)> = None;
    for pixel in image.pixels.as_chunks::<3>().0 {
        let index = match last {
            Some((colour, index)) if colour == *pixel => index,
            _ => match colours.iter().position(|colour| colour == pixel) {
                Some(index) => index as u8,
                None if colours.len() < 256 => {
                    colours.push(*pixel);
                    (colours.len() - 1) as u8
                }
                None => return None,
            },
        };
        last = Some((*pixel, index));
        indices.push(index);
    }
    Some((indices, colours.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_what_is_true() {
        let classes = ClassMap::course();
        let truth = Mask { width: 2, height: 1, ids: vec![1, 4] };
        let predicted = Mask { width: 2, height: 1, ids: vec![1, 0] };
        assert_eq!(error_map(&truth, &predicted, &classes).pixels, [235, 235, 235, 0, 0, 255]);
        let image = Image { width: 2, height: 1, pixels: vec![100; 6] };
        assert_eq!(overlay(&image, &truth, &classes).pixels, [177, 177, 50, 50, 50, 177]);
    }

    #[test]
    fn png_files_hold_the_picture() {
        let few = Image::from_fn(5, 3, |x, _| [x as u8, 0, 9]);
        let many = Image::from_fn(40, 40, |x, y| [x as u8, y as u8, 1]);
        assert!(indexed(&few).is_some() && indexed(&many).is_none());
        let folder = tempfile::tempdir().unwrap();
        for image in [few, many] {
            let path = folder.path().join("a.png");
            std::fs::write(&path, encode_png(&image).unwrap()).unwrap();
            assert_eq!(hectare_data::read_image(&path).unwrap(), image);
        }
    }

    #[test]
    fn pictures_are_made_smaller_only() {
        let image = Image::black(40, 20);
        assert_eq!(fit(&image, 10).size(), [10, 5]);
        assert_eq!(fit(&image, 100).size(), [40, 20]);
        assert_eq!(crop(&image, [3, 4], [5, 6]).size(), [5, 6]);
    }
}
