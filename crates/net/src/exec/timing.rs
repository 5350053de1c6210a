//! Where the time goes, node by node: with `HECTARE_TIMING=1` in the environment, every predictor and
//! trainer prints a table to standard error when it ends.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::Network;

/// Time spent in each node.
#[derive(Debug, Default)]
pub(super) struct Timing {
    rows: Option<Vec<Row>>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    name: String,
    runs: u32,
    forward: Duration,
    backward: Duration,
}

/// A clock that runs if timing is on.
pub(super) struct Clock(Option<Instant>);

impl Timing {
    /// Timing that is on if the environment says so.
    pub(super) fn from_environment(net: &Network) -> Timing {
        let on = std::env::var_os("HECTARE_TIMING").is_some_and(|value| value != "0");
        let row = |node: &crate::Node| Row { name: node.name.clone(), ..Row::default() };
        Timing { rows: on.then(|| net.nodes().iter().map(row).collect()) }
    }

    pub(super) fn start(&self) -> Clock {
        Clock(self.rows.is_some().then(Instant::now))
    }

    pub(super) fn forward(&mut self, node: usize, clock: Clock) {
        if let (Some(rows), Some(start)) = (&mut self.rows, clock.0) {
            rows[node].runs += 1;
            rows[node].forward += start.elapsed();
        }
    }

    pub(super) fn backward(&mut self, node: usize, clock: Clock) {
        if let (Some(rows), Some(start)) = (&mut self.rows, clock.0) {
            rows[node].backward += start.elapsed();
        }
    }
}

impl Drop for Timing {
    fn drop(&mut self) {
        let Some(rows) = &self.rows else { return };
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let mut text = "node                 runs    forward ms   backward ms\n".to_owned();
        let mut total = (0.0, 0.0);
        for row in rows.iter().filter(|row| row.runs > 0) {
            let (forward, backward) = (milliseconds(row.forward), milliseconds(row.backward));
            total = (total.0 + forward, total.1 + backward);
            let _ = writeln!(text, "{:18} {:6} {forward:13.2} {backward:13.2}", row.name, row.runs);
        }
        if total.0 > 0.0 {
            eprintln!("{text}{:18} {:6} {:13.2} {:13.2}", "total", "", total.0, total.1);
        }
    }
}
