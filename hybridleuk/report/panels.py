"""Small square panels, one per candidate: confusion matrix, ROC curves, reliability."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from hybridleuk.report.svg import element, number, picture

__all__ = ["confusion_table", "reliability_panel", "roc_panel"]

Array = npt.NDArray[Any]
SIDE, LEFT, TOP = 190, 42, 8
_CURVE_POINTS = 120
_BINS = 10


def confusion_table(name: str, matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    """Lay out a confusion matrix, each row in percent of the true class, as a table.

    Parameters
    ----------
    name : str
        Of the candidate.
    matrix : (k, k) counts
        True class by row, predicted class by column.
    classes : sequence of k str
    """
    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = [element("th", element("span", label), scope="col") for label in classes]
    rows = [
        element(
            "tr",
            element("th", label, scope="row"),
            *(_cell(shares[i, j], int(counts[i, j]), i == j) for j in range(len(classes))),
        )
        for i, label in enumerate(classes)
    ]
    return element(
        "table",
        element("caption", name),
        element("thead", element("tr", element("td", "true \\ called", class_="corner"), *head)),
        element("tbody", *rows),
        class_="confusion" if len(classes) <= 8 else "confusion many",
    )


def roc_panel(name: str, truth: Array, probabilities: Array, classes: Sequence[str]) -> Markup:
    """Draw the ROC curve of each class against the rest, the lowest one in color and named.

    Parameters
    ----------
    name : str
    truth : ndarray of shape (n,), int
    probabilities : ndarray of shape (n, k)
    classes : sequence of k str
    """
    curves = {
        label: _roc(probabilities[:, code], truth == code)
        for code, label in enumerate(classes)
        if 0 < np.sum(truth == code) < len(truth)
    }
    areas = {label: float(np.trapezoid(tpr, fpr)) for label, (fpr, tpr) in curves.items()}
    lowest = min(areas, key=areas.__getitem__)
    ordered = sorted(curves, key=lambda label: label == lowest)
    lines = [
        element(
            "path",
            element("title", f"{label}: AUROC {areas[label]:.3f}"),
            d=_path(*curves[label]),
            class_="curve lowest" if label == lowest else "curve",
        )
        for label in ordered
    ]
    note = f"lowest: {lowest} {areas[lowest]:.3f}"
    said = ", ".join(f"{label} {area:.3f}" for label, area in areas.items())
    return _panel(
        name,
        [*lines, _text(note, SIDE + LEFT - 6, TOP + SIDE - 10, "end", "lowest-text")],
        "false alarms",
        "found",
        f"ROC curves of {name}. Area by class: {said}.",
    )


def reliability_panel(name: str, truth: Array, probabilities: Array, ece: float) -> Markup:
    """Draw how often a probability came true, in ten bins of the top probability.

    The area of a dot is the number of images in its bin.

    Parameters
    ----------
    name : str
    truth : ndarray of shape (n,), int
    probabilities : ndarray of shape (n, k)
    ece : float
        Expected calibration error, written into the panel.
    """
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.clip(np.ceil(top * _BINS).astype(int) - 1, 0, _BINS - 1)
    dots, said = [], []
    for number_of_bin in np.unique(bins):
        inside = bins == number_of_bin
        confidence, accuracy, share = top[inside].mean(), right[inside].mean(), inside.mean()
        text = f"{inside.sum()} images called with {confidence:.2f}: {accuracy:.2f} right"
        said.append(text)
        dots.append(
            element(
                "circle",
                element("title", text),
                cx=number(_x(confidence)),
                cy=number(_y(accuracy)),
                r=number(2.5 + 11 * float(np.sqrt(share))),
                class_="dot",
            )
        )
    return _panel(
        name,
        [*dots, _text(f"ECE {ece:.3f}", SIDE + LEFT - 6, TOP + SIDE - 10, "end", "strong")],
        "probability given",
        "came true",
        f"Reliability of {name}, expected calibration error {ece:.3f}. {'; '.join(said)}.",
    )


def _cell(share: float, count: int, correct: bool) -> Markup:
    text = "" if count == 0 else f"{100 * share:.0f}" if share >= 0.005 else "<1"
    return element(
        "td",
        text,
        style=f"--share:{share:.3f}",
        class_=f"{'right' if correct else 'wrong'}{' dark' if share > 0.7 else ''}",
        title=f"{count} images",
    )


def _roc(score: Array, positive: Array) -> tuple[Array, Array]:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[ends]
    alarms = ends + 1 - hits
    fpr = np.concatenate([[0.0], alarms / alarms[-1]])
    tpr = np.concatenate([[0.0], hits / hits[-1]])
    return fpr, tpr


def _path(fpr: Array, tpr: Array) -> str:
    corners = np.flatnonzero((np.diff(fpr, 2) != 0) | (np.diff(tpr, 2) != 0)) + 1
    kept = np.concatenate([[0], corners, [len(fpr) - 1]])
    if len(kept) > _CURVE_POINTS:
        kept = kept[np.linspace(0, len(kept) - 1, _CURVE_POINTS).astype(int)]
    points = " ".join(f"{_x(fpr[i]):.1f} {_y(tpr[i]):.1f}" for i in kept)
    return f"M{points}"


def _x(share: float) -> float:
    return LEFT + SIDE * share


def _y(share: float) -> float:
    return TOP + SIDE * (1 - share)


def _text(text: str, x: float, y: float, anchor: str, class_: str) -> Markup:
    return element("text", text, x=number(x), y=number(y), text_anchor=anchor, class_=class_)


def _panel(name: str, marks: list[Markup], across: str, up: str, label: str) -> Markup:
    frame = [
        element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame"),
        element("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(1), class_="diagonal"),
    ]
    for share in (0.0, 0.5, 1.0):
        anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[share]
        frame.append(_text(f"{share:g}", _x(share), TOP + SIDE + 14, anchor, "quiet"))
        frame.append(_text(f"{share:g}", LEFT - 5, _y(share) + 4 * (1 + share), "end", "quiet"))
    frame.append(_text(across, _x(0.5), TOP + SIDE + 29, "middle", "quiet"))
    turned = f"rotate(-90 9 {_y(0.5):g})"
    frame.append(
        element(
            "text", up, x="9", y=_y(0.5), transform=turned, text_anchor="middle", class_="quiet"
        )
    )
    size = f"0 0 {LEFT + SIDE + 8} {TOP + SIDE + 34}"
    drawn = picture(*frame, *marks, label=label, viewBox=size, class_="panel")
    return element("div", element("h3", name), drawn, class_="panel-box")
