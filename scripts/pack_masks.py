"""Packs a segmentation run and the masks that it predicted into evidence that a repository can hold, and counts the IoU of the
masks anew from a folder of truth.

    python scripts/pack_masks.py RUN MASKS OUT [--truth FOLDER]

MASKS is what `hectare predict` wrote (RGB). OUT gets them as palette PNGs, the run's snapshots (OUT/snapshots/epoch_NNNN), its
settings with paths cut down to their last part, metrics.csv, protocol.json, and with --truth the confusion matrix of the masks
(rows are the truth, columns what was predicted). Needs NumPy and Pillow.
"""

import argparse
import pathlib
import re
import shutil

import numpy as np
from PIL import Image

NAMES = ["Urban", "Agriculture", "Rangeland", "Forest", "Water", "Barren", "Unknown"]
COLOURS = [(0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]
# The grader's: a bit for each channel of at least 128, red the highest; red alone is Unknown too.
CLASS_OF_CODE = np.array([6, 4, 3, 0, 6, 2, 1, 5])


def classes(path):
    """Class of each pixel of a mask."""
    bits = np.asarray(Image.open(path).convert("RGB")) >= 128
    return CLASS_OF_CODE[bits @ np.array([4, 2, 1])]


def pack(source, target):
    """Writes a mask as a palette PNG."""
    target.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(classes(source).astype(np.uint8))
    image.putpalette([level for colour in COLOURS for level in colour])
    image.save(target, optimize=True, bits=4)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("run", type=pathlib.Path)
parser.add_argument("masks", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--truth", type=pathlib.Path)
args = parser.parse_args()

masks = sorted(args.masks.glob("*_mask.png"))
for mask in masks:
    pack(mask, args.out / mask.name)
for snapshot in sorted(args.run.glob("masks/epoch_*/*_mask.png")):
    pack(snapshot, args.out / "snapshots" / snapshot.parent.name / snapshot.name)
settings = (args.run / "config.toml").read_text()
settings = re.sub(r'"/[^"]*/([^"/]+/[^"/]+)"', r'"\1"', settings)
(args.out / "config.toml").write_text(settings)
shutil.copy(args.run / "metrics.csv", args.out / "metrics.csv")
for protocol in [*args.run.glob("protocol.json"), *args.run.glob("eval/protocol.json")]:
    shutil.copy(protocol, args.out / "protocol.json")

if args.truth:
    counts = np.zeros((7, 7), dtype=np.int64)
    for mask in masks:
        truth, predicted = classes(args.truth / mask.name), classes(args.out / mask.name)
        counts += np.bincount(7 * truth.ravel() + predicted.ravel(), minlength=49).reshape(7, 7)
    with open(args.out / "confusion.csv", "w") as file:
        file.write("truth\\predicted," + ",".join(NAMES) + "\n")
        for name, row in zip(NAMES, counts):
            file.write(name + "," + ",".join(map(str, row)) + "\n")
    hit = np.diag(counts)[:6]
    iou = hit / (counts.sum(1)[:6] + counts.sum(0)[:6] - hit)
    for name, value in zip(NAMES, iou):
        print(f"{name:12} {value:.5f}")
    print(f"mean         {iou.mean():.6f} over {len(masks)} masks")
