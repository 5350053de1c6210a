//! A scene becomes a map: windows are read ahead, answered, blended and written as they are finished.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use hectare_kernels::threads;
use hectare_net::{ClassMap, temporary_in};

use crate::answer::choose;
use crate::grid::{ALIGN, DEAD};
use crate::layer::{put_number, take_number};
use crate::map_file::{aux_xml, class_fields, side_path};
use crate::qml::qml;
use crate::tiff::{Field, tag};
use crate::{
    Answer, Blend, Grid, Layer, LayerKind, MapError, NODATA, Patch, Recipe, Scene, Segmenter, Wanted, Window,
};

/// Begins the file of a state.
const MAGIC: &[u8; 8] = b"hectmap1";

/// How a map is made.
#[derive(Clone, Debug, PartialEq)]
pub struct MapSettings {
    /// Side of a window in pixels, a multiple of 32.
    pub tile: usize,
    /// Pixels that neighbouring windows share, a multiple of 32; of `None` twice the network's reach, at which the result does
    /// not depend on how the scene is cut.
    pub overlap: Option<usize>,
    /// Pixels at a window's edge without weight; with `overlap` of `None` as far as the network reaches.
    pub dead: usize,
    /// Whether to write the probabilities of all classes.
    pub probabilities: bool,
    /// Whether to write the probability of the class that was chosen.
    pub confidence: bool,
    /// Time between two states that work can be taken up from.
    pub save_every: Duration,
}

impl Default for MapSettings {
    fn default() -> Self {
        MapSettings {
            tile: 1024,
            overlap: Some(256),
            dead: DEAD,
            probabilities: false,
            confidence: false,
            save_every: Duration::from_secs(20),
        }
    }
}

impl MapSettings {
    /// The settings with which a network sees as large windows as before when it is shown `factor` pixels for each pixel of
    /// the scene.
    pub fn resampled(&self, factor: f64) -> MapSettings {
        // Windows become no larger to the network, and overlaps no smaller.
        let tile = ((self.tile as f64 / factor) as usize / ALIGN * ALIGN).max(ALIGN);
        let overlap = |overlap: usize| ((overlap as f64 / factor).ceil() as usize).next_multiple_of(ALIGN);
        MapSettings {
            tile,
            overlap: self.overlap.map(overlap),
            dead: (self.dead as f64 / factor).ceil() as usize,
            ..self.clone()
        }
    }

    /// The windows of a scene of this size for a network with this reach.
    ///
    /// # Errors
    /// Sizes that do not fit each other.
    pub fn grid(&self, width: usize, height: usize, reach: Option<usize>) -> Result<Grid, MapError> {
        let (overlap, dead) = match (self.overlap, reach) {
            (Some(overlap), _) => (overlap, self.dead),
            (None, Some(reach)) => ((2 * reach).next_multiple_of(ALIGN), reach),
            (None, None) => {
                return Err(MapError::Mismatch(
                    "how far this network looks is not known, so --exact does not go with it; give --overlap"
                        .into(),
                ));
            }
        };
        // A scene that fits one window needs no overlap, and a smaller window does for it.
        if width.max(height) <= self.tile {
            return Grid::new(width, height, self.tile, 0, 0);
        }
        let grid = Grid::new(width, height, self.tile, overlap, dead);
        grid.map_err(|error| match self.overlap {
            None => MapError::Mismatch(format!(
                "the network looks {dead} pixels far, so --exact needs windows above {overlap} (--tile {})",
                overlap + 512
            )),
            _ => error,
        })
    }
}

/// What happened to a scene.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// Windows that the network answered.
    pub windows: usize,
    /// Windows without data, which it did not see.
    pub empty_windows: usize,
    /// Rows of windows that an earlier run had finished.
    pub resumed_rows: usize,
    /// Pixels of the windows that the network answered.
    pub window_pixels: u64,
}

/// The work of one scene.
pub struct Mapper<'a> {
    /// The scene; its bands are set as `recipe` wants them.
    pub scene: &'a mut Scene,
    /// How samples become the network's input.
    pub recipe: &'a Recipe,
    /// Names and colours; ignored classes are never given.
    pub classes: &'a ClassMap,
    /// What else is to be done.
    pub settings: &'a MapSettings,
    /// The map's file.
    pub out: &'a Path,
    /// Anything that a result depends on and that is not in the fields above: an unfinished map of another value is
    /// not taken up.
    pub fingerprint: String,
}

/// The layers of a map in the making, and the folder of what is unfinished.
struct Layers {
    folder: PathBuf,
    names: Vec<(PathBuf, LayerKind)>,
    layers: Vec<Layer>,
}

impl Layers {
    fn new(
        out: &Path,
        settings: &MapSettings,
        classes: usize,
        width: usize,
        height: usize,
        fresh: bool,
    ) -> Result<Layers, MapError> {
        let folder = partial_folder(out);
        fs::create_dir_all(&folder).map_err(|error| MapError::io(&folder, &error))?;
        let mut names = vec![(out.to_path_buf(), LayerKind::Classes)];
        if settings.confidence {
            names.push((side_path(out, "confidence"), LayerKind::Percent));
        }
        if settings.probabilities {
            names.push((side_path(out, "probabilities"), LayerKind::Floats(classes)));
        }
        let mut layers = Vec::new();
        for (i, (_, kind)) in names.iter().enumerate() {
            let path = folder.join(format!("spool{i}"));
            let spool = File::options().read(true).write(true).create(true).truncate(fresh).open(&path);
            let spool = spool.map_err(|error| MapError::io(&path, &error))?;
            layers.push(Layer::new(*kind, width, height, spool));
        }
        Ok(Layers { folder, names, layers })
    }
}

/// Where the unfinished parts of a map lie.
pub fn partial_folder(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    out.with_file_name(name)
}

impl Mapper<'_> {
    /// Makes the map, with `.qml` (QGIS) and `.aux.xml` (class names for GDAL) beside it. What a killed run with the same
    /// scene, model and settings had finished is taken up. `progress(done, total)` counts windows.
    ///
    /// # Errors
    /// A scene that cannot be read to its end or holds no data at all, a network that cannot take the windows, an output that cannot
    /// be written. What was finished stays in the folder `OUT.partial` until the map is whole.
    pub fn run(
        self,
        segmenter: &mut dyn Segmenter,
        progress: &dyn Fn(usize, usize),
    ) -> Result<Mapped, MapError> {
        let info = self.scene.info().clone();
        let (width, height) = (info.width, info.height);
        let k = segmenter.classes();
        if k != self.classes.len() || k > usize::from(NODATA) {
            return Err(MapError::Mismatch(format!(
                "the class map has {} classes and the network {k} (255 is no data)",
                self.classes.len()
            )));
        }
        let grid = self.settings.grid(width, height, segmenter.reach())?;
        let fingerprint = format!(
            "{}|{grid:?}|{:?}|{:?}|{:?}|{info:?}",
            self.fingerprint, self.settings, self.classes, self.recipe
        );
        let mut blend = Blend::new(grid.clone(), width, k)?;
        let (mut layers, state) = self.take_up(&fingerprint, k, width, height, &mut blend)?;
        let mut mapped = Mapped { resumed_rows: state.rows, ..Mapped::default() };
        let mut any_data = state.any_data;
        let columns = grid.across.count();
        let total = grid.count();
        progress(state.rows * columns, total);

        let scene = self.scene;
        scene.select(&self.recipe.bands)?;
        let (sender, receiver) = sync_channel::<Result<Patch, MapError>>(1);
        let (give_back, given_back) = std::sync::mpsc::channel::<Patch>();
        let settings = self.settings;
        let given: Vec<bool> = self.classes.classes.iter().map(|class| !class.ignored).collect();
        let result = std::thread::scope(|scope| {
            let reader_grid = grid.clone();
            scope.spawn(move || {
                for index in state.rows * columns..total {
                    let window = reader_grid.window(index % columns, index / columns);
                    let mut patch = given_back.try_recv().unwrap_or_default();
                    let read = scene.read(window, &mut patch).map(|()| patch);
                    let failed = read.is_err();
                    if sender.send(read).is_err() || failed {
                        return;
                    }
                }
            });
            let mut input = Vec::new();
            let mut before: Option<Answered> = None;
            let mut spare = Answer::default();
            let mut saved = std::time::Instant::now();
            for row in state.rows..grid.down.count() {
                for column in 0..columns {
                    let gone = || MapError::Mismatch("the reader of the scene stopped".into());
                    let patch = receiver.recv().map_err(|_| gone())??;
                    let window = grid.window(column, row);
                    let size = [grid.down.size(row), grid.across.size(column)];
                    let has_data = patch.valid.iter().any(|valid| *valid);
                    if has_data {
                        self.recipe.normalise(&patch, window.width, size, &mut input);
                    }
                    let wanted = Wanted {
                        part: blend.part(column, row),
                        alone: blend.alone(column, row),
                        given: &given,
                        everywhere: settings.probabilities || settings.confidence,
                    };
                    let mut answer = std::mem::take(&mut spare);
                    // Beside the network the window before is blended and written, so that no core waits for either.
                    let (answered, written) = threads::join(
                        || match has_data {
                            true => segmenter.answer(size[0], size[1], &input, &wanted, &mut answer),
                            false => Ok(()),
                        },
                        || match before.take() {
                            Some(before) => before.write(&mut blend, &mut layers, settings, &given).map(Some),
                            None => Ok(None),
                        },
                    );
                    if let Some(written) = written? {
                        let _ = give_back.send(written.patch);
                        spare = written.answer;
                    }
                    answered?;
                    if has_data {
                        any_data = true;
                        mapped.windows += 1;
                        mapped.window_pixels += (size[0] * size[1]) as u64;
                    } else {
                        mapped.empty_windows += 1;
                    }
                    before = Some(Answered { column, row, window, patch, answer, has_data });
                    progress(row * columns + column + 1, total);
                }
                let last = row + 1 == grid.down.count();
                let save_now = !last && saved.elapsed() >= settings.save_every;
                if (last || save_now)
                    && let Some(before) = before.take()
                {
                    before.write(&mut blend, &mut layers, settings, &given)?;
                }
                if save_now {
                    save(&mut layers, &fingerprint, row + 1, any_data, &blend)?;
                    saved = std::time::Instant::now();
                }
            }
            // Rayon's threads and the reader end before the files are put together.
            drop(receiver);
            Ok::<_, MapError>(())
        });
        result?;
        if !any_data {
            let _ = fs::remove_dir_all(&layers.folder);
            let reason = "every pixel is nodata or masked, so there is nothing to map".into();
            return Err(MapError::Empty { path: info.path, reason });
        }
        finish(&mut layers, self.classes, &info.geo, k)?;
        write_small(&side_file(self.out, "qml"), &qml(self.classes))?;
        write_small(&append(self.out, ".aux.xml"), &aux_xml(self.classes))?;
        fs::remove_dir_all(&layers.folder).map_err(|error| MapError::io(&layers.folder, &error))?;
        Ok(mapped)
    }

    /// The layers as an earlier run left them, or new ones.
    fn take_up(
        &self,
        fingerprint: &str,
        k: usize,
        width: usize,
        height: usize,
        blend: &mut Blend,
    ) -> Result<(Layers, State), MapError> {
        let path = partial_folder(self.out).join("state");
        let saved = fs::read(&path).ok();
        if let Some(bytes) = saved {
            let mut layers = Layers::new(self.out, self.settings, k, width, height, false)?;
            if let Some(state) = restore(&bytes, fingerprint, &mut layers, blend) {
                return Ok((layers, state));
            }
            // What a failed attempt took in must go.
            blend.empty();
        }
        let _ = fs::remove_file(&path);
        let layers = Layers::new(self.out, self.settings, k, width, height, true)?;
        Ok((layers, State { rows: 0, any_data: false }))
    }
}

#[derive(Clone, Copy)]
struct State {
    /// Rows of windows that are finished.
    rows: usize,
    any_data: bool,
}

fn save(
    layers: &mut Layers,
    fingerprint: &str,
    rows: usize,
    any_data: bool,
    blend: &Blend,
) -> Result<(), MapError> {
    let path = layers.folder.join("state");
    let mut bytes = MAGIC.to_vec();
    put_number(&mut bytes, fingerprint.len() as u64);
    bytes.extend(fingerprint.bytes());
    put_number(&mut bytes, rows as u64);
    put_number(&mut bytes, u64::from(any_data));
    blend.save(&mut bytes);
    for layer in &mut layers.layers {
        layer.save(&mut bytes).map_err(|error| MapError::io(&layers.folder, &error))?;
    }
    write_bytes(&path, &bytes)
}

/// Nothing where the state is of another map.
fn restore(bytes: &[u8], fingerprint: &str, layers: &mut Layers, blend: &mut Blend) -> Option<State> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let length = take_number(&mut rest)? as usize;
    let (known, after) = rest.split_at_checked(length)?;
    if known != fingerprint.as_bytes() {
        return None;
    }
    rest = after;
    let rows = take_number(&mut rest)? as usize;
    let any_data = take_number(&mut rest)? != 0;
    blend.restore(&mut rest).ok()?;
    for layer in &mut layers.layers {
        layer.restore(&mut rest).ok()?;
    }
    Some(State { rows, any_data })
}

/// A window that the network has answered and that is not written yet.
struct Answered {
    column: usize,
    row: usize,
    /// The part of the scene that was read.
    window: Window,
    patch: Patch,
    /// What the network says of the pixels that the window contributes to.
    answer: Answer,
    has_data: bool,
}

impl Answered {
    /// Blends the window and writes the pixels that are finished with it. Gives the window back for its memory.
    fn write(
        mut self,
        blend: &mut Blend,
        layers: &mut Layers,
        settings: &MapSettings,
        given: &[bool],
    ) -> Result<Answered, MapError> {
        let alone = match self.has_data {
            true => blend.alone(self.column, self.row),
            false => Window { x: 0, y: 0, width: 0, height: 0 },
        };
        let done = blend.add(self.column, self.row, &mut self.answer.probabilities, self.has_data);
        emit(layers, settings, &done, (alone, &self.answer.ids), &self.patch, self.window, given)?;
        Ok(self)
    }
}

/// Writes finished pixels into all layers; the classes of a rectangle of them are known, the others are chosen; `given`
/// says of each class whether pixels may become it.
fn emit(
    layers: &mut Layers,
    settings: &MapSettings,
    done: &crate::blend::Finished<'_>,
    (known, known_ids): (Window, &[u8]),
    patch: &Patch,
    read: Window,
    given: &[bool],
) -> Result<(), MapError> {
    let (at, k) = (done.window, given.len());
    let folder = layers.folder.clone();
    let io = |error: std::io::Error| MapError::io(&folder, &error);
    let valid = |y: usize| &patch.valid[(at.y - read.y + y) * read.width + at.x - read.x..][..at.width];
    let mut ids = vec![NODATA; at.width * at.height];
    let mut sure = vec![NODATA; if settings.confidence { ids.len() } else { 0 }];
    threads::parallel_chunks_mut(&mut ids, at.width.max(1), |y, row| {
        let values = done.row(y);
        if (known.y..known.y + known.height).contains(&y) {
            let (left, right) = (known.x, known.x + known.width);
            choose(&values[..left * k], given, &mut row[..left]);
            row[left..right].copy_from_slice(&known_ids[(y - known.y) * known.width..][..known.width]);
            choose(&values[right * k..], given, &mut row[right..]);
        } else {
            choose(values, given, row);
        }
        for (id, valid) in row.iter_mut().zip(valid(y)) {
            *id = if *valid { *id } else { NODATA };
        }
    });
    if settings.confidence {
        threads::parallel_chunks_mut(&mut sure, at.width.max(1), |y, row| {
            let chosen = &ids[y * at.width..][..at.width];
            let pixels = row.iter_mut().zip(done.row(y).chunks_exact(k)).zip(chosen);
            for ((percent, values), id) in pixels {
                if *id != NODATA {
                    let most = if given[usize::from(*id)] { values[usize::from(*id)] } else { 0.0 };
                    let sum: f32 = values.iter().sum();
                    *percent = (100.0 * most / sum).round().clamp(0.0, 100.0) as u8;
                }
            }
        });
    }
    for (layer, (_, kind)) in layers.layers.iter_mut().zip(&layers.names) {
        match kind {
            LayerKind::Classes => layer.put(at, &ids).map_err(io)?,
            LayerKind::Percent => layer.put(at, &sure).map_err(io)?,
            LayerKind::Floats(_) => {
                let mut bytes = vec![0u8; at.width * at.height * k * 4];
                threads::parallel_chunks_mut(&mut bytes, (at.width * k * 4).max(1), |y, row| {
                    let pixels = row.chunks_exact_mut(k * 4).zip(done.row(y).chunks_exact(k)).zip(valid(y));
                    for ((to, values), valid) in pixels {
                        let sum: f32 = values.iter().sum();
                        for (to, value) in to.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                            *to = if *valid { value / sum } else { f32::NAN }.to_le_bytes();
                        }
                    }
                });
                layer.put(at, &bytes).map_err(io)?;
            }
        }
    }
    Ok(())
}

/// Puts the files together, each whole or not at all; the map itself comes last.
fn finish(layers: &mut Layers, classes: &ClassMap, geo: &crate::GeoTags, k: usize) -> Result<(), MapError> {
    for at in (0..layers.layers.len()).rev() {
        let (path, kind) = layers.names[at].clone();
        if kind == LayerKind::Classes {
            finish_map(&mut layers.layers[at], classes, geo, &path)?;
            continue;
        }
        let mut first: BTreeMap<u16, Field> =
            geo.tags.iter().map(|(number, entry)| (*number, Field::Raw(entry.clone()))).collect();
        let mut fields = BTreeMap::new();
        match kind {
            LayerKind::Classes => {}
            LayerKind::Percent => {
                fields.insert(tag::GDAL_NODATA, Field::Text(NODATA.to_string()));
                first.insert(tag::GDAL_METADATA, Field::Text(band_names(&["confidence in per cent".into()])));
            }
            LayerKind::Floats(_) => {
                fields.insert(tag::GDAL_NODATA, Field::Text("nan".into()));
                first.insert(tag::GDAL_METADATA, Field::Text(band_names(&classes.names()[..k])));
            }
        }
        let layer = &mut layers.layers[at];
        write_whole(&path, |out| layer.finish(&fields, &first, out))?;
    }
    Ok(())
}

/// Writes the classes as a map.
pub(crate) fn finish_map(
    layer: &mut Layer,
    classes: &ClassMap,
    geo: &crate::GeoTags,
    path: &Path,
) -> Result<(), MapError> {
    let (every, own) = class_fields(classes);
    let mut first: BTreeMap<u16, Field> =
        geo.tags.iter().map(|(number, entry)| (*number, Field::Raw(entry.clone()))).collect();
    first.extend(own);
    write_whole(path, |out| layer.finish(&every, &first, out))
}

/// Names of bands as GDAL's metadata.
fn band_names(names: &[String]) -> String {
    let mut text = String::from("<GDALMetadata>\n");
    for (band, name) in names.iter().enumerate() {
        let name = crate::map_file::escape(name);
        text +=
            &format!("  <Item name=\"DESCRIPTION\" sample=\"{band}\" role=\"description\">{name}</Item>\n");
    }
    text + "</GDALMetadata>\n"
}

/// Writes a large file whole or not at all.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut std::io::BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), MapError> {
    write_file(path, |file| {
        let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
        write(&mut out).and_then(|()| out.flush()).map_err(|error| MapError::io(path, &error))
    })
}

/// As [`write_whole`], for writers that go back to what they wrote. The file's folder is created where it is not there.
pub(crate) fn write_file(
    path: &Path,
    write: impl FnOnce(File) -> Result<(), MapError>,
) -> Result<(), MapError> {
    let io = |error: std::io::Error| MapError::io(path, &error);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(io)?;
    let file = temporary_in(folder, ".tmp").map_err(io)?;
    write(file.as_file().try_clone().map_err(io)?)?;
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|error| io(error.error))?;
    Ok(())
}

fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), MapError> {
    write_whole(path, |out| out.write_all(bytes))
}

fn write_small(path: &Path, text: &str) -> Result<(), MapError> {
    write_bytes(path, text.as_bytes())
}

/// `map.tif` to `map.qml`.
fn side_file(out: &Path, ending: &str) -> PathBuf {
    out.with_extension(ending)
}

/// `map.tif` to `map.tif.aux.xml`.
fn append(out: &Path, ending: &str) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    out.with_file_name(name)
}

#[cfg(test)]
mod tests;
