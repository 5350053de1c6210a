#!/usr/bin/env python3
"""Compares the memory that training announces with what it takes: the peak of the process (VmHWM), for four kinds of run.

    python3 scripts/memory_promise.py --hectare target/release/hectare

Pictures are drawn here. Exit code 0: every peak is within 10 % of the figure printed before training (or under it by
the space that a cache of so few pictures leaves), and ten epochs take no more than two. Standard library only.
"""

import argparse
import os
import random
import re
import resource
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

UNITS = {"MiB": 1 << 20, "GiB": 1 << 30}
COLOURS = [(0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def png(path, side, colours):
    """An RGB picture of four squares."""
    half = side // 2
    rows = [b"\0" + bytes(colours[2 * below]) * half + bytes(colours[2 * below + 1]) * (side - half) for below in (0, 1)]
    data = rows[0] * half + rows[1] * (side - half)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    )


def draw(folder, rng):
    for name, count in (("tiles", 8), ("tiles_val", 2)):
        (folder / name).mkdir()
        for index in range(count):
            colours = [rng.choice(COLOURS) for _ in range(4)]
            png(folder / name / f"{index:04}_sat.png", 512, [tuple(v // 2 + 40 for v in colour) for colour in colours])
            png(folder / name / f"{index:04}_mask.png", 512, colours)
    for name, count in (("classes", 64), ("classes_val", 32)):
        (folder / name).mkdir()
        for index in range(count):
            png(folder / name / f"{index % 4}_{index}.png", 64, [COLOURS[index % 4]] * 4)


def peak(command):
    """Runs it; its own peak in bytes and what it announced."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{said}")
    number, unit = re.search(r"memory: about ([\d.]+) (MiB|GiB)", said).groups()
    return usage.ru_maxrss * 1024, float(number) * UNITS[unit]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hectare", default="target/release/hectare")
    options = parser.parse_args()
    rng = random.Random(1)
    well = True
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw(folder, rng)
        segment = ["segment", "--train", folder / "tiles", "--val", folder / "tiles_val"]
        classify = ["classify", "--train", folder / "classes", "--val", folder / "classes_val"]
        small = [*segment, "--model", "fcn8s", "--width", "0.125", "--input", "128", "--batch-size", "2"]
        runs = {
            "vgg16, 16 of 128, AdamW": [*classify, "--model", "vgg16", "--input", "128", "--batch-size", "16"],
            "vgg16_bn, half width, 32 of 64, SGD": [
                *classify, "--model", "vgg16_bn", "--width", "0.5", "--input", "64", "--batch-size", "32", "--optimiser", "sgd",
            ],
            "fcn32s, 2 crops of 256, AdamW, average": [
                *segment, "--model", "fcn32s", "--input", "256", "--batch-size", "2", "--ema", "0.99",
            ],
            "fcn8s, 1 whole tile of 512, SGD": [
                *segment, "--model", "fcn8s", "--input", "whole", "--batch-size", "1", "--optimiser", "sgd",
            ],
        }  # fmt: skip
        print(f"{'run':40} {'announced':>10} {'peak':>10} {'ratio':>6}")
        for number, (name, flags) in enumerate(runs.items()):
            flags = [str(flag) for flag in flags]
            command = [options.hectare, "train", *flags, "--epochs", "1", "--seed", "1", "--out", str(folder / f"run{number}")]
            taken, announced = peak(command)
            subprocess.run(["rm", "-rf", folder / f"run{number}"], check=True)
            ratio = taken / announced
            well &= 0.9 <= ratio <= 1.1
            print(f"{name:40} {announced / 2**20:7.0f}MiB {taken / 2**20:7.0f}MiB {ratio:6.2f}")
        peaks = {}
        for epochs in (2, 10):
            flags = [str(flag) for flag in small]
            out = str(folder / f"epochs{epochs}")
            command = [options.hectare, "train", *flags, "--epochs", str(epochs), "--seed", "1", "--out", out]
            peaks[epochs], _ = peak(command)
        growth = peaks[10] / peaks[2]
        well &= growth < 1.02
        print(f"small fcn8s: peak after 2 epochs {peaks[2] / 2**20:.0f} MiB, after 10 {peaks[10] / 2**20:.0f} MiB")
    return 0 if well else 1


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
