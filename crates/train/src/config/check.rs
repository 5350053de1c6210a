//! Which values cannot be, alone or together.

use std::fmt;

use super::{
    ClassWeights, ConfigError, Epochs, InputSize, Layer, OptimiserKind, ScheduleKind, Task, TrainConfig,
};

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
            ("windows", self.windows.unwrap_or(1)),
            ("threads", self.threads.unwrap_or(1)),
        ] {
            if value == 0 {
                return self.bad(key, value, "must be at least 1");
            }
        }
        for (key, value) in [
            ("lr", self.lr),
            ("width", self.width),
            ("eps", self.eps),
            ("poly_power", self.poly_power),
            ("clip_norm", self.clip_norm.unwrap_or(1.0)),
        ] {
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
        let fcn = self.model.is_fcn();
        for (key, value, published) in
            [("head_width", self.head_width, 4096), ("head_kernel", self.head_kernel, 7)]
        {
            if !fcn && value != published {
                return self.bad(key, value, format!("does nothing for {}: it is for the FCNs", self.model));
            }
        }
        if self.partial && self.init.is_none() {
            return self.bad("partial", true, "needs --init FILE");
        }
        if let Some(order) = self.init_order.filter(|_| self.init.is_none()) {
            return self.bad("init_order", order, "needs --init FILE");
        }
        self.check_scenes()?;
        self.check_together()
    }

    /// Refuses settings of scenes without scenes, and settings of pictures with them.
    fn check_scenes(&self) -> Result<(), ConfigError> {
        if self.labels.is_none() {
            for (key, given) in [
                ("val_labels", self.val_labels.is_some()),
                ("class_field", self.class_field != "lc"),
                ("bands", self.bands.is_some()),
                ("levels", self.levels.is_some()),
                ("windows", self.windows.is_some()),
            ] {
                if given {
                    return self.bad(key, "", "is for scenes; name their classes with --labels FILE");
                }
            }
            return Ok(());
        }
        if self.input == InputSize::Whole {
            return self.bad(
                "input",
                self.input,
                "does not go with scenes; give the side of windows, as 256",
            );
        }
        if let Some(size) = self.resize {
            return self.bad(
                "resize",
                size,
                "does not go with scenes, whose pixels have a size on the ground",
            );
        }
        if let Some(list) = &self.exclude {
            return self.bad("exclude", list.display(), "lists pictures, and these are scenes");
        }
        if self.saturation != 0.0 {
            return self.bad("saturation", self.saturation, "is for pictures of red, green and blue");
        }
        if self.validates_on_blocks() && self.holdout == 0.0 {
            return self.bad(
                "holdout",
                self.holdout,
                "leaves nothing to validate on; hold out blocks of ground (--holdout 0.2), or name other scenes with \
                 --val",
            );
        }
        if self.validates_on_blocks() && self.val_labels.is_some() {
            return self.bad("val_labels", "", "goes with --val SCENE");
        }
        let bands = self.bands.as_deref().unwrap_or(&[1]);
        if bands.is_empty() || bands.len() > 32 || bands.contains(&0) {
            let text = bands.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            return self.bad("bands", text, "must be 1 to 32 bands, counted from 1");
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
    /// Refuses settings that were given, are not those of the preset `base`, and would do nothing.
    pub(super) fn check_used(&self, base: &TrainConfig, given: &Layer) -> Result<(), ConfigError> {
        let sgd = self.optimiser == OptimiserKind::Sgd;
        let crops = self.input != InputSize::Whole;
        let resizes = self.crop_area != [1.0, 1.0];
        let pair = |[low, high]: [f64; 2]| format!("{low},{high}");
        let rows = [
            (
                "geometry",
                self.geometry != base.geometry && !self.model.is_fcn(),
                self.geometry.to_string(),
                "the FCNs (--model fcn8s)",
            ),
            (
                "momentum",
                self.momentum != base.momentum && !sgd,
                self.momentum.to_string(),
                "--optimiser sgd",
            ),
            ("beta1", self.beta1 != base.beta1 && sgd, self.beta1.to_string(), "--optimiser adamw"),
            ("beta2", self.beta2 != base.beta2 && sgd, self.beta2.to_string(), "--optimiser adamw"),
            ("eps", self.eps != base.eps && sgd, self.eps.to_string(), "--optimiser adamw"),
            (
                "poly_power",
                self.poly_power != base.poly_power && self.schedule != ScheduleKind::Poly,
                self.poly_power.to_string(),
                "--schedule poly",
            ),
            (
                "scale",
                ![base.scale, [1.0, 1.0]].contains(&self.scale) && !crops,
                pair(self.scale),
                "crops (--input 256)",
            ),
            (
                "crop_aspect",
                self.crop_aspect != base.crop_aspect && !resizes,
                pair(self.crop_aspect),
                "--crop-area below 1",
            ),
        ];
        for (key, idle, value, wanted) in rows {
            if idle && given.has(key) {
                return self.bad(key, value, format!("does nothing here; it goes with {wanted}"));
            }
        }
        Ok(())
    }

    /// Refuses what would come after the end of the run, and a loss that the task has not.
    fn check_together(&self) -> Result<(), ConfigError> {
        if self.task == Task::Classify && self.loss.region.is_some() {
            return self.bad("loss", self.loss, "compares areas, which `train classify` has not; give `ce`");
        }
        // How long a run of hours or steps is shows when the data is counted.
        if self.hours.is_some() || self.steps.is_some() {
            return Ok(());
        }
        if self.warmup_epochs > self.epochs as f64 {
            let epochs = self.epochs;
            return self.bad(
                "warmup_epochs",
                self.warmup_epochs,
                format!("is longer than the run of {epochs}"),
            );
        }
        if let Some((key, list, late)) = self.late_epochs().next() {
            return self.bad(key, list, format!("epoch {late} is after the last, {}", self.epochs));
        }
        Ok(())
    }

    /// The settings that are lists of epochs to keep something of and name one after the last, with the list and that epoch.
    pub(crate) fn late_epochs(&self) -> impl Iterator<Item = (&'static str, &Epochs, usize)> {
        [("keep_epochs", Some(&self.keep_epochs)), ("snapshot_epochs", self.snapshot_epochs.as_ref())]
            .into_iter()
            .filter_map(|(key, list)| Some((key, list?, list?.after(self.epochs)?)))
    }
}
