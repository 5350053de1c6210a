#!/usr/bin/env python3
"""Kills training runs at random moments, goes on with each, and compares the final weights with an undisturbed run's.

    python3 scripts/kill_and_resume.py --hectare target/release/hectare --kills 50

A small FCN8s (an eighth of the width, tiles of 64 pixels, a checkpoint every 2 steps) trains on tiles drawn here. Each
run is killed with SIGKILL at a moment drawn from the whole length of the undisturbed run, its start included, and
resumed until it is done; half of them are killed once more on the way. Then a run on a small file system (needs the right to mount one)
meets a full disk. Exit code 0: every hash is equal and nothing temporary is left. Standard library only.
"""

import argparse
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

COLOURS = [(0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
SIDE = 64


def png(path, pixel):
    """An RGB picture of SIDE x SIDE pixels."""
    rows = b"".join(b"\0" + bytes(v for x in range(SIDE) for v in pixel(x, y)) for y in range(SIDE))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def draw(folder, count, rng):
    folder.mkdir()
    for index in range(count):
        classes = [rng.randrange(6) for _ in range(4)]

        def of(x, y, classes=classes):
            return classes[2 * (y >= SIDE // 2) + (x >= SIDE // 2)]

        png(folder / f"{index:04}_sat.png", lambda x, y: tuple(v // 2 + rng.randrange(100) for v in COLOURS[of(x, y)]))
        png(folder / f"{index:04}_mask.png", lambda x, y: COLOURS[of(x, y)])


def train(options, data, out):
    return [
        options.hectare, "train", "segment", "--model", "fcn8s", "--width", "0.125", "--input", "64",
        "--train", str(data / "train"), "--val", str(data / "val"), "--out", str(out), "--holdout", "0.2", "--ema", "0.9",
        "--epochs", "3", "--batch-size", "2", "--seed", "7", "--checkpoint-every", "2steps", "--quiet",
    ]  # fmt: skip


def fingerprint(run):
    return hashlib.sha256((run / "weights/last.safetensors").read_bytes()).hexdigest()


def leftovers(run):
    names = [path.name for path in run.rglob("*")]
    return [n for n in names if n.startswith((".hectare-", ".weights-")) or n.endswith(".linking") or n.startswith("next.")]


def until_killed(command, seconds):
    """Runs a command for at most so long; says whether it had to be killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {process.returncode}: {said.decode()}")
    return False


def go_on(options, data, out):
    """What a person would type now: a run that never wrote its settings begins anew."""
    if (out / "config.toml").is_file():
        return [options.hectare, "train", "--resume", str(out), "--quiet"]
    return train(options, data, out)


def kill_runs(options, data, folder, rng):
    begun = time.monotonic()
    subprocess.run(train(options, data, folder / "undisturbed"), check=True, stdout=subprocess.DEVNULL)
    length = time.monotonic() - begun
    wanted = fingerprint(folder / "undisturbed")
    print(f"undisturbed: {length:.2f} s, {wanted[:16]}")
    equal = unclean = killed = 0
    for number in range(options.kills):
        out = folder / "run"
        moment = rng.uniform(0, length)
        killed += until_killed(train(options, data, out), moment)
        if number % 2:
            killed += until_killed(go_on(options, data, out), rng.uniform(0, length))
        until_killed(go_on(options, data, out), None)
        same, left = fingerprint(out) == wanted, leftovers(out)
        equal, unclean = equal + same, unclean + bool(left)
        if not same or left:
            print(f"kill {number} at {moment:.3f} s: {'equal' if same else 'OTHER WEIGHTS'}, left over: {left}")
        subprocess.run(["rm", "-rf", out], check=True)
    print(f"{equal} of {options.kills} runs equal after {killed} kills, {unclean} with temporary files left")
    return equal == options.kills and unclean == 0, wanted


def fill_disk(options, data, folder, wanted):
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        print("full disk: NOT TRIED, no file system can be mounted here")
        return True
    try:
        out = disk / "run"
        process = subprocess.Popen(train(options, data, out), stderr=subprocess.PIPE)
        while process.poll() is None and not list(out.glob("state/[!.]*")):
            time.sleep(0.002)
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass
        said = process.communicate()[1].decode().strip()
        print(f"full disk: exit code {process.returncode}, {said.splitlines()[-1] if said else 'nothing said'}")
        code = process.returncode
        again = subprocess.run(go_on(options, data, out), capture_output=True)
        print(f"resumed on the full disk: exit code {again.returncode}")
        filler.unlink()
        until_killed(go_on(options, data, out), None)
        same, left = fingerprint(out) == wanted, leftovers(out)
        print(f"resumed with space: {'equal' if same else 'OTHER WEIGHTS'}, left over: {left}")
        return code == 3 and again.returncode in (2, 3) and same and not left
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hectare", default="target/release/hectare")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.hectare = os.path.abspath(options.hectare)
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        data = folder / "data"
        data.mkdir()
        draw(data / "train", 24, rng)
        draw(data / "val", 4, rng)
        killed_well, wanted = kill_runs(options, data, folder, rng)
        filled_well = fill_disk(options, data, folder, wanted)
    return 0 if killed_well and filled_well else 1


if __name__ == "__main__":
    sys.exit(main())
