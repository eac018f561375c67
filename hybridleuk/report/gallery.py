"""Images as small pictures in the page itself, and those that were called wrong most surely."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from hybridleuk.data.images import RGBImage, read_image
from hybridleuk.exceptions import ImageError

__all__ = ["Mistake", "data_address", "mistakes", "thumbnail"]

THUMBNAIL = 168


@dataclass(frozen=True)
class Mistake:
    """One image called wrong.

    Attributes
    ----------
    image_id, label, predicted : str
    confidence, given_to_truth : float
        Probabilities of the class called and of the true class.
    picture : str or None
        A ``data:`` address, ``None`` when the image cannot be read any more.
    """

    image_id: str
    label: str
    predicted: str
    confidence: float
    given_to_truth: float
    picture: str | None


def mistakes(predictions: pd.DataFrame, *, limit: int = 12) -> tuple[list[Mistake], int]:
    """Pick the most confidently wrong images of one candidate, each image once.

    Parameters
    ----------
    predictions : DataFrame
        Rows of ``predictions.parquet`` of one candidate and split.
    limit : int, default 12

    Returns
    -------
    (mistakes, number of images called wrong at least once)
    """
    wrong = predictions[predictions["predicted"] != predictions["label"]]
    if wrong.empty:
        return [], 0
    wrong = wrong.assign(
        confidence=_probability(wrong, "predicted"), given_to_truth=_probability(wrong, "label")
    )
    ranked = wrong.sort_values("confidence", ascending=False, kind="stable")
    ranked = ranked.drop_duplicates("image_id")
    columns = ["image_id", "path", "label", "predicted", "confidence", "given_to_truth"]
    picked = ranked[columns].head(limit).itertuples(index=False)
    return [
        Mistake(image_id, label, predicted, confidence, given_to_truth, thumbnail(path))
        for image_id, path, label, predicted, confidence, given_to_truth in picked
    ], len(ranked)


def data_address(image: RGBImage, *, size: int = THUMBNAIL, quality: int = 82) -> str:
    """Write an image into a ``data:`` address, as JPEG of at most `size` pixels a side."""
    small = Image.fromarray(image)
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def thumbnail(path: str) -> str | None:
    """Write an image file into a ``data:`` address; ``None`` where it cannot be read."""
    try:
        return data_address(read_image(path))
    except ImageError:
        return None


def _probability(rows: pd.DataFrame, column: str) -> pd.Series:
    names = [name for name in rows.columns if name.startswith("prob_")]
    table = rows[names].to_numpy(dtype=np.float64)
    positions = [names.index(f"prob_{label}") for label in rows[column]]
    return pd.Series(table[np.arange(len(rows)), positions], index=rows.index)
