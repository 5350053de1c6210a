//! Runs one network in one Rust engine and prints the time of every run and the peak of memory as JSON:
//!
//! ```text
//! rust-peers burn|rten|tract --model FILE --input FILE.npy --output FILE.npy --runs N --warm-up N --threads N
//! ```
//!
//! FILE is the trunk's state_dict in safetensors for burn, and an ONNX file for the others.

mod burn_peer;
mod npy;
mod rten_peer;
mod stopwatch;
mod tract_peer;

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;

use npy::Array;
use stopwatch::Plan;

/// What a run of the program is about.
struct Task {
    model: PathBuf,
    input: Array,
    plan: Plan,
    threads: usize,
}

/// Seconds of each run, and the result of the last.
struct Done {
    times: Vec<f64>,
    output: Array,
}

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let peer = arguments.next().ok_or("the first argument names the engine: burn, rten or tract")?;
    let mut flags = HashMap::new();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} has no value"))?;
        flags.insert(flag, value);
    }
    let flag = |name: &str| flags.get(name).ok_or_else(|| format!("{name} is missing"));
    let number = |name: &str| -> Result<usize, Failure> { Ok(flag(name)?.parse()?) };
    let task = Task {
        model: flag("--model")?.into(),
        input: npy::read(flag("--input")?.as_ref())?,
        plan: Plan { warm_up: number("--warm-up")?, runs: number("--runs")? },
        threads: number("--threads")?,
    };
    let (done, version) = match peer.as_str() {
        "burn" => (burn_peer::run(&task)?, "0.22.1 (flex)"),
        "rten" => (rten_peer::run(&task)?, "0.27.0"),
        "tract" => (tract_peer::run(&task)?, "0.23.9"),
        other => return Err(format!("there is no engine {other}").into()),
    };
    let peak = stopwatch::peak_mib().map_or("null".to_owned(), |mib| mib.to_string());
    npy::write(flag("--output")?.as_ref(), &done.output)?;
    println!(r#"{{"times_s": {:?}, "peak_mib": {peak}, "version": "{version}"}}"#, done.times);
    Ok(())
}
