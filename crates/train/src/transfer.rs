//! An FCN that begins as one of another stride: FCN16s from FCN32s, FCN8s from either (Long et al. 2015), and back.
//!
//! All shared layers are taken. The scores of the new skips begin at zero and upsampling that the parent has not begins
//! bilinear, since one kernel of stride 32 is not one of 2 and one of 16. The coarsest score map is then the parent's, bit
//! for bit. A coarser network leaves the skips of a finer parent away.

use std::path::{Path, PathBuf};

use hectare_net::weights::{LoadReport, LoadStatus, WeightError, WeightFile, load_into};
use hectare_net::{ModelKind, Network, Params};

use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::picks::Picks;
use crate::record;
use crate::run_folder::RunFolder;

/// The network of another stride that a run begins as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parent {
    /// Which network it is.
    pub model: ModelKind,
    /// Its weights.
    pub file: PathBuf,
    /// Its metric on the validation set of this run, where its own run has measured that.
    pub metric: Option<f64>,
}

/// The FCN whose weights a file holds, if `model` is an FCN of another stride.
pub(crate) fn relative(file: &WeightFile, model: ModelKind) -> Option<ModelKind> {
    let marks = [
        ("fcn32.6.weight", ModelKind::Fcn32s),
        ("upscore16.weight", ModelKind::Fcn16s),
        ("upscore8.weight", ModelKind::Fcn8s),
    ];
    let of = |(name, parent): (&str, ModelKind)| file.get(name).is_some().then_some(parent);
    let parent = marks.into_iter().find_map(of)?;
    (parent != model && model.is_fcn()).then_some(parent)
}

/// Whether the FCN that begins with `file`, of its own stride or another, has a bias in its last layer: as the levels of the
/// scores that `tune` has set.
pub(crate) fn has_output_bias(file: &WeightFile, model: ModelKind) -> bool {
    let of = relative(file, model).unwrap_or(model);
    model.is_fcn() && of.output_bias_name().is_some_and(|name| file.get(name).is_some())
}

/// Loads the layers that the FCN of `file` shares with `network`, one of another stride; `params` must hold a new
/// network's start.
///
/// # Errors
/// A shared layer of another shape (width or number of classes), unless `partial`.
pub(crate) fn load_relative(
    mut file: WeightFile,
    network: &Network,
    params: &mut Params,
    partial: bool,
) -> Result<LoadReport, TrainError> {
    let biases = [ModelKind::Fcn32s, ModelKind::Fcn16s, ModelKind::Fcn8s].map(ModelKind::output_bias_name);
    let own = biases.into_iter().flatten().find(|name| network.layout().entry(name).is_some());
    let to_fcn32s = network.layout().entry("fcn32.6.weight").is_some();
    let names = [("fcn32.6.", "score_fr."), ("fcn32.", "fcn.")];
    for tensor in &mut file.tensors {
        if let Some(own) = own
            && biases.contains(&Some(tensor.name.as_str()))
        {
            tensor.name = own.to_owned();
        }
        for (coarsest, others) in names {
            let (theirs, ours) = if to_fcn32s { (others, coarsest) } else { (coarsest, others) };
            if let Some(rest) = tensor.name.strip_prefix(theirs) {
                tensor.name = format!("{ours}{rest}");
                break;
            }
        }
    }
    let is_own = |name: &str| name.starts_with("score_pool") || name.starts_with("upscore");
    file.tensors.retain(|tensor| !is_own(&tensor.name) || network.layout().entry(&tensor.name).is_some());
    let report = load_into(&file, network, params, true).map_err(TrainError::net)?;
    let misfits = |row: &&hectare_net::weights::LoadRow| !row.is_loaded() && !is_own(&row.name);
    if !partial && report.rows.iter().any(|row| misfits(&row)) {
        let rows = report.rows.iter().filter(misfits).cloned().collect();
        let report = Box::new(LoadReport { rows });
        return Err(TrainError::net(WeightError::Mismatch { path: file.path, report }));
    }
    for row in &report.rows {
        if row.status == LoadStatus::Missing
            && row.name.starts_with("score_pool")
            && let Some(values) = params.get_mut(&row.name)
        {
            values.fill(0.0);
        }
    }
    Ok(report)
}

/// The weights that `--init` means: a file, or those that a run would stand by: picked on what it held out, else on
/// validation, else the last.
///
/// # Errors
/// A folder without weights.
pub(crate) fn weights_of(path: &Path) -> Result<PathBuf, TrainError> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let run = RunFolder::at(path);
    [run.best_holdout(), run.best(), run.last()].into_iter().find(|file| file.is_file()).ok_or_else(|| {
        TrainError::Run { path: path.to_path_buf(), problem: "holds no weights to start from".into() }
    })
}

/// The run in whose folder the weights lie, and its settings.
fn run_of(weights: &Path) -> Option<(RunFolder, TrainConfig)> {
    let root = weights.parent().filter(|folder| folder.ends_with("weights"))?.parent()?;
    RunFolder::open(root).ok()
}

/// Whether the run of these weights trained the same network on the same set with the same seed: going on from them, each epoch
/// would come in its order and with its crops again.
pub(crate) fn repeats_draws(weights: &Path, config: &TrainConfig) -> bool {
    run_of(weights).is_some_and(|(_, theirs)| {
        let of = |config: &TrainConfig| (config.seed, config.model, config.train.clone(), config.input);
        of(&theirs) == of(config)
    })
}

/// The metric of weights in a run's folder on the validation set, where that is the one of `config` and the run has
/// ended.
pub(crate) fn known_metric(file: &Path, config: &TrainConfig) -> Option<f64> {
    if config.labels.is_some() {
        // Which ground is validated on depends on more than paths.
        return None;
    }
    let (run, theirs) = run_of(file)?;
    let same = |config: &TrainConfig| {
        let classes = (config.class_map.clone(), config.ignore.clone());
        // A run keeps its list of exclusions in its own folder.
        (config.val.clone(), config.validation_limit(), config.resize, classes, config.exclude.is_some())
    };
    let ended = run.protocol().is_file();
    if !ended || same(&theirs) != same(config) {
        return None;
    }
    let picks = Picks::of(&record::read(&run.metrics_jsonl()).ok()?)?;
    let (_, pick) = picks.rows().into_iter().find(|(_, pick)| file.ends_with(pick.file))?;
    Some(pick.validation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hectare_kernels::Isa;
    use hectare_net::{ModelCard, ModelSpec, Predictor, build, initialise, weights};

    fn spec(model: ModelKind) -> ModelSpec {
        ModelSpec { width: 0.03125, classes: 5, ..ModelSpec::new(model) }
    }

    /// A network of another seed than its child's, with upsampling and biases off their start.
    fn parent_file(folder: &Path, spec: &ModelSpec) -> PathBuf {
        let network = build(spec).unwrap();
        let mut params = initialise(&network, 7);
        params.values.iter_mut().enumerate().for_each(|(i, x)| *x += 0.01 * ((i % 13) as f32 - 6.0));
        let path = folder.join(format!("{}.safetensors", spec.model));
        weights::write(&path, &ModelCard::new(spec.clone()), &params).unwrap();
        path
    }

    #[test]
    fn the_coarsest_scores_are_the_parents() {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<f32> = (0..70 * 45 * 3).map(|i| ((i * 37 % 101) as f32 - 50.0) / 30.0).collect();
        for (parent, child) in [
            (ModelKind::Fcn32s, ModelKind::Fcn16s),
            (ModelKind::Fcn32s, ModelKind::Fcn8s),
            (ModelKind::Fcn16s, ModelKind::Fcn8s),
            (ModelKind::Fcn16s, ModelKind::Fcn32s),
            (ModelKind::Fcn8s, ModelKind::Fcn32s),
            (ModelKind::Fcn8s, ModelKind::Fcn16s),
        ] {
            let path = parent_file(folder.path(), &spec(parent));
            let scores = |network: &Network, params: &Params, node: &str| {
                let mut predictor =
                    Predictor::ending_at(network.clone(), params.clone(), Isa::best(), node).unwrap();
                predictor.run(1, 70, 45, &image).unwrap().data.to_vec()
            };
            let theirs = weights::read_model(&path).unwrap();
            let network = build(&spec(child)).unwrap();
            let start = initialise(&network, 1);
            let mut params = start.clone();
            let file = weights::read(&path).unwrap();
            assert_eq!(relative(&file, child), Some(parent));
            load_relative(file, &network, &mut params, false).unwrap();
            let node = |model| if model == ModelKind::Fcn32s { "fcn32.6" } else { "score_fr" };
            let wanted = scores(&theirs.network, &theirs.params, node(parent));
            assert!(wanted.iter().any(|x| *x != 0.0));
            assert!(scores(&network, &params, node(child)) == wanted, "{parent} to {child}");
            let last = ["upscore.weight", "upscore16.weight", "upscore8.weight"];
            assert!(last.iter().all(|name| params.get(name) == start.get(name)), "{parent} to {child}");
            if parent != ModelKind::Fcn32s && child != ModelKind::Fcn32s {
                for shared in ["score_pool4.weight", "upscore2.weight"] {
                    assert_eq!(params.get(shared), theirs.params.get(shared));
                }
            }
            if parent == ModelKind::Fcn8s || child == ModelKind::Fcn32s {
                continue;
            }
            let zero = |name: &str| params.get(name).unwrap().iter().all(|x| *x == 0.0);
            let skip = if child == ModelKind::Fcn8s { "score_pool3" } else { "score_pool4" };
            assert!(zero(&format!("{skip}.weight")) && zero(&format!("{skip}.bias")));
        }
    }

    #[test]
    fn levels_of_the_scores_are_taken_along() {
        let folder = tempfile::tempdir().unwrap();
        let fcns = [ModelKind::Fcn32s, ModelKind::Fcn16s, ModelKind::Fcn8s];
        for (parent, child) in fcns.iter().flat_map(|parent| fcns.map(|child| (*parent, child))) {
            let untuned = weights::read(parent_file(folder.path(), &spec(parent))).unwrap();
            assert!(!has_output_bias(&untuned, child));
            let path = parent_file(folder.path(), &ModelSpec { output_bias: true, ..spec(parent) });
            let file = weights::read(&path).unwrap();
            assert!(has_output_bias(&file, child) && !has_output_bias(&file, ModelKind::Vgg16Unet));
            let theirs = file.get(parent.output_bias_name().unwrap()).unwrap().values().unwrap().into_owned();
            assert!(theirs.iter().any(|x| *x != 0.0));
            let network = build(&ModelSpec { output_bias: true, ..spec(child) }).unwrap();
            let mut params = initialise(&network, 1);
            match relative(&file, child) {
                Some(_) => load_relative(file, &network, &mut params, false).unwrap(),
                None => load_into(&file, &network, &mut params, false).unwrap(),
            };
            let ours = params.get(child.output_bias_name().unwrap()).unwrap();
            assert_eq!(ours, &theirs[..], "{parent} to {child}");
        }
    }

    #[test]
    fn only_fcns_of_the_same_shapes_begin_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = parent_file(folder.path(), &spec(ModelKind::Fcn16s));
        let read = || weights::read(&path).unwrap();
        for child in [ModelKind::Fcn16s, ModelKind::Vgg16, ModelKind::Vgg16Unet] {
            assert_eq!(relative(&read(), child), None);
        }
        let network = build(&ModelSpec { classes: 4, ..spec(ModelKind::Fcn8s) }).unwrap();
        let mut params = initialise(&network, 1);
        let error = load_relative(read(), &network, &mut params, false).unwrap_err().to_string();
        assert!(error.contains("score_fr.weight"), "{error}");
        load_relative(read(), &network, &mut params, true).unwrap();
        assert!(weights_of(folder.path()).unwrap_err().to_string().contains("no weights"));
    }
}
