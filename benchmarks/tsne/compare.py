"""Runs hectare and its peers on the same matrices and writes raw.json and report.md.

    python compare.py --hectare target/release/hectare --work FOLDER --results benchmarks/results/NAME

Every run is a process of its own, on --threads threads; programs take turns, and the median of --rounds runs counts.
"""

import argparse
import json
import pathlib
import platform
import statistics
import subprocess
import sys

from data import SETS

HERE = pathlib.Path(__file__).parent
PROGRAMS = ["hectare", "sklearn", "intelex", "opentsne", "manifolds", "manifolds-fft"]


def peer(args, name, features, out, equal):
    command = [*args.before, sys.executable, str(HERE / "peer.py"), name, str(features), str(out)]
    command += ["--threads", str(args.threads)] + (["--equal", str(equal)] if equal else [])
    command += ["--hectare", str(args.hectare.resolve())] if name == "hectare" else []
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        return {"error": run.stderr.strip().splitlines()[-1:]}
    return json.loads(run.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hectare", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["features", "clusters"])
    parser.add_argument("--programs", nargs="+", default=PROGRAMS)
    parser.add_argument("--modes", nargs="+", choices=["defaults", "equal"], default=["defaults", "equal"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report-only", action="store_true", help="write report.md again from raw.json")
    parser.add_argument("--before", nargs="*", default=[], help="a command that each run is started through")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.results.mkdir(parents=True, exist_ok=True)
    raw_file = args.results / "raw.json"
    raw = json.loads(raw_file.read_text()) if raw_file.exists() else {"runs": [], "quality": {}}
    if args.report_only:
        (args.results / "report.md").write_text(report(raw))
        return
    cpu = [line for line in open("/proc/cpuinfo") if line.startswith("model name")]
    raw["machine"] = {"cpu": cpu[0].split(":")[1].strip() if cpu else platform.processor(), "threads": args.threads}
    freeze = subprocess.run([sys.executable, "-m", "pip", "freeze"], capture_output=True, text=True).stdout
    raw["packages"] = freeze.split()
    for data in args.sets:
        features = args.work / f"{data}.npy"
        if not features.exists():
            subprocess.run([sys.executable, str(HERE / "data.py"), data, str(args.work)], check=True)
        for mode in args.modes:
            equal = 750 if mode == "equal" else None
            for turn in range(args.rounds):
                for program in args.programs:
                    out = args.work / f"{data}-{mode}-{program}.npy"
                    run = peer(args, program, features, out, equal)
                    run |= {"program": program, "data": data, "mode": mode, "turn": turn}
                    print(json.dumps(run), flush=True)
                    raw["runs"].append(run)
                    raw_file.write_text(json.dumps(raw, indent=1) + "\n")
            maps = [args.work / f"{data}-{mode}-{program}.npy" for program in args.programs]
            maps = [str(file) for file in maps if file.exists()]
            labels = args.work / f"{data}-labels.npy"
            command = [sys.executable, str(HERE / "quality.py"), str(features), str(labels), *maps]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for file, figures in found.items():
                raw["quality"][pathlib.Path(file).stem] = figures
            raw_file.write_text(json.dumps(raw, indent=1) + "\n")
    (args.results / "report.md").write_text(report(raw))


def report(raw):
    lines = [f"# t-SNE side by side\n\n{raw['machine']['cpu']}, {raw['machine']['threads']} threads.\n"]
    for data, mode in sorted({(run["data"], run["mode"]) for run in raw["runs"]}):
        n, columns = SETS[data]
        what = "every program's defaults" if mode == "defaults" else "equal settings, 750 iterations"
        lines.append(f"\n## {n:,} x {columns:,}, {what}\n")
        lines.append("| program | median s | all runs | hectare is faster by | KL | neighbours kept | 10-NN accuracy |")
        lines.append("|---|---|---|---|---|---|---|")
        times = {}
        for run in raw["runs"]:
            if (run["data"], run["mode"]) == (data, mode) and "seconds" in run:
                times.setdefault(run["program"], []).append(run["seconds"])
        ours = statistics.median(times.get("hectare", [float("nan")]))
        for program, seconds in times.items():
            figures = raw["quality"].get(f"{data}-{mode}-{program}", {})
            cells = [f"{figures[key]:.4f}" if key in figures else "" for key in ["kl", "neighbours_kept", "accuracy"]]
            all_runs = ", ".join(f"{s:.2f}" for s in seconds)
            median = statistics.median(seconds)
            lines.append(f"| {program} | {median:.2f} | {all_runs} | {median / ours:.2f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
