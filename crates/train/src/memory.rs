//! Whether a run fits in RAM, before it begins.

use std::fs;

use hectare_kernels::loss::region_bytes;
use hectare_kernels::threads::current_threads;
use hectare_net::{MemoryEstimate, Mode, Network, Shape, estimate_memory};

use crate::config::{InputSize, TrainConfig};
use crate::error::{TrainError, gib};
use crate::optimiser::{Optimiser, lr_factor};

/// Bytes that can be had without swapping: `MemAvailable`, or what a control group leaves if that is less.
/// `None` where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let system = field_kib(&meminfo, "MemAvailable:")? * 1024;
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let stat = fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
    let group = number("/sys/fs/cgroup/memory.max")
        .map(|most| left_in_group(most, number("/sys/fs/cgroup/memory.current").unwrap_or(0), &stat));
    Some(group.map_or(system, |group| group.min(system)))
}

/// What a control group leaves: files that it has read count as used, and give way when memory is wanted.
fn left_in_group(most: u64, current: u64, stat: &str) -> u64 {
    let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let files = of("inactive_file ").unwrap_or(0) + of("active_file ").unwrap_or(0);
    most.saturating_sub(current.saturating_sub(files))
}

fn field_kib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with(name))?;
    line[name.len()..].trim().trim_end_matches("kB").trim().parse().ok()
}

/// What a run needs, in bytes.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Of the training step.
    pub step: MemoryEstimate,
    /// Of validating the largest picture with a packed copy of the weights.
    pub validation: u64,
    /// All together, the batches made ahead included.
    pub total: u64,
}

/// Estimates what a run needs for batches of `n` pictures of `train` size, and validation at `validation`.
///
/// # Errors
/// Sizes that the network cannot take.
pub fn needs(
    network: &Network,
    config: &TrainConfig,
    n: usize,
    train: Shape,
    validation: (usize, Shape),
) -> Result<Needs, TrainError> {
    // Averaged weights are one more number for each parameter.
    let optimiser_slots = Optimiser::slots_of(config.optimiser) + usize::from(config.ema > 0.0);
    let entries = &network.layout().entries;
    let trainable: Vec<bool> = entries.iter().map(|entry| lr_factor(config, &entry.name) > 0.0).collect();
    let mode = Mode::Train { optimiser_slots, recompute: config.recompute, trainable: Some(&trainable) };
    let step = estimate_memory(network, n, train, mode).map_err(TrainError::net)?;
    let predict =
        estimate_memory(network, validation.0, validation.1, Mode::Predict).map_err(TrainError::net)?;
    let outputs = network.output_shape(validation.1).map_err(TrainError::net)?;
    // Logits are kept once more for the loss; pictures of batches ahead are f32.
    let logits = 2 * 4 * (validation.0 * outputs.len()) as u64;
    // Two copies of the weights live while the predictor is made.
    let copies = 2 * step.parameters;
    let ahead = 4 * (n * train.len() * (config.workers + 1 + config.accumulate)) as u64;
    // The kernels' scratch is the threads', whatever they compute.
    let validation = (predict.total - predict.scratch.min(step.scratch)).max(copies) + logits;
    let region = config.loss.region.map_or(0, |_| {
        let pixels = n * train.h * train.w;
        region_bytes(pixels, outputs.c, current_threads())
    });
    let total = step.total + validation + ahead + region;
    Ok(Needs { step, validation, total })
}

impl Needs {
    /// One line for people.
    pub fn describe(&self, available: Option<u64>) -> String {
        let have = available.map_or(String::new(), |bytes| format!(" of {} available", gib(bytes)));
        format!(
            "memory: about {}{have} (parameters {}, gradients {}, optimiser {}, activations {}, \
             validation {})",
            gib(self.total),
            gib(self.step.parameters),
            gib(self.step.gradients),
            gib(self.step.optimiser),
            gib(self.step.activations),
            gib(self.validation)
        )
    }

    /// Refuses what does not fit.
    ///
    /// # Errors
    /// [`TrainError::Memory`] with what to change.
    pub fn check(&self, config: &TrainConfig, available: Option<u64>) -> Result<(), TrainError> {
        let Some(available) = available.filter(|available| self.total > *available) else { return Ok(()) };
        let fixed = self.total.saturating_sub(self.step.activations);
        let mut remedies = Vec::new();
        if fixed < available && config.batch_size > 1 {
            let share = (available - fixed) as f64 / self.step.activations.max(1) as f64;
            remedies.push(format!("--batch-size {}", ((config.batch_size as f64 * share) as usize).max(1)));
        }
        if !config.recompute {
            remedies.push("--recompute".into());
        }
        remedies.push(match config.input {
            InputSize::Whole => "crops instead of whole tiles (--input 256)".into(),
            InputSize::Fixed(size) => format!("a smaller --input than {size}"),
        });
        remedies.push("a narrower network (--width 0.5)".into());
        let remedy = format!("try {}", remedies.join(", or "));
        Err(TrainError::Memory { needed: self.total, available, remedy })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Preset, Task};
    use hectare_net::{ModelKind, ModelSpec, build};

    #[test]
    fn meminfo_is_read() {
        let text = "MemTotal:       24603780 kB\nMemAvailable:   24000000 kB\n";
        assert_eq!(field_kib(text, "MemAvailable:"), Some(24_000_000));
        assert_eq!(field_kib(text, "Nothing:"), None);
        assert!(!cfg!(target_os = "linux") || available_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn files_that_a_group_has_read_are_to_be_had() {
        let stat = "anon 300\ninactive_file 400\nactive_file 150\nslab 5\n";
        assert_eq!(left_in_group(1000, 900, stat), 650);
        assert_eq!(left_in_group(1000, 900, ""), 100);
        assert_eq!(left_in_group(1000, 1200, ""), 0);
        assert_eq!(left_in_group(1000, 500, stat), 1000);
    }

    #[test]
    fn what_is_frozen_keeps_no_activations() {
        let network = build(&ModelSpec::new(ModelKind::Fcn8s)).unwrap();
        let config = TrainConfig::preset(Task::Segment, Preset::Course, ModelKind::Fcn8s, true);
        let shape = Shape::new(3, 512, 512);
        let of =
            |config: &TrainConfig| needs(&network, config, 8, shape, (1, shape)).unwrap().step.activations;
        let frozen = TrainConfig { trunk_lr_factor: 0.0, ..config.clone() };
        assert!(2 * of(&frozen) < of(&config), "{} and {}", of(&frozen), of(&config));
    }

    #[test]
    fn what_does_not_fit_is_refused_with_a_remedy() {
        let network = build(&ModelSpec::new(ModelKind::Fcn8s)).unwrap();
        let config = TrainConfig::preset(Task::Segment, Preset::Course, ModelKind::Fcn8s, true);
        let shape = Shape::new(3, 512, 512);
        let needs = needs(&network, &config, 8, shape, (1, shape)).unwrap();
        assert!(needs.total > 2 << 30, "{}", needs.describe(None));
        assert!(needs.check(&config, Some(needs.total)).is_ok());
        let message = needs.check(&config, Some(needs.total * 3 / 4)).unwrap_err().to_string();
        assert!(message.contains("--batch-size") && message.contains("--input 256"), "{message}");
        assert!(message.contains("--recompute"), "{message}");
        let config = TrainConfig { recompute: true, ..config };
        let less = super::needs(&network, &config, 8, shape, (1, shape)).unwrap();
        assert!(less.step.activations < needs.step.activations, "{}", less.describe(None));
        let message = less.check(&config, Some(less.total * 3 / 4)).unwrap_err().to_string();
        assert!(!message.contains("--recompute"), "{message}");
    }
}
