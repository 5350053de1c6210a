#!/usr/bin/env python3
"""Trains both tasks for two epochs from one seed, with 1, 2 and 8 threads and with each program given, and compares the weights.

    python3 scripts/same_bits.py target/release/hectare OTHER_BUILD/hectare

Exit code 0: one hash for each task. Standard library only.
"""

import hashlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from kill_and_resume import COLOURS, draw, png


def main():
    programs = [os.path.abspath(program) for program in sys.argv[1:]] or [os.path.abspath("target/release/hectare")]
    rng = random.Random(1)
    well = True
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        draw(folder / "tiles", 12, rng)
        draw(folder / "tiles_val", 3, rng)
        for name, count in (("classes", 48), ("classes_val", 9)):
            (folder / name).mkdir()
            for index in range(count):
                colour = COLOURS[index % 3]
                png(folder / name / f"{index % 3}_{index}.png", lambda x, y, c=colour: tuple(v // 2 + rng.randrange(99) for v in c))
        tasks = {
            "classify": ["--train", folder / "classes", "--val", folder / "classes_val", "--model", "vgg16_bn", "--batch-size", "8"],
            "segment": ["--train", folder / "tiles", "--val", folder / "tiles_val", "--model", "fcn8s", "--batch-size", "2"],
        }
        for task, flags in tasks.items():
            hashes = set()
            for program in programs:
                for threads in (1, 2, 8):
                    out = folder / "run"
                    command = [program, "train", task, *flags, "--out", out, "--width", "0.125", "--input", "64", "--epochs", "2"]
                    command += ["--seed", "5", "--ema", "0.9", "--threads", str(threads), "--quiet"]
                    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
                    digest = hashlib.sha256((out / "weights/last.safetensors").read_bytes()).hexdigest()
                    print(f"{task:8} {threads} threads  {digest[:16]}  {program}")
                    hashes.add(digest)
                    subprocess.run(["rm", "-rf", out], check=True)
            well &= len(hashes) == 1
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
