"""The main table for papers, wikis and spreadsheets: LaTeX, Markdown and CSV, from plain data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from hybridleuk.report.dots import as_estimate, plain_text
from hybridleuk.report.reading import candidates_of, group_word, shortcuts_of, split_words

__all__ = ["COLUMNS", "csv_table", "escape_latex", "latex_table", "markdown_table"]

Document = Mapping[str, Any]
Entry = Mapping[str, Any]
COLUMNS = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "ece": "ECE",
    "brier": "Brier",
}
_PRINTED = ("balanced_accuracy", "macro_f1", "auroc", "ece")
_COSTS = {"fit_seconds": "Fit (s)", "predict_ms_per_image": "Predict (ms)"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
}


def csv_table(document: Document) -> str:
    """Write every candidate and shortcut baseline of every split, one number a column.

    Columns: ``kind`` (``candidate`` or ``shortcut``), ``split``, ``name``; each metric with
    ``_low`` and ``_high``; ``fit_seconds``, ``predict_ms_per_image``, ``size_bytes``. What is not
    known is empty.
    """
    metrics = _metrics(document["candidates"])
    spread = [f"{name}{end}" for name in metrics for end in ("", "_low", "_high")]
    head = ["kind", "split", "name", *spread, *_COSTS, "size_bytes"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for split in _splits(document):
        for entry in candidates_of(document, split):
            ends = [value for name in metrics for value in _ends(entry.get(name))]
            costs = [entry.get(key) for key in (*_COSTS, "size_bytes")]
            writer.writerow(["candidate", split, entry["name"], *ends, *costs])
        for entry in document["shortcuts"]:
            if entry["split"] == split:
                known = [entry["balanced_accuracy"], entry["low"], entry["high"]]
                empty = [None] * (len(head) - 3 - len(known))
                writer.writerow(["shortcut", split, entry["name"], *known, *empty])
    return text.getvalue()


def markdown_table(document: Document) -> str:
    """Write the candidates, best first, then the shortcut baselines, with 95 % intervals."""
    metrics = _metrics(document["candidates"])
    head = ["Candidate", *(COLUMNS[name] for name in metrics), *_COSTS.values()]
    lines = [_markdown_row(head), _markdown_row(["---", *(["---:"] * (len(head) - 1))])]
    lines += [_markdown_row(row) for row in _rows(document, metrics)]
    return "\n".join([*lines, "", _caption(document), ""])


def latex_table(document: Document) -> str:
    """Write the table for LaTeX, with the rules of the package ``booktabs``.

    Of the metrics it has four, so that it is no wider than a page.
    """
    metrics = [name for name in _metrics(document["candidates"]) if name in _PRINTED]
    head = ["Candidate", *(COLUMNS[name] for name in metrics), *_COSTS.values()]
    rows = [[escape_latex(cell) for cell in row] for row in _rows(document, metrics)]
    n_candidates = len(candidates_of(document))
    body = [_latex_row(row) for row in rows[:n_candidates]]
    if rows[n_candidates:]:
        body += [r"\midrule", *(_latex_row(row) for row in rows[n_candidates:])]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering\footnotesize",
            rf"\caption{{{escape_latex(_caption(document))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
            r"\toprule",
            _latex_row([escape_latex(cell) for cell in head]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Escape what LaTeX would take for a command; en dashes become ``--``.

    Examples
    --------
    >>> from hybridleuk.report.tables import escape_latex
    >>> escape_latex("a_b & 5 %")
    'a\\_b \\& 5 \\%'
    """
    return "".join(_LATEX.get(letter, letter) for letter in text).replace("–", "--")


def _metrics(candidates: Sequence[Entry]) -> list[str]:
    """Name the metrics that every candidate has."""
    return [name for name in COLUMNS if all(name in entry for entry in candidates)]


def _splits(document: Document) -> list[str]:
    return list(dict.fromkeys(entry["split"] for entry in document["candidates"]))


def _ends(estimate: Entry | None) -> tuple[Any, Any, Any]:
    known = as_estimate(estimate)
    return known["mean"], known["low"], known["high"]


def _rows(document: Document, metrics: Sequence[str]) -> list[list[str]]:
    rows = [
        [
            entry["name"],
            *(plain_text(entry[name]) for name in metrics),
            *(_cost(entry.get(key)) for key in _COSTS),
        ]
        for entry in candidates_of(document)
    ]
    for entry in shortcuts_of(document):
        known = {"mean": entry["balanced_accuracy"], "low": entry["low"], "high": entry["high"]}
        empty = [""] * (len(metrics) - 1 + len(_COSTS))
        kind = "contrast" if entry.get("kind") == "contrast" else "shortcut"
        rows.append([f"{kind}: {entry['name']}", plain_text(known), *empty])
    return rows


def _cost(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def _caption(document: Document) -> str:
    data, protocol = document["dataset"], document["protocol"]
    groups = f" from {data['n_groups']} {group_word(document)}s" if data["n_groups"] else ""
    return (
        f"{data['name']}: {data['n_images']} images{groups}, {len(data['classes'])} classes; "
        f"{split_words(document)}, seed {protocol['seed']}; 95 % intervals in brackets."
    )


def _markdown_row(cells: Sequence[str]) -> str:
    safe = (cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(cell.replace('<', '&lt;') for cell in safe)} |"


def _latex_row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
