//! Masks on disk: colours, palette indices or class ids to [`Mask`], and back to PNG.

use std::collections::HashMap;
use std::path::Path;

use hectare_net::ClassMap;

use crate::files::write_atomic;
use crate::image_file::{Format, read_bytes, sniff};
use crate::png_file::{self, Kind};
use crate::{DataError, Mask, UNLABELLED, jpeg};

/// Reads a mask. What its pixels mean:
///
/// * RGB and RGBA: colours of the class map, its aliases included; alpha is ignored.
/// * Palette: the palette's colours, where it shares any with the class map. A palette that shares none, or
///   is a ramp of greys, says nothing of classes: then the indices are class ids.
/// * Grey of any depth: class ids. A grey file with values beyond the ids whose greys are all in the class
///   map is taken by colour (some tools save a mask of black and white as grey).
///
/// # Errors
/// A file that does not decode; a colour or id that is not in the class map
/// ([`DataError::UnlistedColour`], [`DataError::UnlistedId`]).
pub fn read_mask(path: &Path, classes: &ClassMap) -> Result<Mask, DataError> {
    let bytes = read_bytes(path)?;
    if sniff(path, &bytes)? == Format::Jpeg {
        let image = jpeg::read(path, &bytes)?;
        let ids = ids_of_colours(path, classes, image.pixels.as_chunks::<3>().0.iter().copied())?;
        return Ok(Mask { width: image.width, height: image.height, ids });
    }
    let raw = png_file::read(path, &bytes)?;
    let samples = raw.samples;
    let ids = match raw.kind {
        Kind::Rgb => ids_of_colours(path, classes, samples.as_chunks::<3>().0.iter().copied())?,
        Kind::Rgba => {
            ids_of_colours(path, classes, samples.as_chunks::<4>().0.iter().map(|p| [p[0], p[1], p[2]]))?
        }
        Kind::Grey { .. } => ids_of_greys(path, classes, samples)?,
        Kind::GreyAlpha => ids_of_greys(path, classes, samples.iter().step_by(2).copied().collect())?,
        Kind::Palette(colours) => ids_of_indices(path, classes, samples, &colours)?,
    };
    Ok(Mask { width: raw.width, height: raw.height, ids })
}

/// Class id of each colour that the map knows.
fn colour_table(classes: &ClassMap) -> HashMap<[u8; 3], u8> {
    // Classes come last, so that a class's own colour wins over an alias of the same colour.
    let aliases = classes.aliases.iter().copied();
    aliases.chain(classes.classes.iter().map(|c| (c.colour, c.id))).collect()
}

fn ids_of_colours(
    path: &Path,
    classes: &ClassMap,
    pixels: impl ExactSizeIterator<Item = [u8; 3]>,
) -> Result<Vec<u8>, DataError> {
    let table = colour_table(classes);
    let mut unlisted: HashMap<[u8; 3], u64> = HashMap::new();
    let mut ids = Vec::with_capacity(pixels.len());
    // Neighbours mostly share a colour.
    let mut last: Option<([u8; 3], u8)> = None;
    for colour in pixels {
        let id = match last {
            Some((known, id)) if known == colour => id,
            _ => match table.get(&colour) {
                Some(&id) => {
                    last = Some((colour, id));
                    id
                }
                None => {
                    *unlisted.entry(colour).or_default() += 1;
                    UNLABELLED
                }
            },
        };
        ids.push(id);
    }
    refuse_unlisted(path, classes, &unlisted)?;
    Ok(ids)
}

fn refuse_unlisted(
    path: &Path,
    classes: &ClassMap,
    unlisted: &HashMap<[u8; 3], u64>,
) -> Result<(), DataError> {
    // The most frequent; of equals the smallest colour, whatever the order of the map.
    let worst = unlisted.iter().max_by_key(|&(&colour, &count)| (count, std::cmp::Reverse(colour)));
    let Some((&colour, &count)) = worst else { return Ok(()) };
    let distance =
        |other: [u8; 3]| -> u32 { (0..3).map(|i| u32::from(colour[i].abs_diff(other[i])).pow(2)).sum() };
    let nearest = classes.classes.iter().min_by_key(|c| distance(c.colour));
    Err(DataError::UnlistedColour {
        path: path.into(),
        colour,
        count,
        others: unlisted.len() - 1,
        nearest: nearest.map_or_else(|| "none".into(), |c| c.name.clone()),
        nearest_colour: nearest.map_or([0; 3], |c| c.colour),
    })
}

fn ids_of_greys(path: &Path, classes: &ClassMap, values: Vec<u8>) -> Result<Vec<u8>, DataError> {
    let n = classes.classes.len();
    if values.iter().all(|&v| usize::from(v) < n) {
        return Ok(values);
    }
    let table = colour_table(classes);
    if values.iter().all(|&v| table.contains_key(&[v; 3])) {
        return ids_of_colours(path, classes, values.iter().map(|&v| [v; 3]));
    }
    Err(unlisted_id(path, n, &values))
}

fn ids_of_indices(
    path: &Path,
    classes: &ClassMap,
    indices: Vec<u8>,
    colours: &[[u8; 3]],
) -> Result<Vec<u8>, DataError> {
    let table = colour_table(classes);
    let is_ramp = colours.iter().enumerate().all(|(i, &c)| c == [i as u8; 3]);
    if !is_ramp && colours.iter().any(|c| table.contains_key(c)) {
        return ids_of_colours(path, classes, indices.iter().map(|&i| colours[usize::from(i)]));
    }
    let n = classes.classes.len();
    if indices.iter().all(|&v| usize::from(v) < n) {
        Ok(indices)
    } else {
        Err(unlisted_id(path, n, &indices))
    }
}

/// The error for the most frequent id of `values` that is not below `classes`.
fn unlisted_id(path: &Path, classes: usize, values: &[u8]) -> DataError {
    let mut counts = [0u64; 256];
    for &v in values {
        counts[usize::from(v)] += 1;
    }
    let beyond = (classes.min(255)..256).rev();
    let id = beyond.max_by_key(|&v| counts[v]).unwrap_or(255);
    DataError::UnlistedId { path: path.into(), id: id as u16, count: counts[id], classes }
}

/// Writes a mask as RGB in the class map's colours, whole or not at all. [`UNLABELLED`] and other ids
/// without a class become black.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_mask_rgb(mask: &Mask, classes: &ClassMap, path: &Path) -> Result<(), DataError> {
    let mut colours = [[0u8; 3]; 256];
    for class in &classes.classes {
        colours[usize::from(class.id)] = class.colour;
    }
    let pixels: Vec<u8> = mask.ids.iter().flat_map(|&id| colours[usize::from(id)]).collect();
    let bytes = png_file::encode_rgb(mask.width, mask.height, &pixels);
    let bytes = bytes.map_err(|e| DataError::Io { path: path.into(), reason: e.to_string() })?;
    write_atomic(path, &bytes)
}

/// Writes a mask as a one-band PNG of class ids with the class map's colours as its palette, whole or not at
/// all.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_mask_palette(mask: &Mask, classes: &ClassMap, path: &Path) -> Result<(), DataError> {
    let highest_class = classes.classes.iter().map(|c| usize::from(c.id)).max().unwrap_or(0);
    let highest = mask.ids.iter().map(|&i| usize::from(i)).max().unwrap_or(0).max(highest_class);
    let mut palette = vec![0u8; (highest + 1) * 3];
    for class in &classes.classes {
        let at = usize::from(class.id) * 3;
        palette[at..at + 3].copy_from_slice(&class.colour);
    }
    let bytes = png_file::encode_palette(mask.width, mask.height, &mask.ids, palette);
    let bytes = bytes.map_err(|e| DataError::Io { path: path.into(), reason: e.to_string() })?;
    write_atomic(path, &bytes)
}
