"""The matrices that the comparison runs on, drawn from a fixed seed.

    python data.py NAME FOLDER     NAME.npy (f32) and NAME-labels.npy, NAME one of those below
"""

import argparse
import pathlib

import numpy as np

SETS = {
    # Features as a classifier has them before its last layer: sparse and positive, 50 classes.
    "features": (2_500, 8_192),
    # 50 clusters in 50 dimensions.
    "clusters": (70_000, 50),
    "large": (300_000, 50),
}


def draw(name):
    n, columns = SETS[name]
    random = np.random.default_rng(1)
    labels = np.arange(n) % 50
    if name == "features":
        # Classes and pictures in 64 hidden dimensions, seen through a random layer and a ReLU.
        hidden = random.normal(size=(50, 64)) * 0.7
        rows = hidden[labels] + random.normal(size=(n, 64)) * 0.8
        x = np.maximum(rows @ random.normal(size=(64, columns)) / 8 - 0.5, 0)
    else:
        x = random.normal(size=(50, columns)) * 0.9
        x = x[labels] + random.normal(size=(n, columns))
    return x.astype(np.float32), labels


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    x, labels = draw(args.name)
    np.save(args.folder / f"{args.name}.npy", x)
    np.save(args.folder / f"{args.name}-labels.npy", labels)
