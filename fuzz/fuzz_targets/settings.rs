//! TOML settings, as a layer under the flags and as the saved settings of a run.
#![no_main]

use hectare_train::{Layer, Task, TrainConfig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(layer) = Layer::from_toml_text("set.toml", text) {
        for task in [Task::Classify, Task::Segment] {
            let mut flags = Layer::new("flags");
            flags.set("task", task);
            for key in ["train", "val", "out"] {
                flags.set(key, key);
            }
            if let Ok(config) = TrainConfig::resolve(&[layer.clone(), flags]) {
                assert_eq!(TrainConfig::from_toml(&config.to_toml()).as_ref(), Ok(&config));
            }
        }
    }
    let _ = TrainConfig::from_toml(text);
});
