"""Times hectare's t-SNE stage by stage against the number of rows, and draws it.

    python scale.py --hectare target/release/hectare --work FOLDER --results benchmarks/results/NAME

Rows are the first N of data.py's 300,000 x 50. Writes scale.json (all runs), scale.md (medians, peak memory, and how a stage grows from one N to
the next) and scale.svg.
"""

import argparse
import json
import math
import pathlib
import resource
import statistics
import subprocess
import sys

SIZES = [1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 70_000, 150_000, 300_000]
STAGES = [("neighbours_s", "neighbours, exact"), ("affinities_s", "affinities"), ("descent_s", "750 iterations"), ("seconds", "all")]
COLOURS = ["#d55e00", "#009e73", "#0072b2", "#333333"]


def measure(args, n):
    file = args.work / f"rows-{n}.npy"
    if not file.exists():
        # In a process of its own: a child's peak begins at the size of its parent.
        code = "import sys, numpy; from data import draw; numpy.save(sys.argv[1], draw('large')[0][: int(sys.argv[2])])"
        subprocess.run([sys.executable, "-c", code, str(file), str(n)], check=True, cwd=pathlib.Path(__file__).parent)
    command = [*args.before, str(args.hectare.resolve()), "tsne", str(file), "--out", str(args.work / f"map-{n}")]
    command += ["--threads", str(args.threads), "--no-quality", "--no-pictures", "--json"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(run.stdout)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"rows": n, "kl": said["kl"], "peak_mib": peak, **said["times"]} | {"seconds": sum(said["times"].values())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hectare", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--rounds", type=int, default=3, help="for up to 70,000 rows; larger sets run once")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--before", nargs="*", default=[], help="a command that each run is started through")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    args.results.mkdir(parents=True, exist_ok=True)
    runs = []
    # From small to large: the peak of memory is that of the largest run so far.
    for n in sorted(args.sizes):
        for _ in range(args.rounds if n <= 70_000 else 1):
            runs.append(measure(args, n))
            print(json.dumps(runs[-1]), flush=True)
        (args.results / "scale.json").write_text(json.dumps({"threads": args.threads, "runs": runs}, indent=1) + "\n")
    table = {n: {key: statistics.median(r[key] for r in runs if r["rows"] == n) for key in runs[0]} for n in sorted(args.sizes)}
    (args.results / "scale.md").write_text(report(table, args.threads))
    (args.results / "scale.svg").write_text(plot(table))


def report(table, threads):
    lines = [f"# Time of t-SNE against the number of rows\n\n50 columns, 50 clusters, {threads} threads, medians; seconds, and the power of N by which a stage grew since the line above.\n"]
    lines.append("| rows | " + " | ".join(name for _, name in STAGES) + " | KL | peak memory |")
    lines.append("|---|" + "---|" * (len(STAGES) + 2))
    before = None
    for n, row in table.items():
        cells = []
        for key, _ in STAGES:
            power = ""
            if before and row[key] > 0.05 and before[key] > 0.05:
                power = f" (N^{math.log(row[key] / before[key]) / math.log(n / before['rows']):.2f})"
            cells.append(f"{row[key]:.2f}{power}")
        lines.append(f"| {n:,} | {' | '.join(cells)} | {row['kl']:.3f} | {row['peak_mib']:,.0f} MiB |")
        before = row
    return "\n".join(lines) + "\n"


def plot(table):
    width, height, left, right, top, bottom = 720, 420, 70, 190, 20, 50
    sizes = list(table)
    values = [table[n][key] for n in sizes for key, _ in STAGES]
    low, high = math.floor(math.log10(max(min(values), 1e-3))), math.ceil(math.log10(max(values)))
    x_low, x_high = math.log10(sizes[0]), math.log10(sizes[-1])

    def x(n):
        return left + (math.log10(n) - x_low) / (x_high - x_low) * (width - left - right)

    def y(s):
        return height - bottom - (math.log10(max(s, 10.0**low)) - low) / (high - low) * (height - top - bottom)

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">']
    svg.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for power in range(low, high + 1):
        at = y(10.0**power)
        svg.append(f'<line x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        svg.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    for n in sizes:
        svg.append(f'<text x="{x(n):.1f}" y="{height - bottom + 18}" text-anchor="middle">{n / 1000:g}k</text>')
    svg.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">rows</text>')
    for (key, name), colour in zip(STAGES, COLOURS):
        points = [(x(n), y(table[n][key])) for n in sizes]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        svg += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
    # Names at the right ends, moved apart where they would lie on each other.
    ends = sorted((y(table[sizes[-1]][key]), name, colour) for (key, name), colour in zip(STAGES, COLOURS))
    last = -99
    for at, name, colour in ends:
        at = max(at, last + 15)
        svg.append(f'<text x="{width - right + 10}" y="{at + 4:.1f}" fill="{colour}">{name}</text>')
        last = at
    return "\n".join(svg + ["</svg>"]) + "\n"


if __name__ == "__main__":
    main()
