//! A run's `metrics.jsonl`, read when the run goes on: what is kept is written to both files and read again. And what
//! is remembered of a data set, where damage means that nothing is.
#![no_main]

use std::sync::OnceLock;

use hectare_data::verify::Known;
use hectare_net::ModelKind;
use hectare_train::{Columns, MetricsLog, Preset, RunFolder, Task, TrainConfig};
use libfuzzer_sys::fuzz_target;

static RUN: OnceLock<(RunFolder, TrainConfig)> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let (run, config) = RUN.get_or_init(|| {
        let mut config = TrainConfig::preset(Task::Segment, Preset::Modern, ModelKind::Fcn8s, true);
        (config.ema, config.holdout) = (0.9, 0.1);
        hectare_fuzz::file("config.toml", config.to_toml().as_bytes());
        RunFolder::open(hectare_fuzz::folder()).expect("the settings were written just now")
    });
    let path = hectare_fuzz::file("metrics.jsonl", bytes);
    if let Ok(log) = MetricsLog::reopen(run, Columns::of(config), 1000) {
        let again = MetricsLog::reopen(run, Columns::of(config), 1000).expect("what was written is read");
        assert_eq!(again.records().len(), log.records().len());
    }
    std::fs::write(&path, bytes).expect("memory can be written");
    let _ = Known::load(&path).len();
});
