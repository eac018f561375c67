"""Draw how smearnet was trained from the log of ``train_smearnet.py``.

    python benchmarks/smearnet_curves.py benchmarks/train_smearnet.jsonl --coarse 30 \\
        -o benchmarks/train_smearnet.svg

Three frames over the epochs: the loss of the classes, how far the network is from its teacher, and
the vote of the ten nearest for images that are only watched. ``--coarse`` is that of the training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from hybridleuk.report.axes import LEFT, SIDE, TOP, Axes
from hybridleuk.report.svg import element, number, picture

WIDTH, HEIGHT, HEADING, APART, LINE = 240, 232, 24, 14, 15  # px
COLORS = ("#5440a8", "#c4500a", "#00795a")  # of the report's style sheet
STYLE = """
text { font: 11px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f1d2b; }
.heading { font-size: 13px; font-weight: 600; } .quiet { fill: #67657a; }
.name { font-weight: 600; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
.paper, .frame { fill: #fff; } .frame { stroke: #e4e1e8; }
.curve { fill: none; stroke-width: 2; } .change { stroke: #67657a; stroke-dasharray: 3 4; }
"""
FRAMES = (
    ("Loss of the classes", "cross-entropy", {"classes": "classes"}),
    ("Distance from the teacher", "1 − cosine", {"teacher": "teacher"}),
    (
        "Watched images",
        "share named rightly",
        {"as it is": "as they are", "other stain": "other stain", "both": "and out of focus"},
    ),
)


def read(path):
    """Read the lines of one training."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    epochs = [line["epoch"] for line in lines]
    if len(lines) < 2 or epochs != list(range(1, len(lines) + 1)):
        raise SystemExit(f"{path} is no log of one training; its epochs are {epochs}.")
    return lines


def curve(lines, figure):
    """Return the epochs at which a figure was taken, and the figure."""
    known = [(line["epoch"], line[figure]) for line in lines if figure in line]
    return [epoch for epoch, _ in known], [value for _, value in known]


def axes_of(up, curves, last):
    """Choose round values at the edges of a frame."""
    values = np.concatenate([values for _, values in curves])
    step = 0.1 if values.max() <= 1 else 0.5
    low, high = np.floor(values.min() / step) * step, np.ceil(values.max() / step) * step
    return Axes("epoch", up, 0, last, float(low), float(high))


def names_of(curves, names):
    """Write name and last figure of each curve where no curve is: on top of those that fall."""
    order = sorted(range(len(names)), key=lambda i: -curves[i][1][-1])
    falls = curves[0][1][-1] < curves[0][1][0]
    top = TOP + 18 if falls else TOP + SIDE - 10 - LINE * (len(order) - 1)
    for place, i in enumerate(order):
        yield element(
            "text", f"{names[i]} {curves[i][1][-1]:.3f}", x=number(LEFT + SIDE - 8),
            y=number(top + LINE * place), text_anchor="end", class_="name",
            style=f"fill: {COLORS[i]}",
        )  # fmt: skip


def frame(lines, heading, up, figures, coarse):
    """Return the axes, the marks in them, and what they say in words."""
    curves, names = [curve(lines, figure) for figure in figures], list(figures.values())
    axes = axes_of(up, curves, lines[-1]["epoch"])
    marks = [axes.rule(x=coarse, class_="change")] if coarse else []
    for (epochs, values), color in zip(curves, COLORS, strict=False):
        marks.append(element("path", d=axes.path(epochs, values), class_="curve", stroke=color))
    said = ", ".join(
        f"{name} from {values[0]:.3f} in epoch {epochs[0]} to {values[-1]:.3f}"
        for name, (epochs, values) in zip(names, curves, strict=True)
    )
    return axes, [*marks, *names_of(curves, names)], f"{heading}: {said}"


def drawn(lines, coarse):
    """Lay the frames side by side."""
    parts, words = [], []
    for place, (heading, up, figures) in enumerate(FRAMES):
        axes, marks, said = frame(lines, heading, up, figures, coarse)
        left = place * (WIDTH + APART)
        parts.append(element("text", heading, x=left + LEFT, y=15, class_="heading"))
        parts.append(axes.drawing(marks, said, x=left, y=HEADING - TOP, width=WIDTH, height=HEIGHT))
        words.append(said)
    wide, high = len(FRAMES) * (WIDTH + APART), HEADING + HEIGHT - TOP
    paper = element("rect", width=wide, height=high, class_="paper")
    label = f"Smearnet over {lines[-1]['epoch']} epochs. {'. '.join(words)}."
    return picture(
        element("title", label), element("style", STYLE), paper, *parts, label=label,
        xmlns="http://www.w3.org/2000/svg", width=wide, height=high, viewBox=f"0 0 {wide} {high}",
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, help="of one training")
    parser.add_argument("-o", "--output", type=Path, required=True, help="picture, .svg")
    parser.add_argument("--coarse", type=int, help="epochs of 96 px, marked by a line")
    options = parser.parse_args()
    lines = read(options.log)
    options.output.write_text(drawn(lines, options.coarse) + "\n")
    print(f"{len(lines)} epochs in {options.output}")


if __name__ == "__main__":
    main()
