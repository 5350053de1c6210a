//! On what it was measured.

use std::fmt;
use std::fs::read_to_string;

use hectare_kernels::{Isa, threads};
use serde::{Deserialize, Serialize};

/// Program and machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's name, where the system tells.
    pub cpu: Option<String>,
    /// Cores that the program may use.
    pub cores: usize,
    /// Threads that it does use.
    pub threads: usize,
    /// The instruction set that its kernels use.
    pub isa: String,
    /// Memory in MiB, where the system tells.
    pub memory_mib: Option<u64>,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// The program's version.
    pub version: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let field = |path: &str, name: &str| {
            let text = read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field("/proc/meminfo", "MemTotal");
        let kib = memory.and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok());
        Machine {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            threads: threads::current_threads(),
            isa: Isa::best().name().to_owned(),
            memory_mib: kib.map(|kib| kib / 1024),
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let Machine { cores, threads, isa, version, .. } = self;
        write!(
            f,
            "hectare {version}, {isa}, {threads} thread{} on {cores} core{}",
            plural(*threads),
            plural(*cores)
        )?;
        match &self.cpu {
            Some(cpu) => write!(f, " of {cpu}"),
            None => Ok(()),
        }
    }
}
