//! Scenes: rasters of any size, read by windows with the pixels that hold data.

use std::path::{Path, PathBuf};

use hectare_data::{Image, read_image};

use crate::tiff::{SampleKind, Span, TiffHeader, TiffReader, tag};
use crate::{GeoTags, MapError, Patch, Window};

/// Decoded chunks that are kept, in bytes: a row of windows of a striped scene of 30,000 columns fits.
pub(crate) const CACHE_BYTES: usize = 384 << 20;

/// What is known of a scene without reading its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneInfo {
    /// The file.
    pub path: PathBuf,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Bands, an alpha channel among them.
    pub bands: usize,
    /// Which band, counted from 0, is an alpha channel.
    pub alpha: Option<usize>,
    /// What a sample is.
    pub kind: SampleKind,
    /// The value that means "no data".
    pub nodata: Option<f64>,
    /// Whether the file has a mask of the pixels that hold data.
    pub has_mask: bool,
    /// The georeference.
    pub geo: GeoTags,
}

impl SceneInfo {
    /// The bands that are no alpha channel, counted from 0.
    pub fn colour_bands(&self) -> Vec<usize> {
        (0..self.bands).filter(|band| Some(*band) != self.alpha).collect()
    }

    /// Side of a pixel on the ground in metres where coordinates tell (the root of its area); degrees count at the
    /// scene's middle.
    pub fn pixel_m(&self) -> Option<f64> {
        let (affine, crs) = (self.geo.affine()?, self.geo.crs()?);
        let middle = self.height / 2;
        let areas = crate::pixel_area::PixelAreas::new(&affine, &crs, self.height).ok()?;
        Some(areas.row_m2(middle).sqrt())
    }
}

/// A scene that is open for reading.
#[derive(Debug)]
pub struct Scene {
    info: SceneInfo,
    source: Source,
    /// The bands that [`Scene::read`] gives, counted from 0.
    bands: Vec<usize>,
}

#[derive(Debug)]
enum Source {
    Tiff { image: Box<TiffReader>, mask: Option<Box<TiffReader>> },
    Picture(Image),
}

impl Scene {
    /// Opens a TIFF file by its tags, or a PNG or JPEG picture, which is decoded at once.
    ///
    /// # Errors
    /// A file that is not there, is truncated or of a kind that is not supported.
    pub fn open(path: &Path) -> Result<Scene, MapError> {
        Scene::open_with_cache(path, CACHE_BYTES)
    }

    /// As [`Scene::open`], keeping up to `cache_bytes` of decoded chunks.
    ///
    /// # Errors
    /// As [`Scene::open`].
    pub fn open_with_cache(path: &Path, cache_bytes: usize) -> Result<Scene, MapError> {
        let start = start_of(path)?;
        if !crate::tiff_start(&start) {
            let image = read_image(path).map_err(|error| {
                MapError::Mismatch(format!("{error} (scenes are TIFF, PNG or JPEG files)"))
            })?;
            let info = SceneInfo {
                path: path.into(),
                width: image.width,
                height: image.height,
                bands: 3,
                alpha: None,
                kind: SampleKind::U8,
                nodata: None,
                has_mask: false,
                geo: GeoTags::default(),
            };
            return Ok(Scene { info, source: Source::Picture(image), bands: vec![0, 1, 2] });
        }
        let (header, _) = TiffHeader::read(path)?;
        let image = Box::new(TiffReader::new(&header, 0, cache_bytes)?);
        let first = &header.directories[0];
        let layout = image.layout();
        let is_mask = |directory: &crate::tiff::Directory| {
            let number = |tag: u16| {
                directory.get(&tag).and_then(|e| e.integers().first().copied()).unwrap_or_default()
            };
            number(tag::NEW_SUBFILE_TYPE) & 4 != 0
                && number(tag::IMAGE_WIDTH) == layout.width as u64
                && number(tag::IMAGE_LENGTH) == layout.height as u64
        };
        let mask = header.directories.iter().position(is_mask);
        let mask = mask.map(|at| TiffReader::new(&header, at, cache_bytes / 8)).transpose()?.map(Box::new);
        let info = SceneInfo {
            path: path.into(),
            width: layout.width,
            height: layout.height,
            bands: layout.samples,
            alpha: layout.alpha(),
            kind: layout.kind,
            nodata: first.get(&tag::GDAL_NODATA).and_then(|e| parse_nodata(&e.text(), layout.kind)),
            has_mask: mask.is_some(),
            geo: GeoTags::of(first),
        };
        let bands = info.colour_bands();
        Ok(Scene { info, source: Source::Tiff { image, mask }, bands })
    }

    /// What is known of it.
    pub fn info(&self) -> &SceneInfo {
        &self.info
    }

    /// Sets the bands to be read, counted from 0.
    ///
    /// # Errors
    /// A band that the scene does not have.
    pub fn select(&mut self, bands: &[usize]) -> Result<(), MapError> {
        if let Some(missing) = bands.iter().find(|band| **band >= self.info.bands) {
            return Err(MapError::Mismatch(format!(
                "{} has {} bands and no band {}",
                self.info.path.display(),
                self.info.bands,
                missing + 1
            )));
        }
        self.bands = bands.to_vec();
        Ok(())
    }

    /// The bands that are read, counted from 0.
    pub fn bands(&self) -> &[usize] {
        &self.bands
    }

    /// Reads a window, which must lie within the scene.
    ///
    /// A pixel holds data unless all bands that are read have the "no data" value, one of them is NaN, the alpha channel is
    /// 0 or the file's mask says so.
    ///
    /// # Errors
    /// Data that cannot be read or decoded.
    pub fn read(&mut self, window: Window, patch: &mut Patch) -> Result<(), MapError> {
        let pixels = window.width * window.height;
        let count = self.bands.len();
        let Patch { samples, valid } = patch;
        valid.clear();
        valid.resize(pixels, true);
        let (image, mask) = match &mut self.source {
            Source::Picture(picture) => {
                let samples = samples.bytes_mut(pixels * count);
                for y in 0..window.height {
                    let at = ((window.y + y) * picture.width + window.x) * 3;
                    let row = picture.pixels[at..at + window.width * 3].as_chunks::<3>().0;
                    let to = &mut samples[y * window.width * count..][..window.width * count];
                    for (to, from) in to.chunks_exact_mut(count).zip(row) {
                        to.iter_mut().zip(&self.bands).for_each(|(to, band)| *to = from[*band]);
                    }
                }
                return Ok(());
            }
            Source::Tiff { image, mask } => (image, mask),
        };
        let (kind, nodata) = (self.info.kind, self.info.nodata);
        let rows = Rows { kind, nodata, bands: &self.bands, alpha: self.info.alpha };
        // Every sample is written.
        match kind {
            SampleKind::U8 => {
                let samples = samples.bytes_mut(pixels * count);
                rows.read(image, window, samples, valid)?;
            }
            _ => {
                let samples = samples.floats_mut(pixels * count);
                rows.read(image, window, samples, valid)?;
            }
        }
        if let Some(mask) = mask {
            mask.read(window, &[0], |span| {
                let start = span.y * window.width + span.x;
                for i in 0..span.count {
                    valid[start + i] &= span.bytes.is_some_and(|bytes| bytes[i * span.stride] != 0);
                }
            })?;
        }
        Ok(())
    }
}

/// What samples are in memory.
trait Sample: Copy + From<u8> {
    fn of(value: f64) -> Self;
}

impl Sample for u8 {
    fn of(value: f64) -> u8 {
        value as u8
    }
}

impl Sample for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }
}

/// How the samples of a window's rows become those of a patch.
struct Rows<'a> {
    kind: SampleKind,
    nodata: Option<f64>,
    bands: &'a [usize],
    alpha: Option<usize>,
}

impl Rows<'_> {
    /// Reads the bands into `samples`, and into `valid` which pixels hold data.
    fn read<T: Sample>(
        &self,
        image: &mut TiffReader,
        window: Window,
        samples: &mut [T],
        valid: &mut [bool],
    ) -> Result<(), MapError> {
        let (nodata, count) = (self.nodata, self.bands.len());
        let mut is_nodata = vec![true; if nodata.is_some() { valid.len() } else { 0 }];
        // Bytes without a "no data" value are the common case and need no tests. All bands side by side, as in most pictures,
        // are one row of numbers.
        let plain = self.kind == SampleKind::U8 && nodata.is_none();
        let whole_pixels =
            self.alpha.is_none() && self.bands.iter().enumerate().all(|(at, band)| at == *band);
        let mut wanted = self.bands.to_vec();
        wanted.extend(self.alpha);
        image.read(window, &wanted, |span| {
            let start = span.y * window.width + span.x;
            let is_alpha = span.band == count;
            match span.bytes {
                Some(bytes) if plain && whole_pixels && span.stride == count => {
                    if span.band == 0 {
                        let to = &mut samples[start * count..][..span.count * count];
                        to.iter_mut().zip(bytes).for_each(|(to, from)| *to = T::from(*from));
                    }
                }
                Some(bytes) if plain && !is_alpha => {
                    let to = samples[start * count + span.band..].iter_mut().step_by(count);
                    let from = bytes.iter().step_by(span.stride).take(span.count);
                    to.zip(from).for_each(|(to, from)| *to = T::from(*from));
                }
                _ if is_alpha => {
                    let valid = &mut valid[start..start + span.count];
                    valid
                        .iter_mut()
                        .enumerate()
                        .for_each(|(i, valid)| *valid &= self.value(&span, i, 0.0) != 0.0);
                }
                _ => {
                    for (i, at) in (start..start + span.count).enumerate() {
                        let value = self.value(&span, i, nodata.unwrap_or(0.0));
                        samples[at * count + span.band] = T::of(value);
                        if let Some(nodata) = nodata {
                            is_nodata[at] &= nodata == value;
                        }
                        valid[at] &= !value.is_nan();
                    }
                }
            }
        })?;
        valid.iter_mut().zip(&is_nodata).for_each(|(valid, nodata)| *valid &= !nodata);
        Ok(())
    }

    /// Sample `i` of a span, or `fill` where the file leaves it out.
    fn value(&self, span: &Span<'_>, i: usize, fill: f64) -> f64 {
        span.bytes.map_or(fill, |bytes| self.kind.value(&bytes[i * span.stride..]))
    }
}

/// The first bytes of a file.
pub(crate) fn start_of(path: &Path) -> Result<Vec<u8>, MapError> {
    use std::io::Read;
    let mut start = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| MapError::io(path, &error))?;
    file.take(16).read_to_end(&mut start).map_err(|error| MapError::io(path, &error))?;
    Ok(start)
}

/// GDAL's nodata tag: a number, `nan` or an infinity. Samples in f32 hold the number as near as they come to it.
fn parse_nodata(text: &str, kind: SampleKind) -> Option<f64> {
    let value = text.trim().parse::<f64>().ok()?;
    Some(if kind == SampleKind::F32 { f64::from(value as f32) } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Kind, noise};

    fn value(kind: SampleKind, x: usize, y: usize, band: usize) -> f64 {
        let byte = f64::from(noise(x / 3, y / 2, band));
        match kind {
            SampleKind::U8 => byte,
            SampleKind::I8 => byte - 128.0,
            SampleKind::U16 => byte * 200.0 + x as f64,
            SampleKind::I16 => byte * 100.0 - 9000.0,
            SampleKind::U32 => byte * 50_000.0,
            SampleKind::I32 => byte * 40_000.0 - 1e6,
            SampleKind::F32 | SampleKind::F64 => f64::from(byte as f32 * 0.37 - 20.0),
        }
    }

    fn kinds() -> Vec<Kind> {
        use SampleKind::{F32, F64, I8, I16, I32, U8, U16, U32};
        let mut kinds = Vec::new();
        for (i, sample) in [U8, I8, U16, I16, U32, I32, F32, F64].into_iter().enumerate() {
            for compression in [1, 5, 8, 32773, 50000] {
                for tiled in [false, true] {
                    let mut kind = Kind::new(45, 38, 1 + (i + usize::from(tiled)) % 4, sample);
                    kind.compression = compression;
                    kind.separate = (i + usize::from(compression)) % 2 == 0;
                    kind.little = (i + usize::from(compression / 4)) % 3 != 0;
                    kind.big = i % 2 == usize::from(tiled);
                    if tiled {
                        kind.chunk = [16, 32];
                    }
                    let float = matches!(sample, F32 | F64);
                    kind.predictor = if compression == 1 {
                        1
                    } else if float {
                        3
                    } else {
                        2
                    };
                    kinds.push(kind);
                }
            }
        }
        kinds
    }

    #[test]
    fn every_kind_reads_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.tif");
        for kind in kinds() {
            let sample = kind.sample;
            kind.write(&path, |x, y, band| value(sample, x, y, band));
            let mut scene = Scene::open(&path).unwrap();
            assert_eq!((scene.info().width, scene.info().height, scene.info().bands), (45, 38, kind.bands));
            let bands: Vec<usize> = (0..kind.bands).rev().collect();
            scene.select(&bands).unwrap();
            for window in [
                Window { x: 0, y: 0, width: 45, height: 38 },
                Window { x: 13, y: 5, width: 19, height: 31 },
                Window { x: 44, y: 37, width: 1, height: 1 },
            ] {
                let mut patch = Patch::default();
                scene.read(window, &mut patch).unwrap();
                assert!(patch.valid.iter().all(|valid| *valid));
                let mut values = patch.samples.iter();
                for y in window.y..window.y + window.height {
                    for x in window.x..window.x + window.width {
                        for band in &bands {
                            let expected = value(sample, x, y, *band) as f32;
                            let told = format!(
                                "{sample:?} compression {} predictor {} tiles {:?} separate {} little {} at {x} {y}",
                                kind.compression, kind.predictor, kind.chunk, kind.separate, kind.little
                            );
                            assert_eq!(values.next().unwrap(), expected, "{told}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_holds_no_data() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.tif");
        let all = Window { x: 0, y: 0, width: 20, height: 20 };
        let mut patch = Patch::default();
        // All bands have the value, not one alone.
        let mut kind = Kind::new(20, 20, 3, SampleKind::U16);
        kind.nodata = Some("7");
        kind.write(&path, |x, _, band| if x < 5 || (x == 9 && band == 1) { 7.0 } else { 100.0 });
        Scene::open(&path).unwrap().read(all, &mut patch).unwrap();
        assert!(patch.valid.iter().enumerate().all(|(i, valid)| *valid == (i % 20 >= 5)));
        // Alpha 0, whatever the colours.
        let mut kind = Kind::new(20, 20, 4, SampleKind::U8);
        kind.alpha = true;
        kind.write(&path, |x, y, band| if band == 3 && x == y { 0.0 } else { 255.0 });
        let mut scene = Scene::open(&path).unwrap();
        assert_eq!((scene.info().alpha, scene.bands()), (Some(3), &[0, 1, 2][..]));
        scene.read(all, &mut patch).unwrap();
        assert!(patch.valid.iter().enumerate().all(|(i, valid)| *valid == (i % 20 != i / 20)));
        // NaN, with and without the tag.
        for nodata in [None, Some("nan")] {
            let mut kind = Kind::new(20, 20, 1, SampleKind::F32);
            kind.nodata = nodata;
            kind.write(&path, |x, _, _| if x == 3 { f64::NAN } else { 1.0 });
            Scene::open(&path).unwrap().read(all, &mut patch).unwrap();
            assert!(patch.valid.iter().enumerate().all(|(i, valid)| *valid == (i % 20 != 3)));
        }
        // A number that f32 holds only nearly.
        for (sample, nodata) in
            [(SampleKind::F32, "-9999.9"), (SampleKind::F64, "-9999.9"), (SampleKind::F32, "1e20")]
        {
            let mut kind = Kind::new(20, 20, 1, sample);
            kind.nodata = Some(nodata);
            kind.write(&path, |x, _, _| if x == 3 { nodata.parse().unwrap() } else { 1.0 });
            Scene::open(&path).unwrap().read(all, &mut patch).unwrap();
            assert!(patch.valid.iter().enumerate().all(|(i, valid)| *valid == (i % 20 != 3)), "{nodata}");
        }
        // Chunks that are left out are nodata where there is such a value, and 0 otherwise.
        for (nodata, holds) in [(Some("9"), false), (None, true)] {
            let mut kind = Kind::new(20, 20, 1, SampleKind::U8);
            (kind.chunk, kind.sparse, kind.nodata) = ([16, 16], true, nodata);
            kind.write(&path, |_, _, _| 1.0);
            Scene::open(&path).unwrap().read(all, &mut patch).unwrap();
            assert!(patch.valid.iter().enumerate().all(|(i, valid)| *valid == (holds || i % 20 >= 16)));
            assert_eq!(patch.samples.get(0), if holds { 0.0 } else { 9.0 });
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scene.tif");
        let mut kind = Kind::new(300, 200, 3, SampleKind::U8);
        kind.compression = 8;
        kind.write(&path, |x, y, band| f64::from(noise(x, y, band)));
        let whole = std::fs::read(&path).unwrap();
        for part in [0, 4, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..part]).unwrap();
            assert!(Scene::open(&path).is_err(), "{part}");
        }
        // Damage anywhere is an error or other pixels, never a panic.
        let mut patch = Patch::default();
        let seen = std::panic::catch_unwind(move || {
            for at in (0..whole.len()).step_by(whole.len() / 400).chain(whole.len() - 260..whole.len()) {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= flip;
                    std::fs::write(&path, &bytes).unwrap();
                    let Ok(mut scene) = Scene::open(&path) else { continue };
                    let info = scene.info();
                    let window =
                        Window { x: 0, y: 0, width: info.width.min(64), height: info.height.min(64) };
                    let _ = scene.read(window, &mut patch);
                }
            }
        });
        assert!(seen.is_ok());
    }
}
