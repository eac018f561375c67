"""How what was found agrees with what people drew, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .console import current_screen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["agreement_line", "note_problems"]


def agreement_line(kind: str, summed: dict[str, Any]) -> str:
    """Say of how many drawn cells how many were found, and of how many found ones are drawn."""
    shares = [
        f"{name} {summed[name]:.3f}" for name in ("precision", "recall") if summed[name] is not None
    ]
    return (
        f"Against what is drawn: {kind} {summed['drawn']:,} drawn, {summed['found']:,} found, "
        f"{summed['matched']:,} of them the same ({', '.join(shares) or 'none to compare'})"
    )


def note_problems(table: pd.DataFrame) -> int:
    """Tell of annotations that cannot be used, and count the images they are for."""
    told = table[table["problem"].fillna("") != ""].drop_duplicates("path")
    if len(told):
        current_screen().noted(
            f"Of what is drawn on {len(told):,} images something cannot be used, first: "
            f"{told['problem'].iloc[0]}"
        )
    return len(told)
