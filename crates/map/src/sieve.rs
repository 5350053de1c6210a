//! Specks taken out of a map.

use std::path::Path;

use crate::mapper::finish_map;
use crate::{Layer, LayerKind, MapError, MapFile, NODATA, Window};

/// Least number of rows that are written at once.
const ROWS: usize = 256;
/// Bytes for each pixel at hand: its class before and after, the number of its patch, and some for the patches themselves.
const PIXEL_BYTES: u64 = 8;

/// Connected pixels of one class within the rows at hand.
#[derive(Clone, Default)]
struct Patch {
    pixels: usize,
    /// Whether rows that are not at hand may belong to it.
    goes_on: bool,
    /// Border, in pixel sides, with patches of each class that stay.
    border: Vec<(u8, usize)>,
}

/// Rows that are written at once, and rows above and below them that are looked at. At least as many are written as are looked
/// at on one side, so that no row is read more than three times; where that is nearly the whole map, it is all of it, once.
fn band(height: usize, pixels: usize) -> [usize; 2] {
    let beyond = pixels.saturating_mul(2);
    let rows = ROWS.max(beyond);
    if rows.saturating_add(beyond.saturating_mul(2)) >= height { [height, 0] } else { [rows, beyond] }
}

/// About how many bytes [`sieve`] takes with a map of this size.
///
/// # Errors
/// More pixels at hand than can be numbered.
pub fn sieve_bytes(width: usize, height: usize, pixels: usize) -> Result<u64, MapError> {
    let [rows, beyond] = band(height, pixels);
    let rows = (rows + 2 * beyond).min(height);
    match u32::try_from(rows.saturating_mul(width)) {
        Ok(at_hand) => Ok(PIXEL_BYTES * u64::from(at_hand)),
        Err(_) => Err(MapError::Mismatch(format!(
            "specks of less than {pixels} pixels need {rows} rows of {width} pixels at hand, more than can be numbered; \
             take a smaller area (--sieve)"
        ))),
    }
}

/// Gives each patch (pixels of a class that connect by their sides) of less than `pixels` pixels the class of those larger
/// patches that it shares the longest border with (of equals the lowest id), and writes the map to `out`, which may be the
/// map itself. Specks among specks alone stay as they are; pixels without data stay so and count for nothing. Gives the
/// number of pixels that changed.
///
/// A patch of less than n pixels has less than n rows, so that a band with 2n rows above and below shows each speck whole, and
/// each patch beside it that is a speck too: memory is that of 256 + 4n or 6n rows ([`sieve_bytes`]). `progress(done, total)`
/// counts rows.
///
/// # Errors
/// A map that cannot be read, a file that cannot be written, specks that need too many rows at hand.
pub fn sieve(
    map: &mut MapFile,
    pixels: usize,
    out: &Path,
    progress: &dyn Fn(usize, usize),
) -> Result<u64, MapError> {
    let (width, height) = (map.width(), map.height());
    sieve_bytes(width, height, pixels)?;
    let [step, beyond] = band(height, pixels);
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let spool = tempfile::tempfile_in(folder).map_err(|error| MapError::io(folder, &error))?;
    let mut layer = Layer::new(LayerKind::Classes, width, height, spool);
    let mut changed = 0;
    let mut ids = Vec::new();
    for top in (0..height).step_by(step) {
        let rows = step.min(height - top);
        let first = top.saturating_sub(beyond);
        let last = (top + rows + beyond).min(height);
        map.read_rows(first, last - first, &mut ids)?;
        let sieved = sieve_rows(&ids, width, pixels, [first > 0, last < height]);
        let core = (top - first) * width..(top - first + rows) * width;
        changed += ids[core.clone()].iter().zip(&sieved[core.clone()]).filter(|(a, b)| a != b).count() as u64;
        layer
            .put(Window { x: 0, y: top, width, height: rows }, &sieved[core])
            .map_err(|error| MapError::io(folder, &error))?;
        progress(top + rows, height);
    }
    finish_map(&mut layer, &map.classes.clone(), &map.geo.clone(), out)?;
    Ok(changed)
}

/// Rows without specks; `open` says whether rows above and below are not at hand.
fn sieve_rows(ids: &[u8], width: usize, least: usize, open: [bool; 2]) -> Vec<u8> {
    let height = ids.len() / width;
    let mut parents: Vec<u32> = (0..ids.len() as u32).collect();
    fn find(parents: &mut [u32], mut at: u32) -> u32 {
        while parents[at as usize] != at {
            parents[at as usize] = parents[parents[at as usize] as usize];
            at = parents[at as usize];
        }
        at
    }
    for at in 0..ids.len() {
        for before in [(at % width > 0).then(|| at - 1), at.checked_sub(width)].into_iter().flatten() {
            if ids[before] == ids[at] {
                let (a, b) = (find(&mut parents, before as u32), find(&mut parents, at as u32));
                parents[a.max(b) as usize] = a.min(b);
            }
        }
    }
    let mut patches = std::collections::HashMap::<u32, Patch>::new();
    for at in 0..ids.len() {
        let patch = patches.entry(find(&mut parents, at as u32)).or_default();
        patch.pixels += 1;
        patch.goes_on |= (open[0] && at < width) || (open[1] && at >= (height - 1) * width);
    }
    let stays = |patch: &Patch| patch.pixels >= least || patch.goes_on;
    let specks: std::collections::HashSet<u32> =
        patches.iter().filter(|(_, patch)| !stays(patch)).map(|(root, _)| *root).collect();
    for at in 0..ids.len() {
        let right = (at % width + 1 < width).then(|| at + 1);
        let below = (at + width < ids.len()).then(|| at + width);
        for other in [right, below].into_iter().flatten().filter(|other| ids[*other] != ids[at]) {
            for (speck, around) in [(at, other), (other, at)] {
                let (root, neighbour) = (find(&mut parents, speck as u32), find(&mut parents, around as u32));
                if ids[around] == NODATA || !specks.contains(&root) || specks.contains(&neighbour) {
                    continue;
                }
                if let Some(patch) = patches.get_mut(&root) {
                    match patch.border.iter_mut().find(|(id, _)| *id == ids[around]) {
                        Some((_, length)) => *length += 1,
                        None => patch.border.push((ids[around], 1)),
                    }
                }
            }
        }
    }
    (0..ids.len())
        .map(|at| {
            let root = find(&mut parents, at as u32);
            if ids[at] == NODATA || !specks.contains(&root) {
                return ids[at];
            }
            let longest = patches[&root].border.iter().max_by_key(|(id, length)| (*length, u8::MAX - id));
            longest.map_or(ids[at], |(id, _)| *id)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleKind;
    use crate::testing::{Kind, noise};

    fn map_of(path: &Path, width: usize, height: usize, ids: impl Fn(usize, usize) -> u8) -> MapFile {
        let mut kind = Kind::new(width, height, 1, SampleKind::U8);
        kind.nodata = Some("255");
        kind.write(path, |x, y, _| f64::from(ids(x, y)));
        MapFile::open(path).unwrap()
    }

    #[test]
    fn specks_take_the_class_of_the_longest_border() {
        let rows = ["0000111", "0200121", "0022111", "0009111", "9000111"];
        let ids: Vec<u8> = rows.concat().bytes().map(|b| if b == b'9' { NODATA } else { b - b'0' }).collect();
        let sieved = sieve_rows(&ids, 7, 3, [false; 2]);
        // The single 2 on the left goes to 0, the one on the right to 1; the pair borders 0 with three sides and 1 with one.
        let expected = ["0000111", "0000111", "0000111", "0009111", "9000111"];
        let expected: Vec<u8> =
            expected.concat().bytes().map(|b| if b == b'9' { NODATA } else { b - b'0' }).collect();
        assert_eq!(sieved, expected);
        assert_eq!(sieve_rows(&[1, 2, 3], 3, 2, [false; 2]), [1, 2, 3], "specks among specks");
        assert_eq!(sieve_rows(&[1, 1, 2], 1, 2, [false, true]), [1, 1, 2], "may go on below");
    }

    #[test]
    fn bands_of_rows_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (path, out) = (dir.path().join("map.tif"), dir.path().join("out.tif"));
        let (width, height) = (33, 900);
        let ids = |x: usize, y: usize| match noise(x / 3, y / 3, 2) % 9 {
            0 => NODATA,
            1..=5 => 1 + (y / 300) as u8,
            other => other / 2,
        };
        let mut map = map_of(&path, width, height, ids);
        let all: Vec<u8> = (0..width * height).map(|at| ids(at % width, at / width)).collect();
        // From 150 on it is one band.
        for least in [2, 10, 60, 140, 400] {
            let expected = sieve_rows(&all, width, least, [false; 2]);
            let changed = sieve(&mut map, least, &out, &|_, _| {}).unwrap();
            let mut got = Vec::new();
            MapFile::open(&out).unwrap().read_rows(0, height, &mut got).unwrap();
            assert!(got == expected, "{least}");
            assert_eq!(changed, all.iter().zip(&expected).filter(|(a, b)| a != b).count() as u64);
            assert!(least < 10 || changed > 0);
        }
    }

    #[test]
    fn rows_at_hand() {
        assert_eq!((band(30_000, 5), band(30_000, 1000)), ([256, 10], [2000, 2000]));
        assert_eq!((band(30_000, 5000), band(300, 20), band(9, usize::MAX)), ([30_000, 0], [300, 0], [9, 0]));
        assert_eq!(sieve_bytes(10, 30_000, 1000).unwrap(), 8 * 10 * 6000);
        assert_eq!(sieve_bytes(10, 30_000, usize::MAX).unwrap(), 8 * 10 * 30_000);
        let error = sieve_bytes(100_000, 100_000, 20_000).unwrap_err().to_string();
        assert!(error.contains("100000 rows of 100000") && error.contains("--sieve"), "{error}");
    }
}
