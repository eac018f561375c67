"""Probes: what else is asked of a fitted candidate before it is let go.

A candidate is fitted once per fold. What needs the fitted candidate itself, and not only its
out-of-fold probabilities (how it takes a changed background, which measurements it leans on), is
asked by a probe, on the test part of the fold alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from hybridleuk.data.splits import Fold

if TYPE_CHECKING:
    from hybridleuk.evaluation.crossval import Study

__all__ = ["Answer", "Probe", "applicable"]

Array = npt.NDArray[Any]


class Probe(Protocol):
    """Asks one thing of a fitted candidate.

    A probe is a frozen dataclass of plain values: they name its answers on disk, so that an
    interrupted comparison resumes and a changed question is asked again.
    """

    @property
    def name(self) -> str:
        """What the answers are filed under, such as ``"counterfactuals"``."""

    def applies_to(self, estimator: Any) -> bool:
        """Tell whether a candidate can be asked."""

    def ask(self, fitted: Any, study: Study, fold: Fold) -> dict[str, Array]:
        """Return named arrays, none of them of dtype object."""


@dataclass(frozen=True)
class Answer:
    """What a probe found on one fold.

    Attributes
    ----------
    test : ndarray of shape (n_test,), int
        Rows of the study that the fitted candidate had not seen.
    arrays : mapping of name to ndarray
    """

    test: npt.NDArray[np.intp]
    arrays: dict[str, Array]


def applicable(probes: Sequence[Probe], estimator: Any) -> list[Probe]:
    """List the probes that a candidate can be asked."""
    return [probe for probe in probes if probe.applies_to(estimator)]
