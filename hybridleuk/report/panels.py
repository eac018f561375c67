"""Small square panels, one per candidate: confusion matrix, ROC and PR curves, reliability."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from hybridleuk.report.axes import Axes, note
from hybridleuk.report.svg import element, number

__all__ = ["confusion_table", "precision_recall_panel", "reliability_panel", "roc_panel"]

Array = npt.NDArray[Any]
Curve = tuple[Array, Array]
_BINS = 10
_ROC = Axes("false alarms", "found")
_RECALL = Axes("found", "right among those called")
_RELIABILITY = Axes("probability given", "came true")


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
    curves = _one_against_rest(_roc, truth, probabilities, classes)
    areas = {label: float(np.trapezoid(tpr, fpr)) for label, (fpr, tpr) in curves.items()}
    return _class_panel(name, _ROC, curves, areas, ("ROC", "AUROC"), [_diagonal(_ROC)])


def precision_recall_panel(
    name: str, truth: Array, probabilities: Array, classes: Sequence[str]
) -> Markup:
    """Draw precision over recall of each class, the class of lowest average precision in color.

    Average precision is the mean of the precision at each recall, weighted by the step in recall
    (:func:`sklearn.metrics.average_precision_score`); the dashed line is what guessing
    reaches for the class named, its share of the images.

    Parameters
    ----------
    name : str
    truth : ndarray of shape (n,), int
    probabilities : ndarray of shape (n, k)
    classes : sequence of k str
    """
    curves = _one_against_rest(_precision_recall, truth, probabilities, classes)
    areas = {
        label: float(np.sum(np.diff(recall) * precision[1:]))
        for label, (recall, precision) in curves.items()
    }
    lowest = min(areas, key=areas.__getitem__)
    share = float(np.mean(truth == list(classes).index(lowest)))
    guess = _RECALL.rule(y=share, class_="diagonal")
    return _class_panel(name, _RECALL, curves, areas, ("Precision-recall", "AP"), [guess])


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
                cx=number(_RELIABILITY.x(confidence)),
                cy=number(_RELIABILITY.y(accuracy)),
                r=number(2.5 + 11 * float(np.sqrt(share))),
                class_="dot",
            )
        )
    return _RELIABILITY.panel(
        name,
        [_diagonal(_RELIABILITY), *dots, note(f"ECE {ece:.3f}", "strong")],
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


def _precision_recall(score: Array, positive: Array) -> Curve:
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(positive[order])[ends]
    recall = np.concatenate([[0.0], hits / hits[-1]])
    precision = hits / (ends + 1)
    return recall, np.concatenate([[precision[0]], precision])


def _one_against_rest(
    curve: Callable[[Array, Array], Curve],
    truth: Array,
    probabilities: Array,
    classes: Sequence[str],
) -> dict[str, Curve]:
    return {
        label: curve(probabilities[:, code], truth == code)
        for code, label in enumerate(classes)
        if 0 < np.sum(truth == code) < len(truth)
    }


def _class_panel(
    name: str,
    axes: Axes,
    curves: Mapping[str, Curve],
    areas: Mapping[str, float],
    words: tuple[str, str],
    behind: list[Markup],
) -> Markup:
    """Draw a curve per class, the one of the smallest area in color and named."""
    lowest = min(areas, key=areas.__getitem__)
    lines = [
        element(
            "path",
            element("title", f"{label}: {words[1]} {areas[label]:.3f}"),
            d=axes.path(*curves[label]),
            class_="curve lowest" if label == lowest else "curve",
        )
        for label in sorted(curves, key=lambda label: label == lowest)
    ]
    named = note(f"lowest: {lowest} {areas[lowest]:.3f}", "lowest-text")
    said = ", ".join(f"{label} {area:.3f}" for label, area in areas.items())
    return axes.panel(
        name, [*behind, *lines, named], f"{words[0]} curves of {name}. Area by class: {said}."
    )


def _diagonal(axes: Axes) -> Markup:
    ends = {"x1": axes.x(0), "y1": axes.y(0), "x2": axes.x(1), "y2": axes.y(1)}
    return element("line", **ends, class_="diagonal")
