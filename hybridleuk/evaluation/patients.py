"""One result for each patient: all images of a group together make one call.

The score of a patient is the mean of the probabilities of the images, over repeats too; the class
of the highest mean is called. Groups that hold more than one label (normal cells beside blasts of
the same patient, say) have no label of their own, and are left out and counted. A patient is then
one observation however many images there are, and intervals are those of as many independent ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hybridleuk.evaluation.metrics import estimates, replicate
from hybridleuk.evaluation.resampling import Resamples

if TYPE_CHECKING:
    from hybridleuk.evaluation.context import Context

__all__ = ["patient_scores", "patients_section"]

Array = npt.NDArray[Any]
_FIGURES = ("accuracy", "balanced_accuracy", "auroc")
_RULE = "mean probability over the images of a {}; the class of the highest mean is called"


def patients_section(context: Context) -> dict[str, Any] | None:
    """Score groups instead of images.

    Returns
    -------
    dict or None
        ``unit``, ``rule``, ``n``, ``n_excluded`` and ``candidates``: ``name``, ``split``,
        estimates ``accuracy``, ``balanced_accuracy``, ``auroc``. None where no groups are known,
        where each holds one image, or where fewer than two classes have a group of their own.
    """
    groups = context.study.groups
    if groups is None or len(np.unique(groups)) == len(groups):
        return None
    unit = "pseudo-group" if context.manifest.group_kind == "pseudo" else "patient"
    n_classes = len(context.study.classes)
    candidates: list[dict[str, Any]] = []
    codes, kept = np.empty(0, dtype=np.intp), np.empty(0, dtype=bool)
    for split, by_name in context.results.items():
        for name, result in by_name.items():
            codes, scores, kept = patient_scores(context.codes, result.probabilities, groups)
            if len(np.unique(codes)) < 2:
                return None
            entry = _figures(codes, scores, n_classes, context)
            candidates.append({"name": name, "split": split, **entry})
    return {
        "unit": unit,
        "rule": _RULE.format(unit),
        "n": int(kept.sum()),
        "n_excluded": int((~kept).sum()),
        "candidates": candidates,
    }


def patient_scores(
    codes: Array, probabilities: Array, groups: Array
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Average the probabilities of each group whose images have one label.

    Parameters
    ----------
    codes : ndarray of shape (n,), int
    probabilities : ndarray of shape (repeats, n, k)
    groups : ndarray of shape (n,)

    Returns
    -------
    codes : ndarray of shape (n_kept,), int
    scores : ndarray of shape (n_kept, k)
    kept : ndarray of shape (n_groups,), bool
        Groups in order of their names that have one label.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.evaluation.patients import patient_scores
    >>> p = np.array([[[.9, .1], [.4, .6], [.2, .8], [.5, .5]]])
    >>> truth, scores, kept = patient_scores(np.array([0, 0, 1, 0]), p, np.array(list("aabb")))
    >>> truth.tolist(), scores.round(2).tolist(), kept.tolist()
    ([0], [[0.65, 0.35]], [True, False])
    """
    member = np.unique(groups, return_inverse=True)[1].ravel()
    n_groups, n_classes = int(member.max()) + 1, probabilities.shape[2]
    per_class = np.bincount(member * n_classes + codes, minlength=n_groups * n_classes)
    per_class = per_class.reshape(n_groups, n_classes)
    kept = (per_class > 0).sum(axis=1) == 1
    sums = np.zeros((n_groups, n_classes))
    np.add.at(sums, member, probabilities.mean(axis=0))
    scores = sums / per_class.sum(axis=1, keepdims=True)
    return per_class.argmax(axis=1)[kept], scores[kept], kept


def _figures(codes: Array, scores: Array, n_classes: int, context: Context) -> dict[str, Any]:
    settings = context.settings
    drawn = Resamples.draw(
        codes, n_classes=n_classes, n_draws=settings.n_draws, random_state=settings.seed
    )
    found = estimates(replicate(codes, scores, drawn), drawn, context.study.classes)
    return {name: found[name].as_dict() for name in _FIGURES}
