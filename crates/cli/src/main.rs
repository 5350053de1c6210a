//! `hectare`: the command line. It parses, calls the libraries and prints; the work is done below.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 it ran and the answer is no, 2 the
//! user's input or flags are wrong (found before work began), 3 a failure after work began.

mod args;
mod bench;
mod commands;
mod console;
mod demo;
mod download;
mod embedding;
mod failure;
mod ground;
mod model_file;
mod output;
mod progress;
mod reproduce;
mod scene_files;
mod signals;
mod study;
mod table;

use std::process::ExitCode;

use clap::Parser;

use args::{Command, Hectare, Precision};
use failure::{Answer, Failure};
use hectare_kernels::Isa;

fn main() -> ExitCode {
    let hectare = Hectare::parse();
    console::set_level(i8::try_from(hectare.global.verbose).unwrap_or(1), hectare.global.quiet);
    if let Some(threads) = hectare.global.threads {
        hectare_kernels::threads::set_default_threads(threads);
    }
    match choose_precision(&hectare).and_then(|()| run(&hectare)) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            console::error(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What was asked for; a run that is gone on with keeps what it began with, if this CPU can.
fn choose_precision(hectare: &Hectare) -> Result<(), Failure> {
    let Some(precision) = hectare.global.precision else {
        if let Command::Train(args) = &hectare.command {
            Isa::prefer_bf16(commands::train::resumes_in_bf16(args));
        }
        return Ok(());
    };
    if precision == Precision::Bf16 {
        if Isa::bf16().is_none() {
            let message =
                "--precision bf16: this CPU has no unit for products of bf16 numbers (Intel AMX, on Linux)";
            return Err(Failure::input(message).help("leave the flag out, f32 runs everywhere"));
        }
        Isa::prefer_bf16(true);
    }
    Ok(())
}

fn run(hectare: &Hectare) -> Result<Answer, Failure> {
    match &hectare.command {
        Command::Demo(args) => commands::demo::run(args),
        Command::Summary(args) => commands::summary::run(args),
        Command::Data(args) => match &args.command {
            args::DataCommand::Check(args) => commands::data_check::run(args),
            args::DataCommand::Tile(args) => commands::data_tile::run(args),
        },
        Command::Train(args) => commands::train::run(args, hectare.global.threads),
        Command::Eval(args) => commands::eval::run(args),
        Command::Predict(args) => commands::predict::run(args),
        Command::Area(args) => commands::area::run(args),
        Command::Sample(args) => commands::sample::run(args),
        Command::Polygons(args) => commands::polygons::run(args),
        Command::Score(args) => commands::score::run(args),
        Command::Tune(args) => commands::tune::run(args),
        Command::Convert(args) => commands::convert::run(args),
        Command::Reproduce(args) => commands::reproduce::run(args, hectare.global.threads),
        Command::Report(args) => commands::report::run(args),
        Command::Embed(args) => commands::embed::run(args),
        Command::Tsne(args) => commands::tsne::run(args),
        Command::Init(args) => commands::init::run(args),
        Command::Bench(args) => commands::bench::run(args, hectare.global.threads),
    }
}
