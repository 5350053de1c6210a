//! Runs that are timed, and numbers to run on.

use std::time::Instant;

use hectare_kernels::AlignedVec;
use hectare_kernels::rng::{Key, fill_normal};

/// Runs that are timed unless the user says how many: at least so many,
const LEAST_RUNS: usize = 5;
/// and for at least so many seconds,
const LEAST_S: f64 = 3.0;
/// but no more than so many.
const MOST_RUNS: usize = 1000;

/// How often a workload runs.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Runs before those that are timed.
    pub warm_up: usize,
    /// Runs that are timed; `None`: as many as take some seconds.
    pub runs: Option<usize>,
}

impl Plan {
    /// Seconds of each timed run.
    pub fn time(&self, mut run: impl FnMut()) -> Vec<f64> {
        (0..self.warm_up).for_each(|_| run());
        let begun = Instant::now();
        let mut times = Vec::new();
        while self.goes_on(times.len(), begun.elapsed().as_secs_f64()) {
            let start = Instant::now();
            run();
            times.push(start.elapsed().as_secs_f64());
        }
        times
    }

    fn goes_on(&self, done: usize, seconds: f64) -> bool {
        match self.runs {
            Some(runs) => done < runs,
            None => done < LEAST_RUNS || (seconds < LEAST_S && done < MOST_RUNS),
        }
    }
}

/// `len` normal numbers, always the same for a name.
pub fn normal(name: &str, len: usize, std: f32) -> AlignedVec {
    let mut values = AlignedVec::zeroed(len);
    fill_normal(&key(name), std, &mut values);
    values
}

/// `len` class numbers below `classes`, always the same.
pub fn labels(len: usize, classes: usize) -> Vec<u16> {
    let sequence = key("labels").sequence();
    (0..len).map(|i| sequence.below(i as u64, classes as u64) as u16).collect()
}

fn key(name: &str) -> Key {
    let stream = name.bytes().fold(0, |all, byte| 257 * all + u64::from(byte));
    Key { seed: 0, stream, step: 0 }
}

/// The most memory that this process has held, in MiB; `None` where the system does not tell.
pub fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.trim_start_matches("VmHWM:").trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted() {
        let mut count = 0;
        let plan = Plan { warm_up: 2, runs: Some(3) };
        let times = plan.time(|| count += 1);
        assert_eq!((times.len(), count), (3, 5));
        let open = Plan { warm_up: 1, runs: None };
        assert!(open.goes_on(4, 1e3) && open.goes_on(5, 2.9) && !open.goes_on(5, 3.1));
        assert!(!open.goes_on(1000, 0.1));
    }

    #[test]
    fn labels_are_classes() {
        let labels = labels(1000, 7);
        assert!((0..7).all(|class| labels.contains(&class)) && labels.iter().all(|label| *label < 7));
    }

    #[test]
    fn memory_is_told() {
        assert!(!cfg!(target_os = "linux") || peak_mib().unwrap() > 1.0);
    }
}
