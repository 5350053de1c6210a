//! Where a raster lies on the ground: GeoTIFF's tags, carried over byte by byte, and what they mean.

use std::collections::BTreeMap;

use crate::Crs;
use crate::tiff::{Directory, Entry, tag};

/// The tags that georeference a file, in the order that they are written.
const TAGS: [u16; 6] = [
    tag::MODEL_PIXEL_SCALE,
    tag::MODEL_TIEPOINT,
    tag::MODEL_TRANSFORMATION,
    tag::GEO_KEY_DIRECTORY,
    tag::GEO_DOUBLE_PARAMS,
    tag::GEO_ASCII_PARAMS,
];

/// Pixels to coordinates: `x = a[0] + column * a[1] + row * a[2]`, `y = a[3] + column * a[4] + row * a[5]` for the corner
/// between pixels (0, 0 is the upper left corner of the first pixel).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Coordinates of a point given in columns and rows.
    pub fn apply(&self, column: f64, row: f64) -> [f64; 2] {
        let a = &self.0;
        [a[0] + column * a[1] + row * a[2], a[3] + column * a[4] + row * a[5]]
    }

    /// Area of a pixel in squared units; negative where the grid is not mirrored as pictures are.
    pub fn determinant(&self) -> f64 {
        let a = &self.0;
        a[1] * a[5] - a[2] * a[4]
    }

    /// Columns and rows of a point given in coordinates; nothing for a degenerate grid.
    pub fn inverse(&self, x: f64, y: f64) -> Option<[f64; 2]> {
        let (a, d) = (&self.0, self.determinant());
        let (x, y) = (x - a[0], y - a[3]);
        (d != 0.0 && d.is_finite()).then(|| [(x * a[5] - y * a[2]) / d, (y * a[1] - x * a[4]) / d])
    }

    /// Whether rows run along parallels and columns along meridians.
    pub fn is_upright(&self) -> bool {
        self.0[2] == 0.0 && self.0[4] == 0.0
    }
}

/// The georeference of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoTags {
    /// The tags as they are stored.
    pub tags: BTreeMap<u16, Entry>,
}

/// GeoTIFF's keys by number: a number or a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Key {
    Number(f64),
    Text(String),
}

impl GeoTags {
    /// The georeferencing tags among `directory`.
    pub fn of(directory: &Directory) -> GeoTags {
        let tags = TAGS.iter().filter_map(|number| Some((*number, directory.get(number)?.clone())));
        GeoTags { tags: tags.collect() }
    }

    fn doubles(&self, number: u16) -> Vec<f64> {
        self.tags.get(&number).map(Entry::doubles).unwrap_or_default()
    }

    /// Whether coordinates belong to the pixels' centres.
    pub fn is_pixel_point(&self) -> bool {
        matches!(self.keys().get(&1025), Some(Key::Number(2.0)))
    }

    /// The grid, with corners as [`Affine`] wants them whether the file is PixelIsArea or PixelIsPoint; nothing without
    /// a georeference.
    pub fn affine(&self) -> Option<Affine> {
        let matrix = self.doubles(tag::MODEL_TRANSFORMATION);
        let (scale, tie) = (self.doubles(tag::MODEL_PIXEL_SCALE), self.doubles(tag::MODEL_TIEPOINT));
        let mut affine = if let [a, b, _, x, d, e, _, y, ..] = matrix[..] {
            Affine([x, a, b, y, d, e])
        } else if let ([sx, sy, ..], [i, j, _, x, y, ..]) = (&scale[..], &tie[..]) {
            Affine([x - i * sx, *sx, 0.0, y + j * sy, 0.0, -sy])
        } else {
            return None;
        };
        if self.is_pixel_point() {
            let [x, y] = affine.apply(-0.5, -0.5);
            affine.0[0] = x;
            affine.0[3] = y;
        }
        affine.0.iter().all(|v| v.is_finite()).then_some(affine)
    }

    /// The same coordinate system with another grid, given as [`Affine`] wants it.
    pub fn with_affine(&self, affine: Affine) -> GeoTags {
        let mut tags = self.tags.clone();
        for number in [tag::MODEL_PIXEL_SCALE, tag::MODEL_TIEPOINT, tag::MODEL_TRANSFORMATION] {
            tags.remove(&number);
        }
        let shift = if self.is_pixel_point() { 0.5 } else { 0.0 };
        let [x, y] = affine.apply(shift, shift);
        let a = affine.0;
        let doubles = |values: &[f64]| Entry {
            kind: 12,
            count: values.len() as u64,
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        if affine.is_upright() && a[5] < 0.0 {
            tags.insert(tag::MODEL_PIXEL_SCALE, doubles(&[a[1], -a[5], 0.0]));
            tags.insert(tag::MODEL_TIEPOINT, doubles(&[0.0, 0.0, 0.0, x, y, 0.0]));
        } else {
            let matrix = [a[1], a[2], 0.0, x, a[4], a[5], 0.0, y, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
            tags.insert(tag::MODEL_TRANSFORMATION, doubles(&matrix));
        }
        GeoTags { tags }
    }

    pub(crate) fn keys(&self) -> BTreeMap<u16, Key> {
        let directory = self.tags.get(&tag::GEO_KEY_DIRECTORY).map(Entry::integers).unwrap_or_default();
        let doubles = self.doubles(tag::GEO_DOUBLE_PARAMS);
        let texts = self.tags.get(&tag::GEO_ASCII_PARAMS).map(|e| e.bytes.clone()).unwrap_or_default();
        let mut keys = BTreeMap::new();
        for entry in directory.get(4..).unwrap_or_default().as_chunks::<4>().0 {
            let [key, place, count, value] = entry.map(|v| v as usize);
            let found = match place as u16 {
                0 => Some(Key::Number(value as f64)),
                tag::GEO_DOUBLE_PARAMS => doubles.get(value).map(|v| Key::Number(*v)),
                tag::GEO_ASCII_PARAMS => texts.get(value..value.saturating_add(count)).map(|bytes| {
                    let text = String::from_utf8_lossy(bytes);
                    Key::Text(text.trim_end_matches(['|', '\0']).to_owned())
                }),
                _ => None,
            };
            keys.extend(found.map(|found| (key as u16, found)));
        }
        keys
    }

    /// The coordinate system; nothing where the file names none.
    pub fn crs(&self) -> Option<Crs> {
        Crs::of_keys(&self.keys())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn keys(numbers: &[u16]) -> Entry {
        Entry {
            kind: 3,
            count: numbers.len() as u64,
            bytes: numbers.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    #[test]
    fn grids_survive_both_conventions() {
        for raster_type in [1, 2] {
            let mut tags = GeoTags::default();
            tags.tags.insert(tag::GEO_KEY_DIRECTORY, keys(&[1, 1, 0, 1, 1025, 0, 1, raster_type]));
            for affine in [
                Affine([500_000.0, 10.0, 0.0, 4_600_000.0, 0.0, -10.0]),
                Affine([3.0, 0.5, 0.25, 7.0, 0.125, -0.5]),
            ] {
                let there = tags.with_affine(affine);
                assert_eq!(there.affine(), Some(affine), "{raster_type}");
                assert_eq!(there.is_pixel_point(), raster_type == 2);
                let [x, y] = affine.apply(12.0, 7.0);
                let back = affine.inverse(x, y).unwrap();
                assert!((back[0] - 12.0).abs() < 1e-9 && (back[1] - 7.0).abs() < 1e-9);
            }
        }
        assert_eq!(GeoTags::default().affine(), None);
    }
}
