"""The machine, and the programs that are neither Python nor of it."""

import datetime
import os
import platform
import re
import subprocess

from workloads import REPOSITORY

FLAGS = ["avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve"]


def describe():
    """CPU, cores, memory and system."""
    fields = {}
    with open("/proc/cpuinfo") as text:
        for line in text:
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    present = (fields.get("flags") or fields.get("Features") or "").split()
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "family": fields.get("cpu family"),
        "model": fields.get("model"),
        "cores": len(os.sched_getaffinity(0)),
        "flags": {flag: flag in present for flag in FLAGS},
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def has_bf16(machine):
    """Whether the CPU multiplies bf16 numbers itself; without that, bf16 is slower than f32."""
    return machine["flags"]["avx512_bf16"] or machine["flags"]["amx_bf16"]


def slug(machine):
    """The CPU's name for a folder: ``intel-xeon-platinum-8481c``."""
    name = re.sub(r"\((R|TM)\)|\bCPU\b|\bProcessor\b|@.*", " ", machine["cpu"])
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def today():
    return datetime.date.today().isoformat()


def commit():
    """The checkout's commit, with a + where files differ from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", REPOSITORY, *arguments], capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "HEAD") + ("+" if changed else "")) or None
