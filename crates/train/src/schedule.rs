//! The rate at each step: a linear warm-up, then constant, cosine or poly.

use crate::config::{ScheduleKind, TrainConfig};

/// The factor on the rate as a function of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    kind: ScheduleKind,
    warmup_steps: u64,
    total_steps: u64,
    poly_power: f64,
}

impl Schedule {
    /// The schedule of a run with `steps_per_epoch` steps in an epoch.
    pub fn new(config: &TrainConfig, steps_per_epoch: u64) -> Schedule {
        let total_steps = config.steps.unwrap_or(steps_per_epoch * config.epochs as u64);
        let warmup_steps = (config.warmup_epochs * steps_per_epoch as f64).round() as u64;
        Schedule { kind: config.schedule, warmup_steps, total_steps, poly_power: config.poly_power }
    }

    /// Share of the run that is done before `step` (from 0).
    pub fn progress(&self, step: u64) -> f64 {
        step as f64 / self.total_steps.max(1) as f64
    }

    /// Factor on the rate at `step` (from 0). The warm-up rises to 1 at its last step; cosine and poly
    /// would reach 0 one step after the last.
    pub fn factor(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1);
        let t = ((step - self.warmup_steps) as f64 / span as f64).min(1.0);
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * t).cos()),
            ScheduleKind::Poly => (1.0 - t).powf(self.poly_power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind) -> Schedule {
        Schedule { kind, warmup_steps: 4, total_steps: 24, poly_power: 0.9 }
    }

    #[test]
    fn warm_up_is_linear() {
        for (step, factor) in [(0, 0.25), (1, 0.5), (3, 1.0), (4, 1.0)] {
            assert_eq!(schedule(ScheduleKind::Cosine).factor(step), factor);
        }
    }

    #[test]
    fn progress_is_a_share() {
        let schedule = schedule(ScheduleKind::Constant);
        assert_eq!([0, 12, 24].map(|step| schedule.progress(step)), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn rates_fall_as_named() {
        assert_eq!(schedule(ScheduleKind::Constant).factor(23), 1.0);
        assert!((schedule(ScheduleKind::Cosine).factor(14) - 0.5).abs() < 1e-12);
        assert!((schedule(ScheduleKind::Poly).factor(14) - 0.5f64.powf(0.9)).abs() < 1e-12);
        for kind in [ScheduleKind::Cosine, ScheduleKind::Poly] {
            let rates: Vec<f64> = (4..=24).map(|step| schedule(kind).factor(step)).collect();
            assert!(rates.windows(2).all(|pair| pair[0] > pair[1]));
            assert!(rates[20].abs() < 1e-12 && rates[19] > 0.0);
        }
    }
}
