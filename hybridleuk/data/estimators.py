"""What every scikit-learn estimator on images has in common."""

from __future__ import annotations

from typing import Any

__all__ = ["TakesImages"]


class TakesImages:
    """Tell scikit-learn that `X` is a list of paths or arrays, checked by the estimator itself."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        return tags
