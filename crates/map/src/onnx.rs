//! ONNX models of anybody as segmenters, run by rten.
//!
//! A model takes one picture, N x C x H x W or N x H x W x C, and gives each of its pixels scores of classes (logits or
//! probabilities), one score (a class against the rest) or the class's number. What the file does not tell is
//! found by showing it a small picture.

mod answer;
mod metadata;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hectare_kernels::{Isa, threads};
use hectare_net::{ClassMap, Normalisation, build};
use rten::{DataType, Dimension, Model, ModelOptions, RunOptions, ThreadPool, ValueType};
use rten_tensor::NdTensor;

use crate::grid::ALIGN;
use crate::{MapError, SceneCard, Segmenter};
use answer::{Answer, Said};
use metadata::Metadata;

/// What a graph takes, of pixels whose levels are 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub enum OnnxInput {
    /// Levels divided by 255.
    Unit,
    /// Levels as they are.
    Bytes,
    /// Levels divided by 255, then normalised with ImageNet's mean and standard deviation.
    Imagenet,
    /// Levels divided by 255, less these means, divided by these standard deviations.
    Standard(Normalisation),
}

/// What a graph gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// Numbers that a softmax (of one class a sigmoid) makes probabilities of.
    Logits,
    /// Probabilities.
    Probabilities,
}

/// What the user says of a model; it wins over the file's metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnnxSettings {
    /// Names and colours of the classes.
    pub classes: Option<ClassMap>,
    /// What the graph takes.
    pub input: Option<OnnxInput>,
    /// What it gives.
    pub scores: Option<Scores>,
    /// From which probability on a model of one class says yes.
    pub threshold: Option<f32>,
    /// How many bands it takes, where the graph leaves that open.
    pub bands: Option<usize>,
    /// Side of the windows that it takes, where the graph leaves that open and takes one size only.
    pub tile: Option<usize>,
}

/// Where the bands or classes of a pixel lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// N x C x H x W.
    Planes,
    /// N x H x W x C.
    Pixels,
}

/// A model that is open, with what is known of it.
pub struct OnnxModel {
    path: PathBuf,
    model: Model,
    threads: Arc<ThreadPool>,
    isa: Isa,
    card: SceneCard,
    takes: Layout,
    change: Option<Change>,
    /// Rows and columns of the only size that it takes.
    fixed: Option<[usize; 2]>,
    /// Its sides must be multiples of this.
    multiple: usize,
    answer: Answer,
    threshold: f32,
    tile: Option<usize>,
    overlap: Option<usize>,
    reach: Option<usize>,
}

impl OnnxModel {
    /// Whether a file is taken for an ONNX model: by its ending.
    pub fn is_one(path: &Path) -> bool {
        path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"))
    }

    /// Opens a model and shows it a small picture.
    ///
    /// # Errors
    /// A file that is no ONNX model or holds operators that rten does not have; a model that is not for segmentation; one whose
    /// input neither the file nor `settings` describe, or that they describe in contradictory ways.
    pub fn open(path: &Path, settings: &OnnxSettings) -> Result<OnnxModel, MapError> {
        let fail = |what: String| MapError::unsupported(path, what);
        // The system's own words where there is no such file.
        std::fs::File::open(path).map_err(|error| MapError::io(path, &error))?;
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(path);
        let model = model.map_err(|error| {
            // One "error:" is for the whole message.
            let reason = error.to_string().replace("error: ", "error, ");
            MapError::damaged(path, format!("no ONNX model that can be run ({reason})"))
        })?;
        let metadata = Metadata::read(path, |key| model.metadata().get(key))?;
        if let Some(kind) =
            metadata.model_type.as_ref().filter(|kind| !kind.eq_ignore_ascii_case("segmentor"))
        {
            return Err(fail(format!("it is a model of the kind {kind}, and maps need a Segmentor")));
        }
        if metadata.card.as_ref().is_some_and(|card| card.spec.model.is_classifier()) {
            return Err(fail("it is a classifier, and maps need a segmentation model".into()));
        }
        if model.input_ids().len() != 1 || model.output_ids().is_empty() {
            let (takes, gives) = (model.input_ids().len(), model.output_ids().len());
            return Err(fail(format!(
                "it takes {takes} inputs and gives {gives} outputs; maps need one picture in"
            )));
        }
        let input = model.node_info(model.input_ids()[0]);
        if let Some(kind) = input.and_then(|input| input.dtype())
            && kind != ValueType::Tensor(DataType::Float)
        {
            return Err(fail(format!("it takes numbers of the kind {kind}, and 32-bit floats are given")));
        }
        let port = Port::of(&model.input_shape(0).unwrap_or_default()).map_err(&fail)?;
        let standard = metadata.standardization.as_ref().map(|[mean, _]| mean.len()).filter(|len| *len > 1);
        let bands = port.bands.or(standard).or(settings.bands).unwrap_or(3);
        let wanted = normalisation(settings, &metadata, bands).map_err(&fail)?;
        let card = metadata.card.as_ref().map(SceneCard::from).filter(|card| card.bands == bands);
        // What is no data, and what pads a window, is 0 in the scale of hectare's description: the mean of what the network was
        // trained on. The graph may want levels, of which 0 is black.
        let own = card.as_ref().map(|card| &card.normalisation).filter(|own| **own != wanted).cloned();
        let change = own.as_ref().map(|own| Change::new(own, &wanted));
        let mut opened = OnnxModel {
            path: path.into(),
            model,
            threads: Arc::new(ThreadPool::with_num_threads(threads::current_threads())),
            isa: Isa::best(),
            card: SceneCard {
                bands,
                classes: ClassMap::numbered(0),
                normalisation: own.unwrap_or(wanted),
                scene: card.as_ref().and_then(|card| card.scene.clone()),
                ground_resolution: metadata.ground_resolution,
                resize: card.as_ref().and_then(|card| card.resize),
            },
            takes: port.layout,
            change,
            fixed: port.sides,
            multiple: ALIGN,
            answer: Answer::default(),
            threshold: settings.threshold.or(metadata.threshold).unwrap_or(0.5),
            tile: None,
            overlap: None,
            reach: metadata.card.as_ref().and_then(|card| Some(build(&card.spec).ok()?.reach())),
        };
        opened.ask(settings, &metadata)?;
        opened.plan(&metadata);
        Ok(opened)
    }

    /// Shows the model a picture and sees what it says.
    fn ask(&mut self, settings: &OnnxSettings, metadata: &Metadata) -> Result<(), MapError> {
        // Odd multiples, so that what fits them fits all multiples; the sides differ, so that they can be told apart.
        let mut sizes: Vec<([usize; 2], usize)> = [32, 64, 128].map(|m| ([3 * m, 5 * m], m)).to_vec();
        // A graph whose sides are open may still have been made for one size.
        sizes.extend(settings.tile.or(metadata.tile).map(|side| ([side, side], 0)));
        if let Some(sides) = self.fixed {
            sizes = vec![(sides, 0)];
        }
        let mut first_error = None;
        let mut found = None;
        for (size, multiple) in sizes {
            match self.run(size, &self.noise(size)) {
                Ok(said) => {
                    found = Some((said, size, multiple));
                    break;
                }
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        let Some((said, size, multiple)) = found else {
            return Err(first_error.unwrap_or_else(|| MapError::unsupported(&self.path, "it takes no size")));
        };
        (self.fixed, self.multiple) = if multiple == 0 { (Some(size), ALIGN) } else { (None, multiple) };
        let fail = |what: String| MapError::unsupported(&self.path, what);
        let told = match (settings.scores, metadata.output.as_deref()) {
            (Some(scores), _) => Some(scores),
            (None, Some("softmax")) => Some(Scores::Probabilities),
            (None, Some("logits")) => Some(Scores::Logits),
            _ => None,
        };
        self.answer = Answer::of(&said, size, self.takes, told).map_err(fail)?;
        let count = match self.answer.classes() {
            Some(count) => count,
            None => {
                let own = metadata.names.as_ref().map(Vec::len);
                let count = settings.classes.as_ref().map(ClassMap::len).or(own);
                count.ok_or_else(|| {
                    fail("it gives numbers of classes and does not say which there are; name them with --class-map".into())
                })?
            }
        };
        let classes = match &settings.classes {
            Some(classes) if classes.len() != count => {
                return Err(fail(format!(
                    "the class map has {} classes and the model {count}",
                    classes.len()
                )));
            }
            Some(classes) => classes.clone(),
            None => metadata.classes(count).map_err(fail)?,
        };
        if settings.threshold.is_some() && !self.answer.is_one_score() {
            return Err(fail(format!(
                "a threshold goes with one score for each pixel, and it gives {count}"
            )));
        }
        self.card.classes = classes;
        Ok(())
    }

    /// The windows that suit the model.
    fn plan(&mut self, metadata: &Metadata) {
        let aligned = |side: usize| side / ALIGN * ALIGN;
        // hectare's own networks see windows as they do from hectare's own files.
        let trained = metadata.tile.filter(|_| metadata.card.is_none());
        self.tile = match self.fixed {
            Some([h, w]) => Some(aligned(h.min(w))),
            None => trained.map(|tile| aligned(tile).max(2 * ALIGN)),
        };
        if let Some(tile) = self.tile {
            let wanted = match metadata.overlap_percent.filter(|_| metadata.card.is_none()) {
                Some(percent) => {
                    aligned((tile as f64 * percent.clamp(0.0, 50.0) / 100.0) as usize + ALIGN / 2)
                }
                None => 256,
            };
            self.overlap = Some(wanted.min(aligned(tile / 2)));
        }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What scenes need to know of it.
    pub fn card(&self) -> &SceneCard {
        &self.card
    }

    /// Side of the windows that it wants, a multiple of 32, if it has a wish.
    pub fn tile(&self) -> Option<usize> {
        self.tile
    }

    /// The largest window that it takes; nothing where there is no limit.
    pub fn largest(&self) -> Option<usize> {
        self.fixed.and(self.tile)
    }

    /// Pixels that its windows should share, a multiple of 32, where it wants windows of its own.
    pub fn overlap(&self) -> Option<usize> {
        self.overlap
    }

    /// A line about what was found.
    pub fn summary(&self) -> String {
        let size = match self.fixed {
            Some([h, w]) => format!("windows of {w} x {h}"),
            None => format!("windows of any multiple of {}", self.multiple),
        };
        format!("{} bands in, {size}; {}", self.card.bands, self.answer)
    }

    /// A picture of noise as the model takes it, H x W x C.
    fn noise(&self, [h, w]: [usize; 2]) -> Vec<f32> {
        let Normalisation { mean, std } = &self.card.normalisation;
        let level = |i: usize| {
            let mixed = (i as u32).wrapping_mul(0x9E37_79B9);
            let band = i % self.card.bands;
            (((mixed ^ mixed >> 15) >> 8 & 255) as f32 / 255.0 - mean[band]) / std[band]
        };
        (0..h * w * self.card.bands).map(level).collect()
    }

    /// Shows it a picture, H x W x C, of a size that it takes.
    fn run(&self, [h, w]: [usize; 2], input: &[f32]) -> Result<Said, MapError> {
        let c = self.card.bands;
        let mut changed = Vec::new();
        let input = match &self.change {
            None => input,
            Some(change) => {
                changed.extend(
                    input.iter().enumerate().map(|(i, x)| x * change.scale[i % c] + change.shift[i % c]),
                );
                &changed[..]
            }
        };
        let given = match self.takes {
            Layout::Pixels => NdTensor::from_data([1, h, w, c], input.to_vec()),
            Layout::Planes => {
                let mut planes = vec![0.0; h * w * c];
                threads::parallel_chunks_mut(&mut planes, w.max(1), |row, to| {
                    let (band, y) = (row / h, row % h);
                    let from = input[y * w * c..][..w * c].chunks_exact(c);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = from[band]);
                });
                NdTensor::from_data([1, c, h, w], planes)
            }
        };
        let options = RunOptions::default().with_thread_pool(Some(self.threads.clone()));
        let said = self.model.run_one(given.into(), Some(options));
        let said = said.map_err(|error| {
            let reason = error.to_string().replace("error: ", "error, ");
            let what = format!("the model fails on a window of {w} x {h} pixels and {c} bands: {reason}");
            MapError::unsupported(&self.path, what)
        })?;
        Said::of(said).map_err(|what| MapError::unsupported(&self.path, what))
    }
}

impl Segmenter for OnnxModel {
    fn classes(&self) -> usize {
        self.card.classes.len()
    }

    fn reach(&self) -> Option<usize> {
        self.reach
    }

    fn probabilities(
        &mut self,
        h: usize,
        w: usize,
        input: &[f32],
        out: &mut Vec<f32>,
    ) -> Result<(), MapError> {
        let size = self.fixed.unwrap_or([h, w].map(|side| side.next_multiple_of(self.multiple)));
        if h > size[0] || w > size[1] {
            let [rows, columns] = size;
            let what = format!("the model takes {columns} x {rows} pixels, and a window has {w} x {h}");
            return Err(MapError::Mismatch(what));
        }
        let said = if size == [h, w] {
            self.run(size, input)?
        } else {
            let c = self.card.bands;
            let mut padded = vec![0.0; size[0] * size[1] * c];
            for (to, from) in padded.chunks_exact_mut(size[1] * c).zip(input.chunks_exact((w * c).max(1))) {
                to[..w * c].copy_from_slice(from);
            }
            self.run(size, &padded)?
        };
        let k = self.classes();
        out.clear();
        out.resize(h * w * k, 0.0);
        let told = self.answer.probabilities(self.isa, &said, size, [h, w], k, self.threshold, out);
        told.map_err(|what| MapError::unsupported(&self.path, what))
    }
}

/// From one normalisation to another, band by band.
struct Change {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Change {
    fn new(from: &Normalisation, to: &Normalisation) -> Change {
        let bands = || from.mean.iter().zip(&from.std).zip(to.mean.iter().zip(&to.std));
        Change {
            scale: bands().map(|((_, std), (_, wanted))| std / wanted).collect(),
            shift: bands().map(|((mean, _), (less, wanted))| (mean - less) / wanted).collect(),
        }
    }
}

/// The input's shape.
struct Port {
    layout: Layout,
    bands: Option<usize>,
    sides: Option<[usize; 2]>,
}

impl Port {
    fn of(shape: &[Dimension]) -> Result<Port, String> {
        let shape: Vec<Option<usize>> = shape
            .iter()
            .map(|side| match side {
                Dimension::Fixed(side) => Some(*side),
                Dimension::Symbolic(_) => None,
            })
            .collect();
        let [batch, a, b, c] = match shape[..] {
            [] => [None; 4],
            [n, a, b, c] => [n, a, b, c],
            _ => {
                return Err(format!("its input has {} dimensions; pictures have N x C x H x W", shape.len()));
            }
        };
        if batch.is_some_and(|batch| batch != 1) {
            return Err(format!(
                "it takes {} pictures at once; export it for one, or for any number",
                batch.unwrap_or(0)
            ));
        }
        // Bands are few and sides are not.
        let last_is_less = c.is_some_and(|c| a.is_none_or(|a| c < a));
        let layout =
            if last_is_less && (a.is_none() || b.is_some()) { Layout::Pixels } else { Layout::Planes };
        let (bands, h, w) = if layout == Layout::Pixels { (c, a, b) } else { (a, b, c) };
        let sides = match (h, w) {
            (None, None) => None,
            (h, w) => Some([h.or(w).unwrap_or(0), w.or(h).unwrap_or(0)]),
        };
        if let Some([h, w]) = sides
            && h.min(w) < ALIGN
        {
            return Err(format!("it takes pictures of {w} x {h} pixels; windows have {ALIGN} at least"));
        }
        if bands == Some(0) {
            return Err("it takes no bands".into());
        }
        Ok(Port { layout, bands, sides })
    }
}

/// What levels must become.
fn normalisation(
    settings: &OnnxSettings,
    metadata: &Metadata,
    bands: usize,
) -> Result<Normalisation, String> {
    let same = |mean: f32, std: f32| Normalisation { mean: vec![mean; bands], std: vec![std; bands] };
    let found = match (&settings.input, &metadata.standardization) {
        (Some(OnnxInput::Unit), _) => same(0.0, 1.0),
        (Some(OnnxInput::Bytes), _) => same(0.0, 1.0 / 255.0),
        (Some(OnnxInput::Imagenet), _) => Normalisation::default(),
        (Some(OnnxInput::Standard(own)), _) => own.clone(),
        (None, Some([mean, std])) => Normalisation { mean: mean.clone(), std: std.clone() },
        // Deepness's own default.
        (None, None) if metadata.model_type.is_some() => same(0.0, 1.0),
        (None, None) => {
            return Err("it does not say what numbers it takes; say it with --normalise: unit (0 to 1), bytes (0 to 255), \
                        imagenet, or MEANS/DEVIATIONS"
                .into());
        }
    };
    let spread = |values: &[f32]| match values {
        [one] => vec![*one; bands],
        values => values.to_vec(),
    };
    let found = Normalisation { mean: spread(&found.mean), std: spread(&found.std) };
    if found.mean.len() != bands || found.std.len() != bands {
        return Err(format!("it takes {bands} bands and its normalisation is of {}", found.mean.len()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
