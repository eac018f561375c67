"""How figures are written in the sentences of a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["above_chance", "listed", "p_written", "points", "value_of", "with_interval"]


def with_interval(estimate: Mapping[str, Any]) -> str:
    """Write an estimate as ``0.930 (0.920 to 0.940)``."""
    return f"{estimate['mean']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def points(value: float) -> str:
    """Write a difference of shares in percentage points, with its sign.

    Examples
    --------
    >>> from hybridleuk.evaluation.verdict_words import points
    >>> points(0.0312), points(-0.0001)
    ('+3.1', '0.0')
    """
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text


def p_written(value: float) -> str:
    """Write a p-value."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def listed(texts: Sequence[str]) -> str:
    """Join texts as ``a, b and c``."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def value_of(candidate: Mapping[str, Any]) -> float:
    """Balanced accuracy of a candidate."""
    return float(candidate["balanced_accuracy"]["mean"])


def above_chance(candidate: Mapping[str, Any], chance: float) -> bool:
    """Whether the whole interval of a candidate's balanced accuracy lies above guessing."""
    low = candidate["balanced_accuracy"]["low"]
    return low is not None and low > chance
