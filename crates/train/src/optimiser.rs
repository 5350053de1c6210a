//! The optimiser's settings, its groups of parameters and its state: flat buffers beside the weights.

use std::ops::Range;

use hectare_kernels::optim::{AdamW, Sgd, adamw, sgd};
use hectare_kernels::{AlignedVec, Isa, elementwise};
use hectare_net::{ParamLayout, Role};

use crate::config::{OptimiserKind, TrainConfig, fits};
use crate::error::TrainError;

/// Whether a parameter belongs to the trunk, whose rate has a factor of its own.
pub fn in_trunk(name: &str) -> bool {
    name.starts_with("features.")
}

/// The factor on the rate of the parameter of that name: 0 where it is frozen, the one of the last pattern that
/// fits, else the trunk's or 1.
pub fn lr_factor(config: &TrainConfig, name: &str) -> f64 {
    if config.freeze.iter().any(|pattern| fits(pattern, name)) {
        return 0.0;
    }
    match config.lr_factor.iter().rev().find(|factor| fits(&factor.pattern, name)) {
        Some(factor) => factor.factor,
        None if in_trunk(name) => config.trunk_lr_factor,
        None => 1.0,
    }
}

/// The largest factor in the trunk, whose first layers may be frozen.
pub fn trunk_lr_factor(config: &TrainConfig, layout: &ParamLayout) -> f64 {
    let trunk = layout.entries.iter().filter(|entry| in_trunk(&entry.name));
    trunk.map(|entry| lr_factor(config, &entry.name)).fold(0.0, f64::max)
}

/// Refuses patterns that fit no parameter, and settings under which nothing is trained.
///
/// # Errors
/// [`TrainError::Input`], naming the flag.
pub(crate) fn check_patterns(config: &TrainConfig, layout: &ParamLayout) -> Result<(), TrainError> {
    let factors = config.lr_factor.iter().map(|factor| ("lr-factor", &factor.pattern));
    for (flag, pattern) in config.freeze.iter().map(|pattern| ("freeze", pattern)).chain(factors) {
        if !layout.entries.iter().any(|entry| fits(pattern, &entry.name)) {
            let first = layout.entries.first().map_or("", |entry| &entry.name);
            let last = layout.entries.last().map_or("", |entry| &entry.name);
            return Err(TrainError::Input(format!(
                "--{flag} {pattern}: no node of {} has such a name (they go from {first} to {last})",
                config.model
            )));
        }
    }
    if layout.entries.iter().all(|entry| lr_factor(config, &entry.name) == 0.0) {
        return Err(TrainError::Input("every layer is frozen; nothing would be trained".into()));
    }
    Ok(())
}

/// Parameters next to each other with the same settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which numbers of the flat buffers.
    pub range: Range<usize>,
    /// Factor on the rate.
    pub lr_factor: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// Divides the parameters into groups: the trunk has its own rate, and only weights decay unless the
/// settings say that everything does.
pub fn groups(config: &TrainConfig, layout: &ParamLayout) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for entry in &layout.entries {
        let decays = config.decay_biases || entry.role == Role::Weight;
        let group = Group {
            range: entry.range.clone(),
            lr_factor: lr_factor(config, &entry.name),
            weight_decay: if decays { config.weight_decay } else { 0.0 },
        };
        match groups.last_mut() {
            Some(last)
                if last.range.end == group.range.start
                    && last.lr_factor == group.lr_factor
                    && last.weight_decay == group.weight_decay =>
            {
                last.range.end = group.range.end;
            }
            _ => groups.push(group),
        }
    }
    groups
}

/// One optimiser over all parameters of a network.
#[derive(Debug)]
pub struct Optimiser {
    kind: OptimiserKind,
    momentum: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    clip_norm: Option<f64>,
    groups: Vec<Group>,
    slots: Vec<AlignedVec>,
}

impl Optimiser {
    /// An optimiser at its start.
    pub fn new(config: &TrainConfig, layout: &ParamLayout) -> Optimiser {
        let slots = (0..Optimiser::slots_of(config.optimiser)).map(|_| AlignedVec::zeroed(layout.total));
        Optimiser {
            kind: config.optimiser,
            momentum: config.momentum,
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            clip_norm: config.clip_norm,
            groups: groups(config, layout),
            slots: slots.collect(),
        }
    }

    /// Numbers of state per parameter.
    pub fn slots_of(kind: OptimiserKind) -> usize {
        match kind {
            OptimiserKind::Sgd => 1,
            OptimiserKind::AdamW => 2,
        }
    }

    /// The state: velocity (SGD), or first and second moment (AdamW).
    pub fn slots(&self) -> &[AlignedVec] {
        &self.slots
    }

    /// Takes over saved state. `false` if it does not fit this optimiser.
    #[must_use]
    pub fn restore(&mut self, slots: Vec<AlignedVec>) -> bool {
        let lengths = |slots: &[AlignedVec]| slots.iter().map(|slot| slot.len()).collect::<Vec<_>>();
        let fits = lengths(&slots) == lengths(&self.slots);
        if fits {
            self.slots = slots;
        }
        fits
    }

    /// Changes `weights` by `gradients` at rate `lr`. `step` counts from 1. Long gradients are scaled down in
    /// place first if the settings say so.
    pub fn step(&mut self, isa: Isa, lr: f64, step: u64, weights: &mut [f32], gradients: &mut [f32]) {
        if let Some(longest) = self.clip_norm {
            let norm = elementwise::squared_norm(isa, gradients).sqrt();
            if norm > longest {
                elementwise::scale(isa, gradients, (longest / norm) as f32);
            }
        }
        for group in self.groups.iter().filter(|group| group.lr_factor > 0.0) {
            let range = group.range.clone();
            let (w, g) = (&mut weights[range.clone()], &gradients[range.clone()]);
            let (lr, weight_decay) = (lr * group.lr_factor, group.weight_decay);
            match (self.kind, &mut self.slots[..]) {
                (OptimiserKind::Sgd, [velocity]) => {
                    let settings = Sgd { lr, momentum: self.momentum, weight_decay };
                    sgd(isa, &settings, w, g, &mut velocity[range]);
                }
                (OptimiserKind::AdamW, [m, v]) => {
                    let Optimiser { beta1, beta2, eps, .. } = *self;
                    let settings = AdamW { lr, beta1, beta2, eps, weight_decay, step };
                    adamw(isa, &settings, w, g, &mut m[range.clone()], &mut v[range]);
                }
                _ => unreachable!("the number of slots follows from the kind"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, Task};
    use hectare_net::{ModelKind, ModelSpec, build};

    fn layout(model: ModelKind) -> std::sync::Arc<ParamLayout> {
        let spec = ModelSpec { width: 0.03125, ..ModelSpec::new(model) };
        build(&spec).unwrap().layout().clone()
    }

    #[test]
    fn trunk_and_biases_have_groups() {
        let layout = layout(ModelKind::Vgg16Bn);
        let config = TrainConfig::preset(Task::Classify, Preset::Modern, ModelKind::Vgg16Bn, true);
        let groups = groups(&config, &layout);
        assert_eq!(groups.first().unwrap().range.start, 0);
        assert_eq!(groups.last().unwrap().range.end, layout.total);
        assert!(groups.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
        for entry in &layout.entries {
            let group = groups.iter().find(|group| group.range.contains(&entry.range.start)).unwrap();
            assert_eq!(group.lr_factor, if in_trunk(&entry.name) { 0.1 } else { 1.0 }, "{}", entry.name);
            let decay = if entry.role == Role::Weight { 0.05 } else { 0.0 };
            assert_eq!(group.weight_decay, decay, "{}", entry.name);
        }
    }

    #[test]
    fn course_is_one_group() {
        let layout = layout(ModelKind::Vgg16);
        let config = TrainConfig::preset(Task::Classify, Preset::Course, ModelKind::Vgg16, true);
        let expected = Group { range: 0..layout.total, lr_factor: 1.0, weight_decay: 0.01 };
        assert_eq!(groups(&config, &layout), [expected]);
    }

    #[test]
    fn long_gradients_are_clipped_and_frozen_ones_stay() {
        let layout = layout(ModelKind::Vgg16);
        let mut config = TrainConfig::preset(Task::Classify, Preset::Course, ModelKind::Vgg16, true);
        config.trunk_lr_factor = 0.0;
        config.clip_norm = Some(1.0);
        config.weight_decay = 0.0;
        let mut optimiser = Optimiser::new(&config, &layout);
        let mut weights = AlignedVec::zeroed(layout.total);
        let mut gradients = AlignedVec::zeroed(layout.total);
        gradients.fill(2.0);
        optimiser.step(Isa::best(), 1.0, 1, &mut weights, &mut gradients);
        let each = 1.0 / (layout.total as f32).sqrt();
        for entry in &layout.entries {
            let expected = if in_trunk(&entry.name) { 0.0 } else { -each };
            assert!(
                weights[entry.range.clone()].iter().all(|w| (w - expected).abs() < 1e-6),
                "{}",
                entry.name
            );
        }
        assert!(!optimiser.restore(vec![AlignedVec::zeroed(3)]));
        assert!(optimiser.restore(vec![AlignedVec::zeroed(layout.total)]));
    }

    #[test]
    fn the_last_pattern_counts_and_frozen_wins() {
        let mut config = TrainConfig::preset(Task::Segment, Preset::Modern, ModelKind::Fcn8s, true);
        config.lr_factor =
            ["features.*=0.5", "features.2?=0.25", "score_*=2"].map(|f| f.parse().unwrap()).into();
        config.freeze = vec!["features.0".into(), "*.bias".into()];
        for (name, factor) in [
            ("features.0.weight", 0.0),
            ("features.5.weight", 0.5),
            ("features.28.weight", 0.25),
            ("features.28.bias", 0.0),
            ("score_fr.weight", 2.0),
            ("fcn.0.weight", 1.0),
        ] {
            assert_eq!(lr_factor(&config, name), factor, "{name}");
        }
        let layout = layout(ModelKind::Fcn8s);
        assert_eq!(trunk_lr_factor(&config, &layout), 0.5);
        check_patterns(&config, &layout).unwrap();
        config.freeze.push("fc.0".into());
        assert!(check_patterns(&config, &layout).unwrap_err().to_string().contains("--freeze fc.0"));
        config.freeze = vec!["*".into()];
        assert!(check_patterns(&config, &layout).unwrap_err().to_string().contains("frozen"));
    }
}
