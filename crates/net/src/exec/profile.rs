//! Where the time goes, node by node: with `HECTARE_PROFILE=1` in the environment, every predictor and
//! trainer prints a table to standard error when it ends.

use std::io::Write;
use std::time::{Duration, Instant};

use super::step::Place;
use crate::table::aligned;
use crate::{Network, Role};

/// Times that are kept of a node and a direction; of more runs, the latest.
const KEPT: usize = 256;

/// The times of each node.
#[derive(Debug, Default)]
pub(super) struct Profile {
    network: String,
    rows: Option<Vec<Row>>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    name: String,
    kind: &'static str,
    /// A convolution or linear layer, whose rate of work means something.
    weighted: bool,
    forward: Times,
    backward: Times,
}

#[derive(Clone, Debug, Default)]
struct Times {
    runs: usize,
    /// With the floating point operations of each.
    kept: Vec<(Duration, u64)>,
}

/// A clock that runs if the profile is wanted.
pub(super) struct Clock(Option<Instant>);

impl Profile {
    /// A profile that is kept if the environment says so.
    pub(super) fn from_environment(net: &Network) -> Profile {
        let on = std::env::var_os("HECTARE_PROFILE").is_some_and(|value| value != "0");
        if on { Profile::new(net) } else { Profile::default() }
    }

    fn new(net: &Network) -> Profile {
        let row = |(index, node): (usize, &crate::Node)| Row {
            name: node.name.clone(),
            kind: node.op.kind(),
            weighted: net.layout().entries.iter().any(|e| e.node == index && e.role == Role::Weight),
            ..Row::default()
        };
        let rows = net.nodes().iter().enumerate().map(row).collect();
        Profile { network: net.name().to_owned(), rows: Some(rows) }
    }

    pub(super) fn start(&self) -> Clock {
        Clock(self.rows.is_some().then(Instant::now))
    }

    /// A node's value was computed for `n` samples.
    pub(super) fn forward(&mut self, net: &Network, place: &Place, n: usize, clock: Clock) {
        if let (Some(rows), Some(start)) = (&mut self.rows, clock.0) {
            rows[place.node].forward.push(start.elapsed(), flops(net, place, n));
        }
    }

    /// A node's gradients were computed for `n` samples; `products` of them take as many operations as the
    /// forward pass does: the weight's and the input's.
    pub(super) fn backward(&mut self, net: &Network, place: &Place, n: usize, products: usize, clock: Clock) {
        if let (Some(rows), Some(start)) = (&mut self.rows, clock.0) {
            rows[place.node].backward.push(start.elapsed(), products as u64 * flops(net, place, n));
        }
    }

    /// The table; `None` where nothing ran.
    fn table(&self) -> Option<String> {
        let ran: Vec<&Row> = self.rows.iter().flatten().filter(|row| row.forward.runs > 0).collect();
        let total = |times: fn(&Row) -> &Times| ran.iter().map(|row| times(row).median_s()).sum::<f64>();
        let (forward, backward) = (total(|row| &row.forward), total(|row| &row.backward));
        let whole = forward + backward;
        if ran.is_empty() {
            return None;
        }
        let head = ["node", "operation", "runs", "forward ms", "backward ms", "share %", "GFLOP/s"];
        let line = |row: &&Row| {
            let (f, b) = (&row.forward, &row.backward);
            let seconds = f.median_s() + b.median_s();
            let rate = (f.flops() + b.flops()) / seconds.max(1e-9) / 1e9;
            [
                row.name.clone(),
                row.kind.to_owned(),
                f.runs.to_string(),
                format!("{:.2}", 1e3 * f.median_s()),
                if b.runs > 0 { format!("{:.2}", 1e3 * b.median_s()) } else { String::new() },
                format!("{:.1}", 100.0 * seconds / whole.max(1e-9)),
                if row.weighted { format!("{rate:.1}") } else { String::new() },
            ]
        };
        let last = [
            "total".to_owned(),
            String::new(),
            String::new(),
            format!("{:.2}", 1e3 * forward),
            if backward > 0.0 { format!("{:.2}", 1e3 * backward) } else { String::new() },
            "100.0".to_owned(),
            format!(
                "{:.1}",
                ran.iter().map(|row| row.forward.flops() + row.backward.flops()).sum::<f64>()
                    / whole.max(1e-9)
                    / 1e9
            ),
        ];
        let rows: Vec<[String; 7]> = std::iter::once(head.map(str::to_owned))
            .chain(ran.iter().map(line))
            .chain(std::iter::once(last))
            .collect();
        Some(format!("profile of {}, median of a run\n{}", self.network, aligned(&rows, 2)))
    }
}

/// Floating point operations of the forward pass at that place.
fn flops(net: &Network, place: &Place, n: usize) -> u64 {
    n as u64 * net.nodes()[place.node].op.flops(&place.shapes[..place.inputs], place.output)
}

impl Times {
    fn push(&mut self, time: Duration, flops: u64) {
        if self.kept.len() < KEPT {
            self.kept.push((time, flops));
        } else {
            self.kept[self.runs % KEPT] = (time, flops);
        }
        self.runs += 1;
    }

    /// The run in the middle by its time.
    fn median(&self) -> (Duration, u64) {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn median_s(&self) -> f64 {
        self.median().0.as_secs_f64()
    }

    fn flops(&self) -> f64 {
        self.median().1 as f64
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if let Some(table) = self.table() {
            // Nobody may read it any more: that is no reason to panic.
            let _ = std::io::stderr().write_all(table.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::MAX_INPUTS;
    use crate::{ModelKind, ModelSpec, Shape, build};

    fn place(net: &Network, node: usize) -> Place {
        let shapes = net.infer(Shape::new(3, 64, 64)).unwrap();
        let mut inputs = [Shape::default(); MAX_INPUTS];
        inputs[0] = shapes[node - 1];
        Place { node, inputs: 1, shapes: inputs, output: shapes[node] }
    }

    #[test]
    fn medians_shares_and_rates() {
        let spec = ModelSpec { input: [64, 64], ..ModelSpec::new(ModelKind::Vgg16) };
        let net = build(&spec).unwrap();
        let mut profile = Profile::new(&net);
        assert_eq!(profile.table(), None);
        // features.0: 2 * 27 + 1 operations for each of 64 x 64 x 64 numbers, two samples: 28.8 MFLOP.
        let (conv, pool) = (place(&net, 1), place(&net, 5));
        let rows = profile.rows.as_mut().unwrap();
        for ms in [1, 9, 2] {
            rows[1].forward.push(Duration::from_millis(ms), flops(&net, &conv, 2));
        }
        rows[1].backward.push(Duration::from_millis(4), flops(&net, &conv, 2));
        rows[5].forward.push(Duration::from_millis(2), flops(&net, &pool, 2));
        let table = profile.table().unwrap();
        let cells = |line: usize| table.lines().nth(line).unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(cells(3), ["features.0", "Conv2d", "3", "2.00", "4.00", "75.0", "9.6"]);
        assert_eq!(cells(4), ["features.4", "MaxPool2d", "1", "2.00", "25.0"]);
        assert_eq!(cells(6)[..4], ["total", "4.00", "4.00", "100.0"]);
        profile.rows = None;
    }

    #[test]
    fn the_latest_times_are_kept() {
        let mut times = Times::default();
        (0..3 * KEPT).for_each(|i| times.push(Duration::from_nanos(i as u64), 1));
        assert_eq!((times.runs, times.kept.len()), (3 * KEPT, KEPT));
        assert!(times.kept.iter().all(|(time, _)| time.as_nanos() >= 2 * KEPT as u128));
    }
}
