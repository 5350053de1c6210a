//! Masks on disk: colours, palette indices or class ids to [`Mask`], and back to PNG.

use std::collections::{BTreeMap, HashMap};
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
    let survey = survey_mask(path, classes, &read_bytes(path)?)?;
    match refuse_unlisted(path, classes, &survey.unlisted) {
        Some(error) => Err(error),
        None => Ok(survey.mask),
    }
}

/// A mask, and the colours in it that are not a class's own.
pub(crate) struct Survey {
    /// The mask; [`UNLABELLED`] where a colour is unlisted.
    pub mask: Mask,
    /// Pixels of each colour that the class map does not hold.
    pub unlisted: HashMap<[u8; 3], u64>,
    /// Pixels of each colour that is an alias in the class map.
    pub aliases: HashMap<[u8; 3], u64>,
}

/// The mask in `bytes`; `path` is for messages. Unlisted colours are counted; an unlisted id is an error.
pub(crate) fn survey_mask(path: &Path, classes: &ClassMap, bytes: &[u8]) -> Result<Survey, DataError> {
    if sniff(path, bytes)? == Format::Jpeg {
        let image = jpeg::read(path, bytes)?;
        let ids = ids_of_colours(classes, image.pixels.as_chunks::<3>().0.iter().copied());
        return Ok(ids.survey(image.width, image.height));
    }
    let wide = png_file::read_wide_grey(path, bytes)?;
    let raw = png_file::read(path, bytes)?;
    let samples = raw.samples;
    let ids = match (raw.kind, wide) {
        (Kind::Rgb, _) => ids_of_colours(classes, samples.as_chunks::<3>().0.iter().copied()),
        (Kind::Rgba, _) => {
            ids_of_colours(classes, samples.as_chunks::<4>().0.iter().map(|p| [p[0], p[1], p[2]]))
        }
        (Kind::Grey { .. } | Kind::GreyAlpha, Some(values)) => ids_of_wide_greys(path, classes, &values)?,
        (Kind::Grey { .. }, None) => ids_of_greys(path, classes, samples)?,
        (Kind::GreyAlpha, None) => ids_of_greys(path, classes, samples.iter().step_by(2).copied().collect())?,
        (Kind::Palette(colours), _) => ids_of_indices(path, classes, samples, &colours)?,
    };
    Ok(ids.survey(raw.width, raw.height))
}

/// Class ids of pixels, and how many had a colour that is not a class's own.
#[derive(Default)]
struct Ids {
    ids: Vec<u8>,
    unlisted: HashMap<[u8; 3], u64>,
    aliases: HashMap<[u8; 3], u64>,
}

impl Ids {
    fn of(ids: Vec<u8>) -> Ids {
        Ids { ids, ..Ids::default() }
    }

    fn survey(self, width: usize, height: usize) -> Survey {
        let Ids { ids, unlisted, aliases } = self;
        Survey { mask: Mask { width, height, ids }, unlisted, aliases }
    }
}

/// Class id of each colour that the map knows, and whether the colour is the class's own.
fn colour_table(classes: &ClassMap) -> HashMap<[u8; 3], (u8, bool)> {
    // Classes come last, so that a class's own colour wins over an alias of the same colour.
    let aliases = classes.aliases.iter().map(|&(colour, id)| (colour, (id, false)));
    aliases.chain(classes.classes.iter().map(|c| (c.colour, (c.id, true)))).collect()
}

fn ids_of_colours(classes: &ClassMap, pixels: impl ExactSizeIterator<Item = [u8; 3]>) -> Ids {
    let table = colour_table(classes);
    let mut found = Ids::of(Vec::with_capacity(pixels.len()));
    // Neighbours mostly share a colour.
    let mut last: Option<([u8; 3], u8)> = None;
    for colour in pixels {
        let id = match last {
            Some((known, id)) if known == colour => id,
            _ => match table.get(&colour) {
                Some(&(id, true)) => {
                    last = Some((colour, id));
                    id
                }
                Some(&(id, false)) => {
                    *found.aliases.entry(colour).or_default() += 1;
                    id
                }
                None => {
                    *found.unlisted.entry(colour).or_default() += 1;
                    UNLABELLED
                }
            },
        };
        found.ids.push(id);
    }
    found
}

/// The class whose colour is nearest to `colour` in RGB: its name and colour.
pub(crate) fn nearest_class(classes: &ClassMap, colour: [u8; 3]) -> (String, [u8; 3]) {
    let distance =
        |other: [u8; 3]| -> u32 { (0..3).map(|i| u32::from(colour[i].abs_diff(other[i])).pow(2)).sum() };
    let nearest = classes.classes.iter().min_by_key(|c| distance(c.colour));
    nearest.map_or_else(|| ("none".into(), [0; 3]), |c| (c.name.clone(), c.colour))
}

/// The error for the most frequent of the unlisted colours, if there are any.
pub(crate) fn refuse_unlisted(
    path: &Path,
    classes: &ClassMap,
    unlisted: &HashMap<[u8; 3], u64>,
) -> Option<DataError> {
    // Of equals the smallest colour, whatever the order of the map.
    let (&colour, &count) =
        unlisted.iter().max_by_key(|&(&colour, &count)| (count, std::cmp::Reverse(colour)))?;
    let (nearest, nearest_colour) = nearest_class(classes, colour);
    Some(DataError::UnlistedColour {
        path: path.into(),
        colour,
        count,
        others: unlisted.len() - 1,
        nearest,
        nearest_colour,
    })
}

fn ids_of_greys(path: &Path, classes: &ClassMap, values: Vec<u8>) -> Result<Ids, DataError> {
    let n = classes.classes.len();
    if values.iter().all(|&v| usize::from(v) < n) {
        return Ok(Ids::of(values));
    }
    let table = colour_table(classes);
    if values.iter().all(|&v| table.contains_key(&[v; 3])) {
        return Ok(ids_of_colours(classes, values.iter().map(|&v| [v; 3])));
    }
    Err(unlisted_id(path, n, values.iter().map(|&v| u16::from(v))))
}

/// Ids of 16 bits; where they are none, their high bytes are looked at as those of 8 bits are.
fn ids_of_wide_greys(path: &Path, classes: &ClassMap, values: &[u16]) -> Result<Ids, DataError> {
    let n = classes.classes.len();
    if values.iter().all(|&v| usize::from(v) < n) {
        return Ok(Ids::of(values.iter().map(|&v| v as u8).collect()));
    }
    let table = colour_table(classes);
    let grey = |v: u16| (v.to_be_bytes()[0] == v.to_be_bytes()[1]).then(|| [v.to_be_bytes()[0]; 3]);
    if values.iter().all(|&v| grey(v).is_some_and(|colour| table.contains_key(&colour))) {
        return Ok(ids_of_colours(classes, values.iter().map(|v| [v.to_be_bytes()[0]; 3])));
    }
    Err(unlisted_id(path, n, values.iter().copied()))
}

fn ids_of_indices(
    path: &Path,
    classes: &ClassMap,
    indices: Vec<u8>,
    colours: &[[u8; 3]],
) -> Result<Ids, DataError> {
    let table = colour_table(classes);
    let is_ramp = colours.iter().enumerate().all(|(i, &c)| c == [i as u8; 3]);
    if !is_ramp && colours.iter().any(|c| table.contains_key(c)) {
        return Ok(ids_of_colours(classes, indices.iter().map(|&i| colours[usize::from(i)])));
    }
    let n = classes.classes.len();
    if indices.iter().all(|&v| usize::from(v) < n) {
        Ok(Ids::of(indices))
    } else {
        Err(unlisted_id(path, n, indices.iter().map(|&v| u16::from(v))))
    }
}

/// The error for the most frequent id of `values` that is not below `classes`.
fn unlisted_id(path: &Path, classes: usize, values: impl Iterator<Item = u16>) -> DataError {
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    values.filter(|&v| usize::from(v) >= classes).for_each(|v| *counts.entry(v).or_default() += 1);
    // Of equals the smallest.
    let worst = counts.into_iter().rev().max_by_key(|&(_, count)| count);
    let (id, count) = worst.unwrap_or((u16::MAX, 0));
    DataError::UnlistedId { path: path.into(), id, count, classes }
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
