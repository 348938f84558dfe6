"""Draws the curves of benches/curves: python plot.py CURVES.JSON OUT.SVG"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# Text stays text, so that the file is small and can be searched.
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "tokencache"

import matplotlib.pyplot as pyplot  # noqa: E402


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    report = json.loads(source.read_text())
    curves = report["curves"].values()
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3.6), constrained_layout=True)
    for panel, curve in zip(panels, curves):
        numbers = [point["number"] for point in curve["points"]]
        panel.plot(numbers, [point["ratio"] for point in curve["points"]], marker="o")
        panel.axhline(1, linewidth=0.8, color="grey")
        panel.set_xscale("log")
        panel.set_xticks(numbers, [f"{number:,}" for number in numbers], rotation=45)
        panel.minorticks_off()
        panel.set_ylim(bottom=0)
        panel.set_xlabel(curve["what"])
        panel.set_ylabel("× floor")
    figure.suptitle(f"A zero-copy hit beside the floor: {report['machine']}")
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main()
