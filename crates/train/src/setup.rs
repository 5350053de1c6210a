//! Everything that happens before the first step and may refuse: data, classes, network, weights to start
//! from, memory. Nothing is written here.

use std::path::Path;

use hectare_data::class_map_file::read_class_map;
use hectare_data::{Exclusion, GroundFacts, normalise_into, read_image, resize};
use hectare_kernels::Isa;
use hectare_net::weights::{InputOrder, LoadRow};
use hectare_net::{
    Class, ClassMap, ModelCard, ModelSpec, Network, Normalisation, Params, Shape, build, initialise,
    weights as weight_files,
};

use crate::balance::{PICTURES, balance_trunk};
use crate::config::{InputSize, Task, TrainConfig};
use crate::error::TrainError;
use crate::events::Observer;
use crate::memory;
use crate::optimiser::{check_patterns, in_trunk};
use crate::scene_sets::{OpenGround, SceneSets};
use crate::sets::{Facts, Sets, class_weights};
use crate::snapshot::Snapshots;
use crate::transfer::{
    Parent, has_output_bias, known_metric, load_relative, relative, repeats_draws, weights_of,
};

/// A run that is ready to begin.
pub(crate) struct Setup {
    pub card: ModelCard,
    pub network: Network,
    pub params: Params,
    pub sets: Sets,
    /// Weights of the classes in the loss.
    pub weights: Option<Vec<f32>>,
    /// Masks to keep (segmentation).
    pub snapshots: Option<Snapshots>,
    /// Rows and columns of the (largest) training input.
    pub input: [usize; 2],
    /// Bytes that decoded pictures may take.
    pub cache_bytes: u64,
    /// The network of another stride that this one begins as.
    pub parent: Option<Parent>,
    /// Lines for people, in order.
    pub lines: Vec<String>,
}

impl Setup {
    /// Prepares a run. `checkpoint`: the weights to go on from; they stand in for `init`. `scenes` opens those that the
    /// settings name.
    pub fn new(
        config: &TrainConfig,
        checkpoint: Option<&Path>,
        scenes: Option<&dyn OpenGround>,
        observer: &dyn Observer,
    ) -> Result<Setup, TrainError> {
        let mut lines = Vec::new();
        let init = config.init.as_deref().filter(|_| checkpoint.is_none()).map(weights_of).transpose()?;
        if let (Some(file), Some(given)) = (&init, &config.init)
            && file != given
        {
            lines.push(format!("starting from {}", file.display()));
        }
        let mut start = match checkpoint.or(init.as_deref()) {
            Some(path) => Some(weight_files::read(path).map_err(TrainError::net)?),
            None => None,
        };
        if let (Some(file), None, Some(order)) = (&mut start, checkpoint, config.init_order) {
            if file.metadata.is_some() && order != file.order {
                let path = file.path.display();
                return Err(TrainError::Input(format!(
                    "{path} says itself what it takes: leave --init-order out"
                )));
            }
            file.order = order;
        }
        let start_card = match start.as_ref().and_then(|file| Some((file, file.metadata.as_ref()?))) {
            Some((file, value)) => Some(ModelCard::from_json(&value.to_string()).map_err(|error| {
                TrainError::Input(format!("{}: its description is damaged: {error}", file.path.display()))
            })?),
            None => None,
        };
        let start_card = start_card.as_ref();
        let excluded = match &config.exclude {
            Some(list) => {
                let excluded = Exclusion::read(list).map_err(TrainError::data)?;
                let (list, there, all) = (list.display(), excluded.present(), excluded.len());
                lines.push(match there {
                    0 => format!(
                        "none of the {all} files in {list} is there (paths are relative to the list's folder): nothing is \
                         left out"
                    ),
                    _ => format!("{there} of the {all} files in {list} are there and left out"),
                });
                excluded
            }
            None => Exclusion::default(),
        };
        let (mut sets, classes) = match config.labels {
            Some(_) => {
                let mut classes = segmentation_classes(config, start_card)?;
                ignore(config, &mut classes)?;
                let known = start_card.and_then(|card| card.scene.as_ref());
                let sets = SceneSets::open(config, &classes, known, scenes, observer, &mut lines)?;
                (Sets::Scenes(Box::new(sets)), classes)
            }
            None => open(config, start_card, &excluded)?,
        };
        if let (None, None, Some(_)) = (checkpoint, &config.class_map, start_card) {
            let kept =
                |class: &&Class| class.ignored && !config.ignore.iter().any(|name| is_called(class, name));
            for class in classes.classes.iter().filter(kept) {
                let name = &class.name;
                lines.push(format!(
                    "{name} is left out of the loss and never predicted, as in the weights to start from (--class-map gives \
                     other classes)"
                ));
            }
        }
        if let orphans @ 1.. = sets.orphans().len() {
            lines.push(format!("{orphans} pictures or masks without a partner are left out"));
        }
        let mut facts = sets.verify(config, &classes, observer).map_err(|error| {
            match (&config.class_map, &config.init) {
                (None, Some(init))
                    if start_card.is_some_and(|card| card.classes.names() == classes.names()) =>
                {
                    let init = init.display();
                    TrainError::Input(format!(
                        "{error}; the class map is the one of {init}, --class-map gives another"
                    ))
                }
                _ => error,
            }
        })?;
        sets.hold_out(config.holdout, &mut facts)?;
        let input = input_size(config, &facts, &mut lines)?;
        let mut card = card(config, &sets, classes, start_card, input)?;
        card.spec.output_bias = start.as_ref().is_some_and(|file| has_output_bias(file, config.model));
        let network = build(&card.spec).map_err(TrainError::net)?;
        check_patterns(config, network.layout())?;
        let mut params = initialise(&network, config.seed);
        let mut parent = None;
        if let Some(mut file) = start {
            if file.order != InputOrder::Rgb {
                lines.push(format!("input {} folded into the first convolution", file.order));
                file.fold_input(&colours(&card.normalisation)).map_err(TrainError::net)?;
            }
            let first = file.get("features.0.weight").and_then(|weight| weight.shape.get(1).copied());
            let inflated = config.labels.is_some()
                && first.is_some_and(|bands| bands != card.spec.bands)
                && file.inflate_input(card.spec.bands).map_err(TrainError::net)?;
            if inflated {
                lines.push(format!(
                    "the first layer is brought from 3 bands to {}: {}, all times {:.3}",
                    card.spec.bands,
                    match card.spec.bands {
                        ..3 => "each begins with the mean of red, green and blue",
                        _ => "red, green and blue keep theirs, the others begin with their mean",
                    },
                    3.0 / card.spec.bands as f64
                ));
            }
            let partial = config.partial && checkpoint.is_none();
            let relative = relative(&file, config.model).filter(|_| checkpoint.is_none());
            let report = match relative {
                Some(model) => {
                    let path = file.path.clone();
                    let report = load_relative(file, &network, &mut params, partial)?;
                    // A network of other bands cannot be shown this ground.
                    parent = (!inflated).then(|| Parent {
                        model,
                        metric: known_metric(&path, config),
                        file: path.clone(),
                    });
                    report
                }
                None => {
                    weight_files::load_into(&file, &network, &mut params, partial).map_err(TrainError::net)?
                }
            };
            if checkpoint.is_none() {
                lines.extend(report.to_string().lines().map(str::to_string));
                if init.as_deref().is_some_and(|file| repeats_draws(file, config)) {
                    lines.push(format!(
                        "the run of these weights had --seed {} too: its order and its crops come again, another seed draws others",
                        config.seed
                    ));
                }
                let head = |row: &LoadRow| row.is_loaded() && !in_trunk(&row.name);
                if config.balance && !report.rows.iter().any(head) {
                    lines.push(balance(&network, &mut params, &card, &sets, input)?);
                }
            } else if start_card != Some(&card) {
                return Err(TrainError::Run {
                    path: checkpoint.unwrap_or(Path::new("")).to_path_buf(),
                    problem: "the classes or the network of the checkpoint are not those of the data and config.toml \
                              any more"
                        .into(),
                });
            }
        }
        let weights = class_weights(config, &card.classes, &facts.class_counts)?;
        if let Some(weights) = &weights {
            let of = |(class, weight): (&Class, &f32)| format!("{} {weight:.3}", class.name);
            let list: Vec<String> = card.classes.classes.iter().zip(weights).map(of).collect();
            lines.push(format!("class weights: {}", list.join(", ")));
        }
        let snapshots = match &sets {
            Sets::Classify { .. } => None,
            Sets::Scenes(scenes) => {
                let names: Vec<&str> = scenes.val.iter().map(|plot| plot.name.as_str()).collect();
                Some(Snapshots::choose(config, &names, &facts.val_pixels)?)
            }
            Sets::Segment { val, .. } => {
                let stems: Vec<&str> = val.samples.iter().map(|sample| sample.stem.as_str()).collect();
                Some(Snapshots::choose(config, &stems, &facts.val_pixels)?)
            }
        };
        let available = memory::available_bytes();
        let [h, w] = input;
        let n = config.batch_size.min(sets.lens().train);
        let shape = Shape::new(card.spec.bands, h, w);
        let needs = memory::needs(
            &network,
            config,
            n,
            shape,
            largest_validation(config, &facts, input, card.spec.bands),
        )?;
        lines.push(needs.describe(available));
        needs.check(config, available)?;
        // What is left beside the run, halved: the estimate is one, and the machine is not ours alone.
        let cache_bytes = available.map_or(1 << 30, |available| available.saturating_sub(needs.total) / 2);
        Ok(Setup { card, network, params, sets, weights, snapshots, input, cache_bytes, parent, lines })
    }
}

/// The data sets and their classes.
fn open(
    config: &TrainConfig,
    start: Option<&ModelCard>,
    excluded: &Exclusion,
) -> Result<(Sets, ClassMap), TrainError> {
    let (sets, mut classes) = match config.task {
        Task::Classify => {
            let given = given_classes(config)?;
            let names = given.as_ref().map(ClassMap::names);
            let sets = Sets::open_classification(config, names.as_deref(), excluded)?;
            let Sets::Classify { train, .. } = &sets else { unreachable!("opened for classification") };
            let names = &train.class_names;
            if !(2..=256).contains(&names.len()) {
                return Err(TrainError::Input(format!(
                    "{}: {} classes; a classifier needs 2 to 256",
                    config.train.display(),
                    names.len()
                )));
            }
            let mut classes = given.unwrap_or_else(|| ClassMap::numbered(names.len()));
            for (class, name) in classes.classes.iter_mut().zip(names) {
                class.name.clone_from(name);
            }
            (sets, classes)
        }
        Task::Segment => {
            let classes = segmentation_classes(config, start)?;
            (Sets::open_segmentation(config, excluded)?, classes)
        }
    };
    ignore(config, &mut classes)?;
    Ok((sets, classes))
}

/// The class map of the settings.
fn given_classes(config: &TrainConfig) -> Result<Option<ClassMap>, TrainError> {
    config.class_map.as_deref().map(|path| read_class_map(path).map_err(TrainError::data)).transpose()
}

/// The class map of the settings, else of the weights to start from, else the course's.
fn segmentation_classes(config: &TrainConfig, start: Option<&ModelCard>) -> Result<ClassMap, TrainError> {
    // The classes of a classifier say nothing about masks.
    let carried = start.filter(|card| !card.spec.model.is_classifier()).map(|card| card.classes.clone());
    Ok(given_classes(config)?.or(carried).unwrap_or_else(ClassMap::course))
}

/// Whether that is the class's name or number.
fn is_called(class: &Class, wanted: &str) -> bool {
    class.name.eq_ignore_ascii_case(wanted) || wanted.parse().is_ok_and(|id: u8| id == class.id)
}

/// Marks the classes that the settings ignore.
fn ignore(config: &TrainConfig, classes: &mut ClassMap) -> Result<(), TrainError> {
    for wanted in &config.ignore {
        match classes.classes.iter_mut().find(|class| is_called(class, wanted)) {
            Some(class) => class.ignored = true,
            // The preset names it without knowing the class map.
            None if wanted.eq_ignore_ascii_case("unknown") => {}
            None => {
                let names = classes.names().join(", ");
                return Err(TrainError::Input(format!(
                    "--ignore {wanted}: no such class (there are {names})"
                )));
            }
        }
    }
    if classes.classes.iter().all(|class| class.ignored) {
        return Err(TrainError::Input("every class is ignored".into()));
    }
    Ok(())
}

/// The normalisation of red, green and blue, for weights that are folded into it.
fn colours(normalisation: &Normalisation) -> Normalisation {
    match normalisation.mean.len() {
        ..3 => Normalisation::default(),
        _ => Normalisation { mean: normalisation.mean[..3].to_vec(), std: normalisation.std[..3].to_vec() },
    }
}

/// Rows and columns of the training input; with whole pictures the largest.
fn input_size(
    config: &TrainConfig,
    facts: &Facts,
    lines: &mut Vec<String>,
) -> Result<[usize; 2], TrainError> {
    let scaled = |size: [usize; 2]| config.resize.map_or([size[1], size[0]], |size| [size.h, size.w]);
    let sizes = || facts.train_sizes.iter().map(|size| scaled(*size));
    match config.input {
        InputSize::Fixed(size) if config.task == Task::Classify => Ok([size.h, size.w]),
        InputSize::Fixed(size) => {
            let least = sizes().flatten().min().unwrap_or(size.h);
            if least < size.h {
                let of = if config.labels.is_some() { "scene" } else { "picture" };
                lines.push(format!("crops of {least} instead of {}: the smallest {of}'s side", size.h));
            }
            Ok([size.h.min(least); 2])
        }
        InputSize::Whole => {
            let first = sizes().next().unwrap_or([1, 1]);
            if config.batch_size > 1
                && let Some(other) = sizes().find(|size| *size != first)
            {
                return Err(TrainError::Input(format!(
                    "the training pictures have different sizes ({}x{} and {}x{}, height first); give --input for crops \
                     of one size, --resize, or --batch-size 1",
                    first[0], first[1], other[0], other[1]
                )));
            }
            Ok(sizes().max_by_key(|size| size[0] * size[1]).unwrap_or(first))
        }
    }
}

/// Rescales the trunk on the first training pictures (see [`balance_trunk`]) and says so.
fn balance(
    network: &Network,
    params: &mut Params,
    card: &ModelCard,
    sets: &Sets,
    [h, w]: [usize; 2],
) -> Result<String, TrainError> {
    let len = h * w * card.spec.bands;
    let images = match sets {
        Sets::Scenes(scenes) => scenes.first_windows(card, PICTURES, 0)?,
        _ => {
            let paths = sets.train_images();
            let paths = &paths[..paths.len().min(PICTURES)];
            let mut images = vec![0.0; paths.len() * len];
            for (path, out) in paths.iter().zip(images.chunks_exact_mut(len)) {
                let image = read_image(path).map_err(TrainError::data)?;
                normalise_into(&resize(&image, w, h), &card.normalisation, out);
            }
            images
        }
    };
    let size = [images.len() / len.max(1), h, w];
    let sizes = balance_trunk(network, params, &card.spec, Isa::best(), &images, size)?;
    Ok(match sizes.as_slice() {
        [] => "the trunk keeps its scale".into(),
        [first, .., last] => format!(
            "trunk rescaled so that activations have size 1 (first layer {first:.2}, largest {:.2}, last {last:.2})",
            sizes.iter().copied().fold(0.0, f64::max)
        ),
        [only] => format!("trunk rescaled so that activations have size 1 ({only:.2})"),
    })
}

/// What travels with the weights. Normalisation comes from the weights to start from.
fn card(
    config: &TrainConfig,
    sets: &Sets,
    classes: ClassMap,
    start: Option<&ModelCard>,
    input: [usize; 2],
) -> Result<ModelCard, TrainError> {
    let mut spec = ModelSpec::new(config.model);
    if let Sets::Scenes(scenes) = sets {
        spec.bands = scenes.bands();
    }
    spec.classes = classes.len();
    spec.width = config.width;
    spec.geometry = config.geometry;
    spec.head = config.head;
    spec.head_width = config.head_width;
    spec.head_kernel = config.head_kernel;
    if config.task == Task::Classify {
        spec.input = input;
    }
    let mut card = ModelCard::new(spec);
    card.classes = classes;
    if let Some(start) = start.filter(|start| start.spec.bands == card.spec.bands) {
        card.normalisation = start.normalisation.clone();
    }
    card.resize = config.resize.map(|size| [size.h, size.w]);
    match sets {
        Sets::Scenes(scenes) => scenes.describe_in(&mut card, start),
        // Scaled pictures have pixels of another size.
        Sets::Segment { train, .. } if card.resize.is_none() => {
            let facts = GroundFacts::read(&train.root).map_err(TrainError::data)?.unwrap_or_default();
            (card.ground_resolution, card.scene) = (facts.ground_resolution, facts.scene);
        }
        Sets::Segment { .. } | Sets::Classify { .. } => {}
    }
    Ok(card)
}

/// Pictures in a validation batch and the shape of the largest.
fn largest_validation(
    config: &TrainConfig,
    facts: &Facts,
    input: [usize; 2],
    bands: usize,
) -> (usize, Shape) {
    let held_out = if config.holdout > 0.0 { &facts.train_sizes[..] } else { &[] };
    if config.task == Task::Classify {
        let n = config.batch_size.min(facts.val_sizes.len().max(held_out.len()).max(1));
        return (n, Shape::new(bands, input[0], input[1]));
    }
    let sizes = facts.val_sizes.iter().chain(held_out);
    let largest = sizes.max_by_key(|size| size[0] * size[1]).copied().unwrap_or([32, 32]);
    let [h, w] = config.resize.map_or([largest[1], largest[0]], |size| [size.h, size.w]);
    (1, Shape::new(bands, h, w))
}
