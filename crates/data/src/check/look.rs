//! One look at a picture or a mask: its pixels decoded once, and what its file says of itself.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use hectare_net::ClassMap;

use super::fault::{Fault, FaultKind};
use crate::DataError;
use crate::header::Header;
use crate::image_file::{decode_image, read_bytes};
use crate::mask_file::{Survey, survey_mask};

/// Most colours of one mask that are counted beside those of the class map, the most frequent ones.
const COLOURS_OF_A_MASK: usize = 256;

/// What a look at a picture found.
pub(super) struct Look {
    pub size: [usize; 2],
    /// Of size and pixels; equal for equal pictures, and for no others that anybody will meet.
    pub digest: u128,
    header: Header,
}

impl Look {
    /// Reads and decodes a picture.
    pub(super) fn at(path: &Path) -> Result<Look, DataError> {
        let bytes = read_bytes(path)?;
        let image = decode_image(path, &bytes)?;
        let digest = digest(image.size(), &image.pixels);
        Ok(Look { size: image.size(), digest, header: Header::of(&bytes) })
    }

    /// What is odd about the picture at `path`.
    pub(super) fn oddities(&self, path: &Path) -> Vec<Fault> {
        let Header { bits, channels, alpha, palette, .. } = self.header;
        let name = path.display();
        let note = |kind, text: String| Fault::new(kind, path, text);
        let mut notes = Vec::new();
        if bits == 16 {
            notes.push(note(FaultKind::SixteenBit, format!("{name} has 16 bits; the high 8 are taken")));
        }
        if channels == 1 && !palette {
            notes.push(note(FaultKind::Grey, format!("{name} is grey; its three channels will be equal")));
        }
        if channels == 4 {
            notes.push(note(FaultKind::Cmyk, format!("{name} is CMYK; it is made RGB as Pillow does it")));
        }
        if alpha {
            notes.push(note(FaultKind::Alpha, format!("{name} has alpha, which is dropped")));
        }
        notes.extend(rotated(path, &self.header));
        notes
    }
}

/// What a look at a mask found.
pub(super) struct MaskLook {
    pub size: [usize; 2],
    /// Of size and class ids.
    pub digest: u128,
    /// Pixels of each class.
    pub counts: Vec<u64>,
    /// Pixels of the most frequent colours that the class map does not hold, or holds as aliases.
    pub colours: Vec<([u8; 3], u64)>,
    /// The error that a reader of the mask would meet.
    pub unlisted: Option<DataError>,
    header: Header,
}

impl MaskLook {
    /// Reads and decodes a mask.
    pub(super) fn at(path: &Path, classes: &ClassMap) -> Result<MaskLook, DataError> {
        let bytes = read_bytes(path)?;
        let Survey { mask, unlisted, aliases } = survey_mask(path, classes, &bytes)?;
        Ok(MaskLook {
            size: mask.size(),
            digest: digest(mask.size(), &mask.ids),
            counts: mask.counts(classes.classes.len()),
            colours: most_frequent(unlisted.iter().chain(&aliases)),
            unlisted: crate::mask_file::refuse_unlisted(path, classes, &unlisted),
            header: Header::of(&bytes),
        })
    }

    /// What is odd about the mask at `path`: alpha, and EXIF's orientation.
    pub(super) fn oddities(&self, path: &Path) -> Vec<Fault> {
        let text = format!("{} has alpha, which is dropped", path.display());
        let alpha = self.header.alpha.then(|| Fault::new(FaultKind::Alpha, path, text));
        alpha.into_iter().chain(rotated(path, &self.header)).collect()
    }
}

fn most_frequent<'a>(counts: impl Iterator<Item = (&'a [u8; 3], &'a u64)>) -> Vec<([u8; 3], u64)> {
    let mut counts: Vec<([u8; 3], u64)> = counts.map(|(&colour, &count)| (colour, count)).collect();
    counts.sort_by_key(|&(colour, count)| (std::cmp::Reverse(count), colour));
    counts.truncate(COLOURS_OF_A_MASK);
    counts
}

fn rotated(path: &Path, header: &Header) -> Option<Fault> {
    (header.orientation > 1).then(|| {
        let text = format!(
            "{} is to be turned (EXIF orientation {}), which is not done: pixels are taken as they are stored",
            path.display(),
            header.orientation
        );
        Fault::new(FaultKind::Rotated, path, text)
    })
}

/// 128 bits of a size and samples.
fn digest(size: [usize; 2], samples: &[u8]) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, size).hash(&mut hasher);
        hasher.write(samples);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}
