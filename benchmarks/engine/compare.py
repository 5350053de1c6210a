#!/usr/bin/env python3
"""Measures hectare beside other engines, on the same weights, input and threads.

Every measurement is a fresh process. Rounds go over all engines in turn, so that a machine that grows slower or is
shared hits all alike; each round begins with another engine. Times, peaks of memory and errors go into
``benchmarks/results/DATE-CPU/raw.json``, after every measurement, and at the end into tables and a picture beside it.

    python benchmarks/engine/compare.py --rounds 5 --threads 2

See benchmarks/README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import machine
import report
import workloads
from peers import PEERS
from workloads import DEFAULT, REPOSITORY, WORKLOADS

HERE = Path(__file__).resolve().parent
RUST_PEERS = {"burn": {"trunk"}, "rten": {"trunk", "fcn8s", "fcn32s"}, "tract": {"trunk", "fcn8s", "fcn32s"}}


@dataclass(frozen=True)
class Entrant:
    """Someone in the comparison: an engine, or hectare on one instruction set and number of threads."""

    name: str
    threads: int
    isa: str | None = None

    def takes(self, workload):
        if self.name.startswith("hectare"):
            return True
        if self.name in RUST_PEERS:
            return not workload.training and workload.network in RUST_PEERS[self.name]
        return PEERS[self.name].trains or not workload.training


def environment(entrant):
    """The same number of threads, whatever an engine asks for it."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "RTEN_NUM_THREADS"]
    variables = {**os.environ, **{name: str(entrant.threads) for name in names}}
    variables.pop("HECTARE_ISA", None)
    variables.pop("HECTARE_PROFILE", None)
    if entrant.isa:
        variables["HECTARE_ISA"] = entrant.isa
    return variables


class Bench:
    """Programs, folder and counts of a comparison."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = Path(folder)
        self.broken = set()

    def process(self, command, variables=None):
        """The last line that a process printed, or a RuntimeError with its complaint."""
        try:
            said = subprocess.run(
                [str(part) for part in command],
                capture_output=True,
                text=True,
                env=variables,
                timeout=self.options.timeout,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"took longer than {self.options.timeout} s") from None
        if said.returncode != 0:
            lines = said.stderr.strip().splitlines() or ["nothing was said"]
            raise RuntimeError(f"exit code {said.returncode}: {lines[-1]}")
        return said.stdout

    def worker(self, *arguments, variables=None):
        return self.process([sys.executable, HERE / "worker.py", *arguments], variables)

    def prepare(self, workload, entrants):
        """Weights, input, reference, and every engine's own files."""
        self.worker("inputs", workload.name, self.folder)
        if not workload.training and not workloads.reference_file(self.folder, workload).exists():
            print(f"{workload.name}: result in double precision", file=sys.stderr)
            self.worker("reference", workload.name, self.folder)
        for entrant in entrants:
            try:
                if entrant.name in PEERS:
                    self.worker("prepare", entrant.name, workload.name, self.folder)
                elif entrant.name in RUST_PEERS and entrant.name != "burn":
                    self.worker("onnx", workload.name, self.folder)
            except RuntimeError as error:
                print(f"{workload.name}, {entrant.name}: {error}", file=sys.stderr)
                self.broken.add((workload.name, entrant.name))
                yield entrant, str(error)

    def measure(self, workload, entrant):
        """times_s, peak_mib, version and error of one process."""
        variables = environment(entrant)
        if entrant.name.startswith("hectare"):
            return self.hectare(workload, entrant, variables)
        if entrant.name in RUST_PEERS:
            return self.rust(workload, entrant, variables)
        options = self.options
        counts = (options.runs, options.warm_up, entrant.threads)
        said = self.worker("run", entrant.name, workload.name, self.folder, *counts, variables=variables)
        return json.loads(said.splitlines()[-1])

    def hectare(self, workload, entrant, variables):
        options = self.options
        command = [options.hectare, "bench", "--json", "--only", workload.name, "--threads", entrant.threads]
        command += ["--runs", options.runs, "--warm-up", options.warm_up]
        result = self.folder / "result.npy"
        if not workload.training:
            command += ["--weights", workloads.weights_file(self.folder, workload.network)]
            command += ["--input", workloads.input_file(self.folder, workload), "--save", result]
        said = json.loads(self.process(command, variables))
        [figures], where = said["workloads"], said["machine"]
        if entrant.isa and where["isa"] != entrant.isa:
            raise RuntimeError(f"this CPU has no {entrant.isa}")
        error = None if workload.training else workloads.error(self.folder, workload, np.load(result))
        return {
            "times_s": figures["times_s"],
            "peak_mib": figures["peak_mib"],
            "version": f"{where['version']} ({where['isa']})",
            "error": error,
            "gflop": figures["gflop"],
        }

    def rust(self, workload, entrant, variables):
        from peers import onnx_file

        options = self.options
        burn = entrant.name == "burn"
        model = workloads.weights_file(self.folder, workload.network) if burn else onnx_file(self.folder, workload)
        result = self.folder / "result.npy"
        command = [options.rust_peers, entrant.name, "--model", model, "--output", result]
        command += ["--input", workloads.input_file(self.folder, workload), "--threads", entrant.threads]
        command += ["--runs", options.runs, "--warm-up", options.warm_up]
        said = json.loads(self.process(command, variables).splitlines()[-1])
        return {**said, "error": workloads.error(self.folder, workload, np.load(result))}


def entrants_of(options, here):
    """Whom the options ask for, hectare first."""
    chosen = options.peers
    if chosen is None:
        chosen = [name for name, peer in PEERS.items() if not peer.bf16 or machine.has_bf16(here)]
        chosen += list(RUST_PEERS) if options.rust_peers.exists() else []
    entrants = [Entrant("hectare", options.threads)]
    entrants += [Entrant(f"hectare-{isa}", options.threads, isa) for isa in options.hectare_isa]
    if options.scaling:
        entrants.append(Entrant("hectare-1-thread", 1))
    return entrants + [Entrant(name, options.threads) for name in chosen if name != "hectare"]


def arguments():
    def names(known):
        def parse(text):
            found = [name for name in text.split(",") if name]
            unknown = [name for name in found if name not in known]
            if unknown:
                raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(known)}")
            return found

        return parse

    def positive(text):
        if int(text) < 1:
            raise argparse.ArgumentTypeError("must be at least 1")
        return int(text)

    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/hectare"
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--workloads", type=names(list(WORKLOADS)), default=DEFAULT, metavar="A,B", help="[default: %(default)s]")
    add("--peers", type=names([*PEERS, *RUST_PEERS, "hectare"]), metavar="A,B", help="[default: all that run here]")
    add("--rounds", type=positive, default=5, metavar="N", help="processes of each engine [default: %(default)s]")
    add("--runs", type=positive, default=5, metavar="N", help="timed runs in each process [default: %(default)s]")
    add("--warm-up", type=positive, default=2, metavar="N", help="runs before those [default: %(default)s]")
    add("--threads", type=positive, default=2, metavar="N", help="of every engine [default: %(default)s]")
    add("--hectare", type=Path, default=target, metavar="PATH", help="the program [default: %(default)s]")
    add("--hectare-isa", type=names(["portable", "avx2", "avx512"]), default=[], metavar="A,B", help="hectare there too")
    add("--scaling", action="store_true", help="hectare on one thread too")
    add("--rust-peers", type=Path, default=HERE / "rust-peers/target/release/rust-peers", metavar="PATH")
    add("--out", type=Path, metavar="DIR", help="[default: benchmarks/results/DATE-CPU]")
    add("--work", type=Path, metavar="DIR", help="keep weights and engines' files here [default: a temporary folder]")
    add("--timeout", type=positive, default=1800, metavar="SECONDS", help="of a process [default: %(default)s]")
    options = parser.parse_args()
    if not options.hectare.exists():
        parser.error(f"{options.hectare} is not there: cargo build --release, or --hectare PATH")
    for name in options.peers or []:
        if name in RUST_PEERS and not options.rust_peers.exists():
            parser.error(f"{options.rust_peers} is not there: see benchmarks/README.md, or give --rust-peers PATH")
    return options


def compare(options, folder, out, here):
    bench = Bench(options, folder)
    entrants = entrants_of(options, here)
    raw = {
        "date": machine.today(),
        "machine": here,
        "hectare_commit": machine.commit(),
        "settings": {key: getattr(options, key) for key in ("rounds", "runs", "warm_up", "threads")},
        "gflop": {},
        "measurements": [],
    }

    def keep(workload, entrant, round_, figures):
        if "gflop" in figures:
            raw["gflop"][workload.name] = figures.pop("gflop")
        where = {"workload": workload.name, "peer": entrant.name, "threads": entrant.threads, "round": round_}
        raw["measurements"].append({**where, **figures})
        (out / "raw.json").write_text(json.dumps(raw, indent=1) + "\n")

    chosen = [WORKLOADS[name] for name in options.workloads]
    for workload in chosen:
        for entrant, problem in bench.prepare(workload, [one for one in entrants if one.takes(workload)]):
            keep(workload, entrant, 0, {"failed": problem})
    for round_ in range(options.rounds):
        for workload in chosen:
            for entrant in entrants[round_ % len(entrants) :] + entrants[: round_ % len(entrants)]:
                if not entrant.takes(workload) or (workload.name, entrant.name) in bench.broken:
                    continue
                try:
                    figures = bench.measure(workload, entrant)
                    said = f"{1e3 * float(np.median(figures['times_s'])):.1f} ms"
                except RuntimeError as problem:
                    figures, said = {"failed": str(problem)}, str(problem)
                    bench.broken.add((workload.name, entrant.name))
                print(f"round {round_ + 1}, {workload.name}, {entrant.name}: {said}", file=sys.stderr, flush=True)
                keep(workload, entrant, round_, figures)
    return raw


def free_folder(here):
    """benchmarks/results/DATE-CPU, with a number where there is one already."""
    name = f"{machine.today()}-{machine.slug(here)}"
    folder, number = REPOSITORY / "benchmarks/results" / name, 2
    while folder.exists():
        folder, number = folder.with_name(f"{name}-{number}"), number + 1
    return folder


def main():
    options = arguments()
    here = machine.describe()
    out = options.out or free_folder(here)
    out.mkdir(parents=True, exist_ok=True)
    if options.work:
        options.work.mkdir(parents=True, exist_ok=True)
        raw = compare(options, options.work, out, here)
    else:
        with tempfile.TemporaryDirectory(prefix="hectare-compare-") as folder:
            raw = compare(options, folder, out, here)
    (out / "report.md").write_text(report.markdown(raw))
    (out / "engine.svg").write_text(report.svg(raw))
    print(report.markdown(raw))


if __name__ == "__main__":
    main()
