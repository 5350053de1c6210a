//! The hash that weights and inputs come from, and the files that PyTorch wrote.
//!
//! `fixtures/make_fixtures.py` explains the formula and the names of the tensors.

use std::collections::BTreeMap;
use std::path::Path;

use hectare_kernels::Isa;
use hectare_kernels::loss::IGNORE;
use hectare_net::ops::Dropout;
use hectare_net::{Geometry, Head, ModelKind, ModelSpec, Network, NetworkBuilder, Params, build};
use safetensors::SafeTensors;
use serde_json::Value;

/// FNV-1a of the name: where the tensor's numbers start.
fn key(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The hash of one element: murmur3's finaliser.
fn mix(key: u32, index: usize) -> u32 {
    let mut x = key.wrapping_add((index as u32).wrapping_mul(0x9E37_79B9));
    x ^= x >> 16;
    x = x.wrapping_mul(0x85EB_CA6B);
    x ^= x >> 13;
    x = x.wrapping_mul(0xC2B2_AE35);
    x ^ (x >> 16)
}

/// `len` numbers in [-a, a).
pub fn uniform(name: &str, len: usize, a: f64) -> impl Iterator<Item = f32> {
    let (key, a) = (key(name), a as f32);
    (0..len).map(move |index| ((mix(key, index) >> 8) as f32 * (1.0 / 8_388_608.0) - 1.0) * a)
}

/// `count` labels below `classes`; where `ignoring`, one value more stands for an ignored pixel.
pub fn labels(name: &str, count: usize, classes: usize, ignoring: bool) -> Vec<u16> {
    let key = key(name);
    let modulo = (classes + usize::from(ignoring)) as u32;
    let label = |index| match mix(key, index) % modulo {
        value if value as usize == classes => IGNORE,
        value => value as u16,
    };
    (0..count).map(label).collect()
}

/// Class weights: 0.5, 0.75, 1 and so on.
pub fn class_weights(classes: usize) -> Vec<f32> {
    (0..classes).map(|k| 0.5 + 0.25 * k as f32).collect()
}

/// Parameters and running statistics from the hash.
pub fn parameters(network: &Network, salt: &str) -> Params {
    let mut params = Params::zeroed(network.layout().clone());
    let layout = network.layout();
    let normalises = |module: &str| layout.buffers.iter().any(|b| b.name == format!("{module}.running_var"));
    for entry in &layout.entries {
        let full = format!("{salt}/{}", entry.name);
        let (module, leaf) = entry.name.rsplit_once('.').expect("a parameter's name has a module");
        let (offset, a) = if normalises(module) {
            (1.0, 0.25)
        } else if leaf == "bias" {
            (0.0, 0.05)
        } else if entry.name.starts_with("upscore") {
            (0.0, (6.0 / (4 * entry.shape[0]) as f64).sqrt())
        } else {
            (0.0, (6.0 / entry.shape[1..].iter().product::<usize>() as f64).sqrt())
        };
        let values = &mut params.values[entry.range.clone()];
        for (value, random) in values.iter_mut().zip(uniform(&full, entry.range.len(), a)) {
            *value = offset + random;
        }
    }
    for entry in &layout.buffers {
        let (offset, a) = match entry.name.rsplit_once('.') {
            Some((_, "running_mean")) => (0.0, 0.1),
            Some((_, "running_var")) => (1.0, 0.25),
            _ => continue,
        };
        let full = format!("{salt}/{}", entry.name);
        let values = &mut params.buffers[entry.range.clone()];
        for (value, random) in values.iter_mut().zip(uniform(&full, entry.range.len(), a)) {
            *value = offset + random;
        }
    }
    params
}

/// The same network with every dropout's probability zero.
pub fn without_dropout(network: &Network) -> Network {
    let mut builder = NetworkBuilder::new(network.name(), network.bands());
    for node in &network.nodes()[1..] {
        if node.op.kind().starts_with("Dropout") {
            builder.add(&node.name, Dropout::new(0.0), &node.inputs);
        } else {
            builder.add_shared(&node.name, node.op.clone(), &node.inputs);
        }
    }
    builder.finish().expect("the same graph")
}

/// One file that PyTorch wrote.
pub struct Fixture {
    tensors: BTreeMap<String, Vec<f32>>,
    facts: Value,
}

impl Fixture {
    /// Reads `tests/fixtures/NAME.safetensors`.
    pub fn open(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.safetensors"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let facts = &header.metadata().as_ref().expect("metadata")["facts"];
        let numbers = |bytes: &[u8]| {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
        };
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = tensors.iter().map(|(name, view)| (name.to_owned(), numbers(view.data()))).collect();
        Fixture { tensors, facts: serde_json::from_str(facts).expect("facts in JSON") }
    }

    /// A stored tensor.
    pub fn tensor(&self, name: &str) -> &[f32] {
        self.tensors.get(name).unwrap_or_else(|| panic!("no tensor {name} in the fixture"))
    }

    /// Whether a tensor of that name is stored.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of the stored tensors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A setting of the case.
    pub fn fact(&self, name: &str) -> &Value {
        &self.facts[name]
    }

    /// A setting that is text.
    pub fn text(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("fact {name}"))
    }

    /// A setting that is a count.
    pub fn count(&self, name: &str) -> usize {
        self.facts[name].as_u64().unwrap_or_else(|| panic!("fact {name}")) as usize
    }

    /// A setting that is a number.
    pub fn number(&self, name: &str) -> f64 {
        self.facts[name].as_f64().unwrap_or_else(|| panic!("fact {name}"))
    }

    /// A setting that is rows and columns.
    pub fn size(value: &Value) -> [usize; 2] {
        [0, 1].map(|i| value[i].as_u64().expect("rows and columns") as usize)
    }

    /// The network of the case, as users get it (with dropout).
    pub fn network(&self) -> Network {
        let mut spec = ModelSpec::new(self.text("model").parse::<ModelKind>().expect("a model"));
        spec.classes = self.count("classes");
        spec.width = self.number("width");
        spec.input = Fixture::size(self.fact("size"));
        if let Some(geometry) = self.fact("geometry").as_str() {
            spec.geometry = geometry.parse::<Geometry>().expect("a geometry");
        }
        if let Some(head) = self.fact("head").as_str() {
            spec.head = head.parse::<Head>().expect("a head");
        }
        build(&spec).expect("a network")
    }
}

/// Collects what differs, so that one run shows every difference.
#[derive(Default)]
pub struct Comparison {
    failures: Vec<String>,
    worst: BTreeMap<&'static str, (f64, String)>,
}

impl Comparison {
    /// Compares with the stored tensor `{group}.{name}`, or its sample, and with the stored norm and projection.
    /// Differences count in units of the largest stored value, or of `least_scale` if that is more. Returns the
    /// largest of them.
    pub fn tensor(
        &mut self,
        fixture: &Fixture,
        group: &'static str,
        name: &str,
        values: &[f32],
        tolerance: f64,
        least_scale: f64,
    ) -> f64 {
        let stored = fixture.tensor(&format!("{group}.{name}"));
        let stride = if stored.len() == values.len() { 1 } else { stride(values.len(), stored.len()) };
        let sample: Vec<f32> = values.iter().step_by(stride).copied().collect();
        let mut worst = self.values(group, name, &sample, stored, tolerance, least_scale);

        let sums = fixture.tensor(&format!("{group}_sums.{name}"));
        let (mut squares, mut projection) = (0.0f64, 0.0f64);
        for (&value, direction) in
            values.iter().zip(uniform(&format!("projection/{name}"), values.len(), 1.0))
        {
            squares += f64::from(value) * f64::from(value);
            projection += f64::from(value) * f64::from(direction);
        }
        // A projection on random directions is as large as its vector's norm: that is the scale of both.
        let scale = f64::from(sums[0]).max(least_scale * (values.len() as f64).sqrt());
        for (what, ours, theirs) in [("norm", squares.sqrt(), sums[0]), ("projection", projection, sums[1])] {
            let one =
                self.number(group, &format!("{name} ({what})"), ours - f64::from(theirs), scale, tolerance);
            worst = worst.max(one);
        }
        worst
    }

    /// Compares number by number; returns the largest relative difference.
    pub fn values(
        &mut self,
        group: &'static str,
        name: &str,
        ours: &[f32],
        theirs: &[f32],
        tolerance: f64,
        least_scale: f64,
    ) -> f64 {
        if ours.len() != theirs.len() {
            self.failures.push(format!("{group}.{name}: {} numbers, not {}", ours.len(), theirs.len()));
            return f64::INFINITY;
        }
        let scale = largest(theirs).max(least_scale);
        // A NaN must not hide in the maximum.
        let worst = ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| f64::from((a - b).abs()))
            .fold(0.0, |worst, d| if d.is_nan() || d > worst { d } else { worst });
        self.number(group, name, worst, scale, tolerance)
    }

    /// Notes a difference that no tensor stands for.
    pub fn fail(&mut self, what: String) {
        self.failures.push(what);
    }

    fn number(
        &mut self,
        group: &'static str,
        name: &str,
        difference: f64,
        scale: f64,
        tolerance: f64,
    ) -> f64 {
        let relative = if difference == 0.0 { 0.0 } else { difference.abs() / scale };
        let worst = self.worst.entry(group).or_insert((0.0, String::new()));
        if relative.is_nan() || relative > worst.0 {
            *worst = (relative, name.to_owned());
        }
        if relative.is_nan() || relative > tolerance {
            self.failures.push(format!("{group}.{name}: differs by {relative:.1e}, allowed {tolerance:.0e}"));
        }
        relative
    }

    /// Prints the largest difference of each group; panics with all differences that were not allowed.
    pub fn finish(self, name: &str, isa: Isa) {
        let worst: Vec<_> =
            self.worst.iter().map(|(group, (d, tensor))| format!("{group} {d:.1e} ({tensor})")).collect();
        println!("{name} on {}: largest differences: {}", isa.name(), worst.join(", "));
        assert!(
            self.failures.is_empty(),
            "{name} on {}: {} differences:\n{}",
            isa.name(),
            self.failures.len(),
            self.failures.join("\n")
        );
    }
}

/// The largest magnitude.
pub fn largest(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max)
}

fn stride(len: usize, stored: usize) -> usize {
    let fits = |stride: &usize| len.div_ceil(*stride) == stored;
    [11, 101].into_iter().find(fits).unwrap_or_else(|| panic!("{stored} numbers are no sample of {len}"))
}
