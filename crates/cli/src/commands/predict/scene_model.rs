//! A model as scenes are mapped with it: of hectare's kinds of file, or ONNX.

use std::path::Path;

use hectare_data::class_map_file::read_class_map;
use hectare_map::{MapSettings, OnnxModel, OnnxSettings, SceneCard, Segmenter, Turned};

use crate::args::PredictArgs;
use crate::console;
use crate::failure::{Failure, OrFail};
use crate::model_file::Loaded;

/// A model that makes maps.
pub struct SceneModel {
    /// What scenes need to know of it.
    pub card: SceneCard,
    inner: Inner,
}

enum Inner {
    Own(Box<Loaded>),
    Onnx(Box<OnnxModel>),
}

impl SceneModel {
    /// Opens the file that the arguments name.
    ///
    /// # Errors
    /// A file that cannot be read, a model that makes no maps, flags that do not go with it (exit code 2).
    pub fn open(args: &PredictArgs) -> Result<SceneModel, Failure> {
        let path = &args.model.model_file;
        let model = if OnnxModel::is_one(path) { open_onnx(path, args)? } else { open_own(args)? };
        if let Some([h, w]) = model.card.resize {
            return Err(Failure::input(format_args!(
                "the model was trained on pictures scaled to {h}x{w}, so the size of its pixels on the ground is not known"
            ))
            .help("train with --input (crops) instead of --resize"));
        }
        Ok(model)
    }

    /// How far the network looks, where that is known.
    pub fn reach(&self) -> Option<usize> {
        match &self.inner {
            Inner::Own(loaded) => Some(loaded.network.reach()),
            Inner::Onnx(model) => model.reach(),
        }
    }

    /// The windows: the flags' (`tile`, `overlap`), else the model's, else the default.
    ///
    /// # Errors
    /// Windows that the model does not take (exit code 2).
    pub fn windows(&self, tile: Option<usize>, overlap: Option<usize>) -> Result<[usize; 2], Failure> {
        let default = MapSettings::default();
        let (mut own_tile, mut own_overlap) = (default.tile, default.overlap.unwrap_or(0));
        if let Inner::Onnx(model) = &self.inner {
            if let (Some(tile), Some(largest)) = (tile, model.largest())
                && tile > largest
            {
                return Err(Failure::input(format_args!(
                    "{} takes windows of at most {largest} pixels, and --tile says {tile}",
                    model.path().display()
                ))
                .help(format_args!("leave --tile out, or give {largest}")));
            }
            own_tile = model.tile().unwrap_or(own_tile);
            // A tile of the user's may be too small for the usual overlap.
            let most = tile.unwrap_or(own_tile) / 2 / 32 * 32;
            own_overlap = model.overlap().unwrap_or(own_overlap).min(most);
        }
        Ok([tile.unwrap_or(own_tile), overlap.unwrap_or(own_overlap)])
    }

    /// Refuses windows (rows and columns) that would not fit in memory, where that can be told.
    ///
    /// # Errors
    /// Names the bytes (exit code 2).
    pub fn check_memory(&self, [h, w]: [usize; 2]) -> Result<(), Failure> {
        let Inner::Own(loaded) = &self.inner else { return Ok(()) };
        let windows = format!("windows of {w} x {h}");
        let (misfit, input) = (format!("{windows} do not fit the network"), format!("{windows} pixels"));
        loaded.check_memory([h, w], &misfit, &input, "take smaller ones (--tile 512)")
    }

    /// The network, ready for windows; with `tta` it sees each in all its positions.
    ///
    /// # Errors
    /// Weights that do not fit the network (exit code 2).
    pub fn into_segmenter(self, tta: bool) -> Result<Box<dyn Segmenter>, Failure> {
        Ok(match (self.inner, tta) {
            (Inner::Own(loaded), false) => Box::new(loaded.into_segmenter()?),
            (Inner::Own(loaded), true) => Box::new(Turned(loaded.into_segmenter()?)),
            (Inner::Onnx(model), false) => model,
            (Inner::Onnx(model), true) => Box::new(Turned(*model)),
        })
    }
}

fn open_own(args: &PredictArgs) -> Result<SceneModel, Failure> {
    if let Some(flag) = args.onnx.given() {
        return Err(Failure::input(format_args!("{flag} goes with ONNX models (.onnx)")).help("leave it out"));
    }
    let loaded = Loaded::open(&args.model)?;
    if loaded.card.spec.model.is_classifier() {
        return Err(Failure::input("a classifier makes no maps").help("take a segmentation model"));
    }
    Ok(SceneModel { card: SceneCard::from(&loaded.card), inner: Inner::Own(Box::new(loaded)) })
}

fn open_onnx(path: &Path, args: &PredictArgs) -> Result<SceneModel, Failure> {
    let flags =
        [("--geometry", args.model.geometry.is_some()), ("--input-order", args.model.input_order.is_some())];
    if let Some((flag, _)) = flags.iter().find(|(_, given)| *given) {
        return Err(Failure::input(format_args!("{flag} does not go with ONNX models")).help("leave it out"));
    }
    let settings = OnnxSettings {
        classes: args.model.class_map.as_deref().map(read_class_map).transpose().or_input()?,
        bands: args.scene.bands.as_ref().map(|bands| bands.0.len()),
        tile: args.scene.tile,
        ..args.onnx.settings()
    };
    let model = OnnxModel::open(path, &settings).or_input()?;
    console::detail(format_args!("{}: {}", path.display(), model.summary()));
    Ok(SceneModel { card: model.card().clone(), inner: Inner::Onnx(Box::new(model)) })
}
