#!/usr/bin/env python3
"""Tables and a picture from the raw file of a comparison.

    python benchmarks/engine/report.py benchmarks/results/DATE-CPU/raw.json --svg docs/engine.svg
"""

import argparse
import html
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

# Okabe and Ito's palette, which colour-blind people can tell apart: hectare, its variants, the others.
BLUE, SKY, GREY = "#0072B2", "#56B4E9", "#B3B3B3"
INK, FAINT = "#1A1A1A", "#595959"


@dataclass
class Row:
    """An engine's figures on a workload, over all rounds."""

    peer: str
    version: str
    times: list
    peaks: list
    error: float | None

    @property
    def median(self):
        return statistics.median(self.times)

    @property
    def peak(self):
        return statistics.median(self.peaks) if self.peaks else None


def workloads_of(raw):
    return list(dict.fromkeys(one["workload"] for one in raw["measurements"]))


def rows_of(raw, workload):
    """The engines that ran, the fastest first."""
    found = {}
    for one in raw["measurements"]:
        if one["workload"] != workload or "failed" in one:
            continue
        row = found.setdefault(one["peer"], Row(one["peer"], one["version"], [], [], one["error"]))
        row.times += one["times_s"]
        if one["peak_mib"] is not None:
            row.peaks.append(one["peak_mib"])
    return sorted(found.values(), key=lambda row: row.median)


def failures_of(raw, workload):
    here = [one for one in raw["measurements"] if one["workload"] == workload]
    return {one["peer"]: one["failed"] for one in here if "failed" in one}


def ours(rows):
    return next((row for row in rows if row.peer == "hectare"), None)


def ms(seconds):
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def heading(raw):
    machine, settings = raw["machine"], raw["settings"]
    flags = ", ".join(flag for flag, present in machine["flags"].items() if present)
    commit = (raw["hectare_commit"] or "unknown")[:12]
    return (
        f"{raw['date']}, {machine['cpu']} (family {machine['family']}, model {machine['model']}; {flags}), "
        f"{machine['cores']} cores, {machine['memory_mib'] // 1024} GiB, {machine['system']}. "
        f"{settings['threads']} threads for every engine unless its name says otherwise; {settings['rounds']} rounds of "
        f"{settings['runs']} runs after {settings['warm_up']} that do not count. hectare's commit: {commit}."
    )


def markdown(raw):
    """One table for each workload."""
    parts = ["# hectare beside other engines\n", heading(raw) + "\n"]
    parts.append(
        "Time is the median of all runs of all rounds, with the fastest and the slowest; x is that time over hectare's. "
        "Memory is the process's peak (VmHWM), and its x again over hectare's. The error is rms(result - result in f64) "
        "/ rms(result in f64).\n"
    )
    for workload in workloads_of(raw):
        rows, gflop = rows_of(raw, workload), raw["gflop"].get(workload)
        mine = ours(rows)
        parts.append(f"## {workload}\n")
        if gflop:
            parts.append(f"{gflop:.1f} GFLOP as direct convolutions.\n")
        table = ["| engine | version | time, ms | spread, ms | x | GFLOP/s | memory, MiB | x | error |"]
        table.append("|---|---|---:|---:|---:|---:|---:|---:|---:|")
        for row in rows:
            name = f"**{row.peer}**" if row is mine else row.peer
            times_x = f"{row.median / mine.median:.2f}" if mine else ""
            peak_x = f"{row.peak / mine.peak:.2f}" if mine and mine.peak and row.peak else ""
            cells = [
                name,
                row.version,
                ms(row.median),
                f"{ms(min(row.times))} - {ms(max(row.times))}",
                times_x,
                f"{gflop / row.median:.0f}" if gflop else "",
                f"{row.peak:.0f}" if row.peak else "",
                peak_x,
                f"{row.error:.1e}" if row.error is not None else "",
            ]
            table.append("| " + " | ".join(cells) + " |")
        parts.append("\n".join(table) + "\n")
        for peer, problem in failures_of(raw, workload).items():
            parts.append(f"{peer} did not run: {problem}\n")
    return "\n".join(parts)


def title(workload):
    """fcn8s-train-1x512 for people."""
    network, work, size = workload.rsplit("-", 2)
    names = {"trunk": "VGG16 trunk", "classifier": "VGG16 classifier", "fcn8s": "FCN8s", "fcn32s": "FCN32s"}
    images, side = size.split("x")
    what = {"predict": "prediction", "train": "training step"}[work]
    pictures = "picture" if images == "1" else "pictures"
    return f"{names[network]}, {what}, {images} {pictures} of {side} x {side}"


LABELS = {
    "torch": "PyTorch",
    "torch-channels-last": "PyTorch, channels last",
    "torch-compile": "PyTorch, compiled",
    "torch-bf16": "PyTorch, bf16",
    "openvino": "OpenVINO",
    "openvino-bf16": "OpenVINO, bf16",
    "onnxruntime": "ONNX Runtime",
    "mnn": "MNN",
    "burn": "Burn",
    "rten": "RTen",
}


def svg(raw):
    """Bars of the median times with their spread, a panel for each workload, two beside each other."""
    left, bar_width, right, bar, gap, top = 170, 190, 100, 17, 6, 44
    panel_width = left + bar_width + right
    panels = [(workload, rows_of(raw, workload)) for workload in workloads_of(raw)]
    panels = [(workload, rows) for workload, rows in panels if rows]
    columns = 2 if len(panels) > 1 else 1
    lines = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    heights = [top + max(len(rows) for _, rows in line) * (bar + gap) + 18 for line in lines]
    machine = raw["machine"]
    width, height = columns * panel_width + 20, sum(heights) + 64
    shapes = [
        f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>',
        text(14, 26, "Time per run in ms, and as a multiple of hectare's; shorter is better", 16, weight="bold"),
        text(14, 46, f"{machine['cpu']}, {raw['settings']['threads']} threads, {raw['date']}", 12, FAINT),
    ]
    y = 58
    for line, line_height in zip(lines, heights):
        for column, (workload, rows) in enumerate(line):
            shapes += panel(column * panel_width + 10, y, title(workload), rows, left, bar_width, bar, gap, top)
        y += line_height
    style = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    body = "\n".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} role="img">\n{body}\n</svg>\n'


def panel(x, y, name, rows, left, bar_width, bar, gap, top):
    """One workload's bars."""
    mine = ours(rows)
    longest = max(row.median for row in rows)
    shapes = [text(x + 4, y + 28, name, 13, weight="bold")]
    for index, row in enumerate(rows):
        at = y + top + index * (bar + gap)
        middle = at + bar / 2
        is_ours = row.peer.startswith("hectare")
        colour = BLUE if row is mine else SKY if is_ours else GREY
        length = bar_width * row.median / longest

        def place(seconds):
            return x + left + min(bar_width + 6, bar_width * seconds / longest)

        low, high = place(min(row.times)), place(max(row.times))
        weight = "bold" if row is mine else "normal"
        label = LABELS.get(row.peer, row.peer.replace("-", ", ", 1).replace("-", " "))
        shapes.append(text(x + left - 8, middle + 4, label, 12, weight=weight, anchor="end"))
        shapes.append(f'<rect x="{x + left}" y="{at}" width="{length:.1f}" height="{bar}" fill="{colour}"/>')
        shapes.append(f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="{INK}" stroke-width="1.2"/>')
        ratio = f"  {row.median / mine.median:.2f}x" if mine and row is not mine else ""
        end = max(x + left + length, high) + 6
        shapes.append(text(end, middle + 4, ms(row.median) + ratio, 12, weight=weight))
    return shapes


def text(x, y, content, size, colour=INK, weight="normal", anchor="start"):
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}"'
    kind = f'font-weight="{weight}" text-anchor="{anchor}" xml:space="preserve"'
    return f"<text {place} {kind}>{html.escape(content)}</text>"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("raw", type=Path, help="raw.json of a comparison")
    parser.add_argument("--svg", type=Path, help="where the picture goes")
    parser.add_argument("--markdown", type=Path, help="where the tables go [default: they are printed]")
    options = parser.parse_args()
    raw = json.loads(options.raw.read_text())
    if options.svg:
        options.svg.write_text(svg(raw))
    if options.markdown:
        options.markdown.write_text(markdown(raw))
    elif not options.svg:
        print(markdown(raw))


if __name__ == "__main__":
    main()
