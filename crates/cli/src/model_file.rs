//! A trained model from its file, with what the flags say instead of the file.

use std::collections::HashSet;
use std::path::Path;

use hectare_data::class_map_file::read_class_map;
use hectare_kernels::Isa;
use hectare_map::NetworkSegmenter;
use hectare_net::weights::{self, LoadedModel, Overrides, WeightError};
use hectare_net::{Mode, ModelCard, Network, Params, Shape, estimate_memory};
use hectare_train::{FeatureModel, Model};

use crate::args::ModelFileArgs;
use crate::console;
use crate::failure::{Failure, OrFail, check_memory};

/// What a model file holds.
pub struct Loaded {
    /// The description.
    pub card: ModelCard,
    /// The network.
    pub network: Network,
    /// Its numbers.
    pub params: Params,
}

impl From<LoadedModel> for Loaded {
    fn from(LoadedModel { card, network, params, .. }: LoadedModel) -> Loaded {
        Loaded { card, network, params }
    }
}

impl Loaded {
    /// Reads the file of a run.
    ///
    /// # Errors
    /// A file that is not there, is damaged or holds a NaN.
    pub fn read(path: &Path) -> Result<Loaded, WeightError> {
        weights::read_model(path).map(Loaded::from)
    }

    /// Reads the file and lays the flags over what it says.
    ///
    /// # Errors
    /// As [`Loaded::read`], and flags that do not fit the file (exit code 2).
    pub fn open(args: &ModelFileArgs) -> Result<Loaded, Failure> {
        let classes = args.class_map.as_deref().map(read_class_map).transpose().or_input()?;
        let overrides = Overrides { geometry: args.geometry, classes, order: args.input_order };
        let model = weights::read_model_with(&args.model_file, &overrides).map_err(|error| {
            let failure = Failure::input(&error);
            match (&error, &args.class_map) {
                (WeightError::Card { .. }, Some(file)) => {
                    failure.help(format_args!("is {} the class map it was trained with?", file.display()))
                }
                _ => failure,
            }
        })?;
        let model_kind = model.card.spec.model;
        if args.geometry.is_some() && !model_kind.is_fcn() {
            return Err(
                Failure::input(format_args!("--geometry does not go with {model_kind}")).help("leave it out")
            );
        }
        model.warnings.iter().for_each(console::warn);
        let Loaded { card, network, params } = Loaded::from(model);
        console::detail(format_args!(
            "{}: {}, {} classes, width {}, {} parameters",
            args.model_file.display(),
            card.spec.model,
            card.spec.classes,
            card.spec.width,
            network.layout().total
        ));
        Ok(Loaded { card, network, params })
    }

    /// Refuses pictures of a size (width and height) that the network cannot take or that would not fit in
    /// memory, before work begins.
    ///
    /// # Errors
    /// Names the picture, and the node and the shapes or the bytes (exit code 2).
    pub fn check_sizes<'a>(
        &self,
        pictures: impl Iterator<Item = (&'a Path, [usize; 2])>,
    ) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        for (path, [width, height]) in pictures {
            let [h, w] = self.card.resize.unwrap_or([height, width]);
            if !seen.insert([h, w]) {
                continue;
            }
            let picture = format!("{} ({width}x{height} pixels)", path.display());
            let misfit = format!("{picture} does not fit the network");
            self.check_memory([h, w], &misfit, &picture, "cut the picture into tiles")?;
        }
        Ok(())
    }

    /// Refuses inputs of `h` rows and `w` columns that the network cannot take, which is the `misfit`, or that would not
    /// fit in memory.
    ///
    /// # Errors
    /// Names the node and the shapes or the bytes (exit code 2).
    pub fn check_memory(
        &self,
        [h, w]: [usize; 2],
        misfit: &str,
        input: &str,
        remedy: &str,
    ) -> Result<(), Failure> {
        let shape = Shape { c: self.card.spec.bands, h, w };
        let needs = estimate_memory(&self.network, 1, shape, Mode::Predict)
            .map_err(|error| Failure::input(format_args!("{misfit}: {error}")))?;
        // The parameters are in memory already.
        check_memory(format_args!("{input} would need"), needs.total - needs.parameters, remedy)
    }

    /// The network as maps are made with it.
    ///
    /// # Errors
    /// Weights that do not fit the network (exit code 2).
    pub fn into_segmenter(self) -> Result<NetworkSegmenter, Failure> {
        NetworkSegmenter::new(self.network, self.params, self.card.spec.classes, Isa::best()).or_input()
    }

    /// The model, ready to be applied.
    ///
    /// # Errors
    /// A description that does not fit the network (exit code 2).
    pub fn into_model(self) -> Result<Model, Failure> {
        Model::new(self.card, self.network, self.params, Isa::best()).or_input()
    }

    /// The network up to a node.
    ///
    /// # Errors
    /// As [`Loaded::into_model`], and a node that the network has not (exit code 2).
    pub fn into_features(self, node: Option<&str>, average: bool) -> Result<FeatureModel, Failure> {
        FeatureModel::new(&self.card, self.network, self.params, Isa::best(), node, average).or_input()
    }
}
