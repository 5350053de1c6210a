//! How everything was made: settings, seeds, versions, times, data.

use std::path::Path;

use hectare_train::duration;

use crate::document::{Block, Cell, Document, Table};
use crate::run::Run;

/// Adds the section.
pub fn section(document: &mut Document, runs: &[Run]) {
    document.heading(2, "How it was made");
    let head =
        || std::iter::once(String::new()).chain(runs.iter().map(|run| run.name.clone())).collect::<Vec<_>>();
    let env = |run: &Run, key: &str| match &run.env[key] {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => "unknown".into(),
        other => other.to_string(),
    };
    let row = |name: &str, of: &dyn Fn(&Run) -> String| -> Vec<Cell> {
        std::iter::once(Cell::from(name)).chain(runs.iter().map(|run| Cell::from(of(run)))).collect()
    };
    let speed = |run: &Run| {
        let fastest = run.records.iter().map(|record| record.images_per_s).fold(0.0, f64::max);
        format!("{fastest:.1} images/s")
    };
    let sum =
        |run: &Run, of: fn(&hectare_train::EpochRecord) -> f64| duration(run.records.iter().map(of).sum());
    document.push(Block::Table(Table {
        caption: "Program, machine and time".into(),
        head: head(),
        rows: vec![
            row("hectare", &|run| env(run, "hectare")),
            row("started (UTC)", &|run| env(run, "started_utc")),
            row("CPU", &|run| env(run, "cpu")),
            row("instruction set", &|run| env(run, "isa")),
            row("threads", &|run| env(run, "threads")),
            row("training", &|run| sum(run, |record| record.train_s)),
            row("validation", &|run| sum(run, |record| record.validation_s)),
            row("fastest epoch", &speed),
            row("seed", &|run| run.config.seed.to_string()),
            row("start", &Run::start),
        ],
    }));
    let mut rows = Vec::new();
    for (set, name) in [("train", "training"), ("val", "validation")] {
        let facts = |run: &Run| run.data.sets.get(set).cloned();
        rows.push(row(&format!("{name} set"), &|run| {
            let path = if set == "train" { &run.config.train } else { &run.config.val };
            shown(path)
        }));
        rows.push(row(&format!("{name} pictures"), &|run| {
            facts(run).map_or("unknown".into(), |f| f.pictures.to_string())
        }));
        rows.push(row(&format!("{name} bytes"), &|run| {
            facts(run).map_or("unknown".into(), |f| f.bytes.to_string())
        }));
        rows.push(row(&format!("{name} SHA-256"), &|run| {
            facts(run).map_or("unknown".into(), |f| f.sha256.chars().take(16).collect())
        }));
    }
    document.push(Block::Table(Table {
        caption: "Data, with the first half of the SHA-256 over the names and contents of all its files"
            .into(),
        head: head(),
        rows,
    }));
    document.push(Block::Table(settings(runs, head())));
    for run in runs {
        if let Some(command) = run.env["command"].as_array() {
            let words: Vec<String> =
                command.iter().filter_map(|word| word.as_str().map(str::to_string)).collect();
            document.push(Block::Code(format!("{}: the command", run.name), words.join(" ")));
        }
    }
}

/// The last two parts of a path: what it is, without where somebody keeps it.
fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// Every setting; those that are alike in all runs come after the others.
fn settings(runs: &[Run], head: Vec<String>) -> Table {
    let values: Vec<Vec<(String, String)>> = runs.iter().map(|run| pairs(&run.config.to_toml())).collect();
    let mut keys: Vec<&String> = Vec::new();
    for (key, _) in values.iter().flatten() {
        if !keys.contains(&key) && !["train", "val", "out", "task"].contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let of = |run: usize, key: &str| {
        values[run].iter().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    };
    let differs = |key: &str| (1..runs.len()).any(|run| of(run, key) != of(0, key));
    keys.sort_by_key(|key| !differs(key));
    let row = |key: &&String| {
        let cells = (0..runs.len()).map(|run| match key.as_str() {
            "init" | "class_map" => shown(Path::new(of(run, key))),
            _ => of(run, key).to_string(),
        });
        std::iter::once(Cell::from(key.replace('_', " "))).chain(cells.map(Cell::from)).collect()
    };
    let caption = match runs.len() {
        1 => "Settings",
        _ => "Settings; those that differ come first",
    };
    Table { caption: caption.into(), head, rows: keys.iter().map(row).collect() }
}

/// Keys and values of a flat TOML text; values without their quotes.
fn pairs(toml: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(" = ")?;
        Some((key.trim().to_string(), value.trim().trim_matches('"').to_string()))
    };
    toml.lines().filter_map(pair).collect()
}
