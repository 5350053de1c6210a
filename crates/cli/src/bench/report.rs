//! What was measured, as JSON and as a table.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::stopwatch::peak_mib;
use super::workload::Workload;
use crate::failure::{Failure, OrFail};
use crate::table::aligned;

/// All that one call of `hectare bench` measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What.
    pub workloads: Vec<Measurement>,
}

/// One workload's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The workload.
    pub name: String,
    /// Threads.
    pub threads: usize,
    /// The run in the middle.
    pub median_s: f64,
    /// The fastest run.
    pub min_s: f64,
    /// The slowest run.
    pub max_s: f64,
    /// Pictures in a second of the median run.
    pub images_per_s: f64,
    /// Floating point operations of a run, in 1e9, as direct convolutions take them.
    pub gflop: f64,
    /// Those, in a second of the median run.
    pub gflops: f64,
    /// The most memory that the process has held; `None` where the system does not tell.
    pub peak_mib: Option<f64>,
    /// All runs, in their order.
    pub times_s: Vec<f64>,
}

impl Measurement {
    /// The figures of runs that took so long, in this process.
    ///
    /// # Errors
    /// A network that cannot be built.
    pub fn new(workload: &Workload, threads: usize, times_s: Vec<f64>) -> Result<Measurement, Failure> {
        let mut sorted = times_s.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let (Some(&min_s), Some(&max_s)) = (sorted.first(), sorted.last()) else {
            return Err(Failure::work(format_args!("{} did not run", workload.name)));
        };
        let middle = sorted.len() / 2;
        let median_s = match sorted.len() % 2 {
            0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
            _ => sorted[middle],
        };
        let gflop = workload.flops().or_work()? as f64 / 1e9;
        Ok(Measurement {
            name: workload.name.clone(),
            threads,
            median_s,
            min_s,
            max_s,
            images_per_s: workload.batch.n as f64 / median_s,
            gflop,
            gflops: gflop / median_s,
            peak_mib: peak_mib(),
            times_s,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["workload", "runs", "median ms", "min ms", "max ms", "images/s", "GFLOP/s", "peak MiB"];
        let row = |m: &Measurement| {
            let ms = |seconds: f64| format!("{:.2}", 1e3 * seconds);
            [
                m.name.clone(),
                m.times_s.len().to_string(),
                ms(m.median_s),
                ms(m.min_s),
                ms(m.max_s),
                format!("{:.2}", m.images_per_s),
                format!("{:.1}", m.gflops),
                m.peak_mib.map_or("-".to_owned(), |mib| format!("{mib:.0}")),
            ]
        };
        let rows: Vec<[String; 8]> =
            std::iter::once(head.map(str::to_owned)).chain(self.workloads.iter().map(row)).collect();
        write!(f, "{}\n\n{}", self.machine, aligned(&rows, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::workload::all;

    #[test]
    fn medians_of_odd_and_even_counts() {
        let workload = &all()[0];
        let median = |times: &[f64]| Measurement::new(workload, 1, times.to_vec()).unwrap().median_s;
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let one = Measurement::new(workload, 1, vec![0.5]).unwrap();
        assert_eq!((one.min_s, one.max_s, one.images_per_s), (0.5, 0.5, 16.0));
        assert!((one.gflops - 2.0 * one.gflop).abs() < 1e-9);
        assert!(Measurement::new(workload, 1, Vec::new()).is_err());
    }
}
