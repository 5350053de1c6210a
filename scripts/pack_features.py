"""Packs what `hectare embed --features` wrote into evidence that a repository can hold: the rows' first principal components as
f16, and the class of each row.

    python scripts/pack_features.py EMBED_FOLDER OUT_FOLDER [--components 50]

Writes OUT_FOLDER/features.npy (N x components, f16), labels.npy (N, u16), and prints the share of variance that is kept. Needs
NumPy.
"""

import argparse
import csv
import pathlib

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--components", type=int, default=50)
args = parser.parse_args()
rows = np.load(args.folder / "features.npy").astype(np.float64)
with open(args.folder / "map.csv", newline="") as file:
    labels = np.array([int(line["class"]) for line in csv.DictReader(file)], dtype=np.uint16)
assert len(labels) == len(rows), f"{len(rows)} rows and {len(labels)} classes"
rows -= rows.mean(0)
left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
kept = left[:, : args.components] * sizes[: args.components]
args.out.mkdir(parents=True, exist_ok=True)
np.save(args.out / "features.npy", kept.astype(np.float16))
np.save(args.out / "labels.npy", labels)
print(f"{len(rows)} rows, {args.components} components, {(kept**2).sum() / (rows**2).sum():.4f} of the variance")
