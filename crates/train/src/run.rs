//! A training run from its first step, or its last checkpoint, to its end.

mod divergence;
mod epoch;
mod keep;
mod pace;
mod session;
mod validate;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use hectare_data::Exclusion;
use hectare_data::class_map_file::to_toml;
use hectare_kernels::Isa;
use hectare_kernels::threads::{Pool, current_threads};

use self::session::Run;
use crate::checkpoint::{self, Best};
use crate::clock;
use crate::config::TrainConfig;
use crate::error::TrainError;
use crate::events::Observer;
use crate::files;
use crate::picks::Picks;
use crate::record::{Columns, EpochRecord, MetricsLog};
use crate::run_folder::RunFolder;
use crate::scene_sets::OpenGround;
use crate::setup::Setup;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// The run folder.
    pub run: PathBuf,
    /// Whether all epochs are done; `false` if the observer stopped it.
    pub finished: bool,
    /// Whether it was finished before: nothing was done.
    pub already_finished: bool,
    /// The best epoch.
    pub best: Option<Best>,
    /// The figures of the epochs that each way of choosing picks.
    pub picks: Option<Picks>,
    /// All epochs so far.
    pub epochs: Vec<EpochRecord>,
}

/// Starts a run. Nothing is written before data, settings and memory are known to be good.
///
/// # Errors
/// Whatever is wrong with the input (see [`TrainError::began`]), or what failed later.
pub fn train(config: TrainConfig, observer: &dyn Observer) -> Result<RunSummary, TrainError> {
    train_with(config, None, observer)
}

/// As [`train`], with what opens scenes where the settings name labels.
///
/// # Errors
/// As [`train`], and scenes or labels that cannot be used.
pub fn train_with(
    mut config: TrainConfig,
    scenes: Option<&dyn OpenGround>,
    observer: &dyn Observer,
) -> Result<RunSummary, TrainError> {
    let begun = Instant::now();
    let optional = [
        config.init.as_mut(),
        config.class_map.as_mut(),
        config.exclude.as_mut(),
        config.labels.as_mut(),
        config.val_labels.as_mut(),
    ];
    for path in [&mut config.train, &mut config.val, &mut config.out]
        .into_iter()
        .chain(optional.into_iter().flatten())
        .filter(|path| !path.as_os_str().is_empty())
    {
        // The run may be resumed from another folder.
        *path = std::path::absolute(&*path).map_err(|cause| TrainError::io("cannot find", path, cause))?;
    }
    RunFolder::check_free(&config.out)?;
    in_pool(config.threads, || {
        let setup = Setup::new(&config, None, scenes, observer)?;
        let folder = RunFolder::create(&config.out)?;
        let _lock = folder.lock()?;
        let begin = || -> Result<Run<'_>, TrainError> {
            folder.clear()?;
            folder.create_folders()?;
            folder.sweep()?;
            files::write(&folder.classes(), to_toml(&setup.card.classes))?;
            files::write(&folder.env(), environment())?;
            if let Some(list) = &config.exclude {
                // The list may change; the run may not.
                let list = Exclusion::read(list).map_err(TrainError::data)?;
                files::write(&folder.excluded(), list.to_text())?;
            }
            files::write(&folder.config(), config.to_toml())?;
            let log = MetricsLog::new(Columns::of(&config));
            log.write(&folder)?;
            let run = Run::new(config, folder, setup, log, observer)?;
            run.check_space()?;
            Ok(run)
        };
        begin().and_then(|run| run.go(begun)).map_err(TrainError::late)
    })
}

/// Whether the last checkpoint of a run was trained with products of bf16 numbers; no, if there is none yet.
///
/// # Errors
/// A folder where no run was begun, or a damaged checkpoint.
pub fn is_of_bf16(root: &Path) -> Result<bool, TrainError> {
    let (folder, _) = RunFolder::open(root)?;
    Ok(checkpoint::peek(&folder)?.is_some_and(|header| header.is_bf16()))
}

/// Goes on with a run from its last checkpoint, or from the start if it has none yet. Returns at once if it
/// is finished. `threads` wins over the settings of the run.
///
/// # Errors
/// A folder where no run was begun, a damaged checkpoint, data that is not there any more, or what failed
/// later.
pub fn resume(
    root: &Path,
    threads: Option<usize>,
    observer: &dyn Observer,
) -> Result<RunSummary, TrainError> {
    resume_with(root, threads, None, observer)
}

/// As [`resume`], with what opens scenes.
///
/// # Errors
/// As [`resume`], and scenes or labels that cannot be used any more.
pub fn resume_with(
    root: &Path,
    threads: Option<usize>,
    scenes: Option<&dyn OpenGround>,
    observer: &dyn Observer,
) -> Result<RunSummary, TrainError> {
    let begun = Instant::now();
    let (folder, mut config) = RunFolder::open(root)?;
    config.out = root.to_path_buf();
    config.threads = threads.or(config.threads);
    config.exclude = config.exclude.map(|_| folder.excluded());
    if let Some(header) = checkpoint::peek(&folder)?
        && header.epoch >= config.epochs
    {
        // A kill may have left the last rename undone.
        if folder.next().exists() {
            checkpoint::load(&folder)?;
        }
        let epochs = crate::record::read(&folder.metrics_jsonl())?;
        let picks = Picks::of(&epochs);
        if let Some(picks) = picks.as_ref().filter(|_| !folder.protocol().exists()) {
            // A kill came between the last checkpoint and the figures.
            picks.write(&folder)?;
        }
        return Ok(RunSummary {
            run: root.to_path_buf(),
            finished: true,
            already_finished: true,
            best: header.best,
            picks,
            epochs,
        });
    }
    files::writable_folder(root)?;
    let _lock = folder.lock()?;
    in_pool(config.threads, || {
        let state = checkpoint::load(&folder)?;
        let weights = state.is_some().then(|| folder.last());
        let setup = Setup::new(&config, weights.as_deref(), scenes, observer)?;
        let begin = || -> Result<Run<'_>, TrainError> {
            folder.create_folders()?;
            folder.sweep()?;
            let done = state.as_ref().map_or(0, |(header, _)| header.epoch);
            let log = MetricsLog::reopen(&folder, Columns::of(&config), done)?;
            let mut run = Run::new(config, folder, setup, log, observer)?;
            if let Some((header, slots)) = state {
                run.restore(header, slots)?;
            }
            Ok(run)
        };
        begin().and_then(|run| run.go(begun)).map_err(TrainError::late)
    })
}

/// Runs `f` on that many threads, or on those of the current pool.
fn in_pool<R: Send>(threads: Option<usize>, f: impl FnOnce() -> R + Send) -> R {
    match threads {
        Some(threads) if threads != current_threads() => Pool::new(threads).install(f),
        _ => f(),
    }
}

/// Program and machine, for `env.json`.
fn environment() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| -> Option<String> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let command: Vec<String> = std::env::args_os().map(|part| part.to_string_lossy().into_owned()).collect();
    let value = serde_json::json!({
        "hectare": env!("CARGO_PKG_VERSION"),
        "started_utc": clock::now_utc(),
        "command": command,
        "isa": Isa::best().name(),
        "threads": current_threads(),
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
    });
    format!("{value:#}\n")
}
