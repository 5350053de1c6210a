//! Which values cannot be, alone or together.

use std::fmt;

use super::{ClassWeights, ConfigError, InputSize, Task, TrainConfig};

impl TrainConfig {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let is_classifier = self.model.is_classifier();
        if is_classifier != (self.task == Task::Classify) {
            let wanted = if is_classifier { Task::Classify } else { Task::Segment };
            return self.bad("model", self.model, format!("is a network for `train {wanted}`"));
        }
        for (key, value) in [
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("accumulate", self.accumulate),
            ("validate_every", self.validate_every),
            ("workers", self.workers),
            ("limit", self.limit.unwrap_or(1)),
            ("val_limit", self.val_limit.unwrap_or(1)),
            ("threads", self.threads.unwrap_or(1)),
        ] {
            if value == 0 {
                return self.bad(key, value, "must be at least 1");
            }
        }
        for (key, value) in
            [("lr", self.lr), ("width", self.width), ("eps", self.eps), ("poly_power", self.poly_power)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return self.bad(key, value, "must be greater than 0");
            }
        }
        for (key, value) in [
            ("trunk_lr_factor", self.trunk_lr_factor),
            ("weight_decay", self.weight_decay),
            ("warmup_epochs", self.warmup_epochs),
            ("rotate", self.rotate),
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("clip_norm", self.clip_norm.unwrap_or(1.0)),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return self.bad(key, value, "must not be negative");
            }
        }
        for (key, value) in [
            ("momentum", self.momentum),
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("label_smoothing", self.label_smoothing),
            ("ema", self.ema),
            ("holdout", self.holdout),
        ] {
            if !(0.0..1.0).contains(&value) {
                return self.bad(key, value, "must be at least 0 and less than 1");
            }
        }
        for (key, range) in
            [("crop_area", self.crop_area), ("crop_aspect", self.crop_aspect), ("scale", self.scale)]
        {
            let most = if key == "crop_area" { 1.0 } else { 100.0 };
            if !(range[0] > 0.0 && range[0] <= range[1] && range[1] <= most) {
                let text = format!("{},{}", range[0], range[1]);
                return self.bad(
                    key,
                    text,
                    format!("must be two numbers in rising order, above 0 and up to {most}"),
                );
            }
        }
        if self.steps == Some(0) {
            return self.bad("steps", 0, "must be at least 1");
        }
        if let Some(hours) = self.hours
            && !(hours > 0.0 && hours.is_finite())
        {
            return self.bad("hours", hours, "must be greater than 0");
        }
        if let ClassWeights::List(list) = &self.class_weights
            && (list.iter().any(|w| !(*w >= 0.0 && w.is_finite())) || list.iter().all(|w| *w == 0.0))
        {
            return self.bad("class_weights", &self.class_weights, "must not be negative, nor all be 0");
        }
        if self.device != "cpu" {
            return self.bad("device", &self.device, "is not built in; this version computes on `cpu`");
        }
        if self.task == Task::Classify && self.input == InputSize::Whole {
            return self.bad("input", self.input, "is for segmentation; give a size like 128");
        }
        if let InputSize::Fixed(size) = self.input
            && size.h != size.w
        {
            return self.bad("input", self.input, "must be square while training");
        }
        if self.partial && self.init.is_none() {
            return self.bad("partial", true, "needs --init FILE");
        }
        Ok(())
    }

    fn bad<T>(
        &self,
        key: &'static str,
        value: impl fmt::Display,
        problem: impl Into<String>,
    ) -> Result<T, ConfigError> {
        Err(ConfigError::Value { key: key.into(), value: value.to_string(), problem: problem.into() })
    }
}
