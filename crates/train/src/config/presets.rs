//! The recipes by name.

use std::path::PathBuf;

use hectare_net::{Geometry, Head, ModelKind};

use super::{
    ClassWeights, Epochs, Every, InputSize, LossTerms, OptimiserKind, Preset, ScheduleKind, Size, Task,
    TrainConfig,
};

/// The settings of a preset. `pretrained`: whether weights are given to start from, which lowers the rate
/// of a segmentation network's trunk.
pub(super) fn preset(task: Task, preset: Preset, model: ModelKind, pretrained: bool) -> TrainConfig {
    match (task, preset) {
        (Task::Classify, Preset::Course) => TrainConfig {
            weight_decay: 0.01,
            batch_size: 128,
            epochs: 15,
            rotate: 15.0,
            flip_h: true,
            // torchvision's RandomResizedCrop takes 8 % to 100 % of the area.
            crop_area: [0.08, 1.0],
            ..course(task, model)
        },
        (Task::Segment, Preset::Course) => TrainConfig {
            weight_decay: 5e-4,
            batch_size: 8,
            epochs: if model == ModelKind::Fcn32s { 50 } else { 80 },
            geometry: Geometry::Caffe,
            input: InputSize::Whole,
            class_weights: ClassWeights::List(vec![0.79, 0.14, 1.0, 0.73, 2.74, 1.04, 1.0]),
            ..course(task, model)
        },
        (Task::Classify, Preset::Modern) => TrainConfig {
            batch_size: 64,
            epochs: 15,
            lr: 1e-3,
            trunk_lr_factor: if pretrained { 0.1 } else { 1.0 },
            weight_decay: 0.05,
            label_smoothing: 0.1,
            flip_h: true,
            crop_area: [0.45, 1.0],
            ..modern(task, model)
        },
        (Task::Segment, Preset::Modern) => TrainConfig {
            batch_size: 8,
            epochs: 40,
            lr: 2e-4,
            trunk_lr_factor: if pretrained { 0.1 } else { 1.0 },
            weight_decay: 0.01,
            ignore: vec!["Unknown".into()],
            input: InputSize::Fixed(Size::square(256)),
            flip_h: true,
            flip_v: true,
            quarter_turns: true,
            scale: [0.75, 1.5],
            ..modern(task, model)
        },
    }
}

/// What the report's two recipes share: SGD at a constant rate (its steps were never taken), decay on
/// everything as PyTorch does.
fn course(task: Task, model: ModelKind) -> TrainConfig {
    TrainConfig {
        preset: Preset::Course,
        optimiser: OptimiserKind::Sgd,
        lr: 1e-3,
        trunk_lr_factor: 1.0,
        decay_biases: true,
        balance: false,
        schedule: ScheduleKind::Constant,
        warmup_epochs: 0.0,
        ..modern(task, model)
    }
}

fn modern(task: Task, model: ModelKind) -> TrainConfig {
    TrainConfig {
        task,
        preset: Preset::Modern,
        model,
        train: PathBuf::new(),
        val: PathBuf::new(),
        labels: None,
        val_labels: None,
        class_field: "lc".into(),
        bands: None,
        levels: None,
        windows: None,
        out: PathBuf::new(),
        init: None,
        init_order: None,
        partial: false,
        balance: true,
        class_map: None,
        exclude: None,
        ignore: Vec::new(),
        width: 1.0,
        geometry: Geometry::Modern,
        head: Head::Linear,
        head_width: 4096,
        head_kernel: 7,
        input: InputSize::Fixed(Size::square(128)),
        resize: None,
        holdout: 0.0,
        epochs: 1,
        steps: None,
        hours: None,
        batch_size: 1,
        accumulate: 1,
        seed: 1,
        limit: None,
        val_limit: None,
        optimiser: OptimiserKind::AdamW,
        lr: 1e-3,
        trunk_lr_factor: 1.0,
        lr_factor: Vec::new(),
        freeze: Vec::new(),
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decay_biases: false,
        clip_norm: None,
        schedule: ScheduleKind::Cosine,
        warmup_epochs: 0.5,
        poly_power: 0.9,
        ema: 0.0,
        loss: LossTerms::default(),
        class_weights: ClassWeights::None,
        label_smoothing: 0.0,
        flip_h: false,
        flip_v: false,
        quarter_turns: false,
        rotate: 0.0,
        crop_area: [1.0, 1.0],
        crop_aspect: [0.75, 4.0 / 3.0],
        scale: [1.0, 1.0],
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
        checkpoint_every: Every::Seconds(600.0),
        validate_every: 1,
        keep_epochs: Epochs::None,
        snapshot: None,
        snapshot_epochs: None,
        device: "cpu".into(),
        threads: None,
        workers: 1,
        cache: true,
        recompute: false,
        verify: false,
    }
}
