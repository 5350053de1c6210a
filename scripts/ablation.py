"""What each ingredient of the segmentation recipe is worth: a short run with all of them, and one without each in turn.

    python scripts/ablation.py --train DIR --val DIR --init TRUNK --runs DIR --out ablation.csv [--hectare PROGRAM] [--seeds 1,2]

Every run trains FCN8s with the light head on crops of 128 of tiles scaled to 256, three epochs over the first 500 tiles, and is
measured on all of the validation set. Runs that DIR already holds are not repeated, so that the work can be stopped and
taken up. Prints a Markdown table and writes every run's figures to --out. Needs Python alone.
"""

import argparse
import csv
import pathlib
import shutil
import statistics
import subprocess

BASE = {
    "--model": "fcn8s",
    "--head-width": "1024",
    "--head-kernel": "3",
    "--partial": "true",
    "--resize": "256",
    "--input": "128",
    "--limit": "500",
    "--epochs": "3",
    "--validate-every": "3",
    "--batch-size": "8",
    "--lr": "5e-4",
    "--trunk-lr-factor": "0.2",
    "--warmup-epochs": "0.25",
    "--schedule": "cosine",
    "--ema": "0.98",
    "--loss": "ce+lovasz",
    "--class-weights": "0.89,0.37,1.0,0.85,1.66,1.02,0",
    "--scale": "0.75,1.5",
}
# What each variant changes; a flag without a value is taken away.
VARIANTS = {
    "all of it": {},
    "no flips, no quarter turns": {"--flip-h": "false", "--flip-v": "false", "--quarter-turns": "false"},
    "no change of scale": {"--scale": "1,1"},
    "cross-entropy alone": {"--loss": "ce"},
    "no class weights": {"--class-weights": "none"},
    "no ImageNet weights": {"--init": None, "--partial": None, "--trunk-lr-factor": "1"},
    "the head's rate on the trunk": {"--trunk-lr-factor": "1"},
    "constant rate, no warm-up": {"--schedule": "constant", "--warmup-epochs": "0"},
    "trunk frozen": {"--trunk-lr-factor": "0"},
    "trunk not rescaled": {"--balance": "false"},
    "SGD (rate 0.01) for AdamW": {"--optimiser": "sgd", "--lr": "0.01"},
    "Lovasz in the last half only": {"--loss": "ce+lovasz@0.5"},
    "Dice for Lovasz": {"--loss": "ce+dice"},
    "colour jitter of 0.2 added": {"--brightness": "0.2", "--contrast": "0.2", "--saturation": "0.2"},
    "poly schedule": {"--schedule": "poly"},
    "label smoothing of 0.1 added": {"--label-smoothing": "0.1"},
}


def last_row(run):
    """The last epoch's figures, or nothing where the run is not at its end."""
    path = run / "metrics.csv"
    if not path.exists():
        return None
    rows = list(csv.DictReader(path.open()))
    return rows[-1] if rows and rows[-1]["epoch"] == BASE["--epochs"] and rows[-1]["val_mean_iou"] else None


def train(args, number, seed, changes):
    """Trains one variant, unless that is done, and gives its last epoch."""
    run = pathlib.Path(args.runs) / f"{number:02}-{seed}"
    if row := last_row(run):
        return row
    shutil.rmtree(run, ignore_errors=True)
    flags = BASE | {"--train": args.train, "--val": args.val, "--init": args.init, "--out": str(run), "--seed": seed} | changes
    command = [args.hectare, "train", "segment", "-q"]
    for flag, value in flags.items():
        if value is not None:
            command.append(f"{flag}={value}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(run / "weights", ignore_errors=True)
    shutil.rmtree(run / "state", ignore_errors=True)
    return last_row(run)


def spread(values):
    """Mean and half the distance from the least to the greatest."""
    return f"{statistics.mean(values):.4f} ± {(max(values) - min(values)) / 2:.4f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["train", "val", "init", "runs", "out"]:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--hectare", default="target/release/hectare")
    parser.add_argument("--seeds", default="1,2")
    args = parser.parse_args()
    seeds = args.seeds.split(",")
    done = []
    # All variants of a seed before the next seed: stopped early, every variant has been run as often.
    for seed in seeds:
        for number, (name, changes) in enumerate(VARIANTS.items()):
            row = train(args, number, seed, changes)
            done.append({"variant": name, "seed": seed, **row})
            with open(args.out, "w", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=list(done[0]), extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                writer.writerows(done)
    whole = None
    print("| variant | mean IoU | change | averaged weights | rangeland | water |")
    print("|---|---|---|---|---|---|")
    for name in VARIANTS:
        rows = [row for row in done if row["variant"] == name]
        of = lambda key: [float(row[key]) for row in rows]
        figures = of("val_mean_iou")
        mean = statistics.mean(figures)
        whole = mean if whole is None else whole
        cells = [name, spread(figures), f"{mean - whole:+.4f}", spread(of("ema_val_mean_iou")), spread(of("iou_Rangeland")), spread(of("iou_Water"))]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
