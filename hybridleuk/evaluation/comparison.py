"""What a comparison comes back with: a table, the predictions, a document, a report."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hybridleuk.evaluation.checkpoints import write_atomically
from hybridleuk.evaluation.metrics import METRICS

__all__ = ["Comparison"]


@dataclass(frozen=True)
class Comparison:
    """Candidates compared on the same folds.

    Attributes
    ----------
    document : dict
        What ``comparison.json`` holds: ``dataset``, ``protocol``, ``candidates``, ``pairs``,
        ``shortcuts``, ``leakage_gap``, ``external``, ``verdict``, ``alarms``, ``warnings``,
        ``notes``, ``confusion``, ``versions``, ``command``.
    predictions : DataFrame
        Out of fold: ``candidate``, ``split``, ``repeat``, ``fold``, ``image_id``, ``path``,
        ``label``, ``group``, ``predicted``, ``prob_<class>``...
    external_predictions : DataFrame
        The same for external images, with ``set`` in place of split, repeat and fold.
    """

    document: dict[str, Any]
    predictions: pd.DataFrame
    external_predictions: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def table(self) -> pd.DataFrame:
        """One row per candidate and split, best first; each metric with ``_low`` and ``_high``."""
        rows = [_row(candidate) for candidate in self.document["candidates"]]
        frame = pd.DataFrame(rows)
        order = ["split", "balanced_accuracy"]
        return frame.sort_values(order, ascending=[True, False], ignore_index=True)

    @property
    def verdict(self) -> list[str]:
        """The result in sentences, what to worry about first."""
        return list(self.document["verdict"])

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the self-contained HTML report and return its path."""
        from hybridleuk.report.html import comparison_report

        target = Path(path)
        write_atomically(target, comparison_report(self.document, self.predictions).encode())
        return target

    def write(self, directory: str | os.PathLike[str]) -> Path:
        """Write all results to a folder.

        ``comparison.json``, ``predictions.parquet``, the main table as ``table.csv``, ``table.md``
        and ``table.tex``, ``model_card.md`` of the best candidate and ``report.html``;
        ``external.parquet`` is added where external images were scored.
        """
        from hybridleuk.report.model_card import card_text
        from hybridleuk.report.tables import csv_table, latex_table, markdown_table

        folder = Path(directory)
        text = json.dumps(self.document, indent=1, allow_nan=False, ensure_ascii=False)
        write_atomically(folder / "comparison.json", text.encode())
        write_atomically(folder / "predictions.parquet", self.predictions.to_parquet(index=False))
        if len(self.external_predictions):
            content = self.external_predictions.to_parquet(index=False)
            write_atomically(folder / "external.parquet", content)
        texts = {
            "table.csv": csv_table(self.document),
            "table.md": markdown_table(self.document),
            "table.tex": latex_table(self.document),
            "model_card.md": card_text(self.document),
        }
        for name, text in texts.items():
            write_atomically(folder / name, text.encode())
        self.report(folder / "report.html")  # last: it tells that the comparison is finished
        return folder

    def _repr_html_(self) -> str:
        sentences = "".join(f"<li>{sentence}</li>" for sentence in self.verdict)
        return f"<ul>{sentences}</ul>{self.table.round(3).to_html(index=False)}"


def _row(candidate: dict[str, Any]) -> dict[str, Any]:
    row = {"name": candidate["name"], "split": candidate["split"]}
    for metric in METRICS:
        estimate = candidate[metric]
        row[metric] = estimate["mean"]
        row[f"{metric}_low"], row[f"{metric}_high"] = estimate["low"], estimate["high"]
    row["fit_seconds"] = candidate["fit_seconds"]
    row["predict_ms_per_image"] = candidate["predict_ms_per_image"]
    return row
