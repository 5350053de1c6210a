//! Runs that are timed.

use std::time::Instant;

use crate::Failure;

/// How often a network runs.
pub struct Plan {
    /// Runs before those that are timed.
    pub warm_up: usize,
    /// Runs that are timed.
    pub runs: usize,
}

impl Plan {
    /// Seconds of each timed run, and what the last one gave.
    pub fn time<T>(&self, mut run: impl FnMut() -> Result<T, Failure>) -> Result<(Vec<f64>, T), Failure> {
        for _ in 0..self.warm_up {
            run()?;
        }
        let mut times = Vec::new();
        let mut last = None;
        for _ in 0..self.runs {
            drop(last.take()); // a result that nobody reads any more need not be kept
            let start = Instant::now();
            let value = run()?;
            times.push(start.elapsed().as_secs_f64());
            last = Some(value);
        }
        Ok((times, last.ok_or("nothing was run")?))
    }
}

/// The most memory that this process has held, in MiB.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.trim_start_matches("VmHWM:").trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}
