//! `hectare bench`: how fast the engine is on this machine.

use std::process::{Command, Stdio};

use hectare_kernels::Isa;
use hectare_kernels::threads::current_threads;

use crate::args::BenchArgs;
use crate::bench::machine::Machine;
use crate::bench::network::{self, Files};
use crate::bench::report::{Measurement, Report};
use crate::bench::stopwatch::Plan;
use crate::bench::workload::{Work, Workload, all};
use crate::failure::{Answer, Failure, OrFail, check_memory};
use crate::{console, output};

/// Measures the workloads asked for and prints their figures.
///
/// # Errors
/// Names, files or flags that do not go with one another (exit code 2), or a workload that fails.
pub fn run(args: &BenchArgs, threads: Option<usize>) -> Result<Answer, Failure> {
    if args.list {
        console::result(list())?;
        return Ok(Answer::Yes);
    }
    let wanted = choose(&args.only)?;
    let files = Files { weights: args.weights.clone(), input: args.input.clone(), save: args.save.clone() };
    let report = match (&wanted[..], args.only.is_empty()) {
        ([workload], false) => {
            check_files(&files, workload)?;
            check_fits(workload)?;
            Report { machine: Machine::here(), workloads: vec![measure(workload, &files, args)?] }
        }
        _ if !files.is_empty() => {
            return Err(Failure::input("--weights, --input and --save are for one workload")
                .help("name it, as in --only trunk-predict-8x128"));
        }
        _ => in_processes(&wanted, args, threads)?,
    };
    if args.json {
        console::json(&report)?;
    } else {
        console::result(format_args!("{report}"))?;
    }
    Ok(Answer::Yes)
}

/// Names and what they stand for.
fn list() -> String {
    let all = all();
    let width = all.iter().map(|workload| workload.name.len()).max().unwrap_or(0);
    all.iter().map(|workload| format!("{:width$}  {}\n", workload.name, workload.describe())).collect()
}

/// The workloads of these names, each once, or all.
fn choose(names: &[String]) -> Result<Vec<Workload>, Failure> {
    let mut all = all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|workload| workload.name == **name)) {
        let known: Vec<&str> = all.iter().map(|workload| workload.name.as_str()).collect();
        return Err(Failure::input(format_args!("there is no workload {unknown}"))
            .help(format_args!("choose among {}", known.join(", "))));
    }
    all.retain(|workload| names.is_empty() || names.contains(&workload.name));
    Ok(all)
}

fn check_files(files: &Files, workload: &Workload) -> Result<(), Failure> {
    if !files.is_empty() && !matches!(workload.work, Work::Predict(_)) {
        return Err(Failure::input(format_args!(
            "--weights, --input and --save do not go with {}",
            workload.name
        ))
        .help("they are for predictions, as trunk-predict-8x128"));
    }
    files.save.as_deref().map_or(Ok(()), output::check_file)
}

fn check_fits(workload: &Workload) -> Result<(), Failure> {
    let needed = network::needed_bytes(workload)?;
    check_memory(format_args!("{} needs about", workload.name), needed, "measure a smaller one (--list)")
}

/// Measures one workload in this process.
fn measure(workload: &Workload, files: &Files, args: &BenchArgs) -> Result<Measurement, Failure> {
    let plan = Plan { warm_up: args.warm_up, runs: args.runs };
    let times = match workload.work {
        Work::Predict(subject) => network::predict(subject, workload.batch, files, &plan)?,
        Work::Train(model) => network::train(model, workload.batch, &plan)?,
        Work::Layer(layer, pass) => layer.run(pass, workload.batch, &plan),
    };
    Measurement::new(workload, current_threads(), times)
}

/// Measures each workload in a process of its own: a process's peak of memory only ever grows.
fn in_processes(wanted: &[Workload], args: &BenchArgs, threads: Option<usize>) -> Result<Report, Failure> {
    let program = std::env::current_exe().or_work()?;
    let mut workloads = Vec::new();
    for (index, workload) in wanted.iter().enumerate() {
        if let Err(failure) = check_fits(workload) {
            console::warn(format_args!("left out: {failure}"));
            continue;
        }
        console::say(format_args!("{} of {}: {}", index + 1, wanted.len(), workload.name));
        let mut command = Command::new(&program);
        command.args(["bench", "--json", "--only", &workload.name]);
        command.args(["--warm-up", &args.warm_up.to_string()]);
        if let Some(runs) = args.runs {
            command.args(["--runs", &runs.to_string()]);
        }
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if Isa::best().is_bf16() {
            command.args(["--precision", "bf16"]);
        }
        let said = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().or_work()?;
        if !said.status.success() {
            return Err(Failure::work(format_args!("{} failed: {}", workload.name, said.status)));
        }
        let report: Report = serde_json::from_slice(&said.stdout).or_work()?;
        workloads.extend(report.workloads);
    }
    Ok(Report { machine: Machine::here(), workloads })
}
