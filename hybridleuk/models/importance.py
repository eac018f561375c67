"""Which blocks and measurements a fitted classifier leans on, asked on images it has not seen.

Permutation importance (Breiman 2001, Machine Learning 45:5-32; Fisher, Rudin and Dominici 2019,
JMLR 20(177)): the values of some columns are exchanged between images, which cuts their tie to the
class and to all other columns, and the classifier is asked again. What it loses is what it drew
from these columns and could not draw from the others. Columns that say the same are exchanged
together, since otherwise each hides the loss of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hybridleuk.data.sampling import evenly_by_class
from hybridleuk.models.hybrid import HybridClassifier
from hybridleuk.morphology.groups import feature_of, find_twins

__all__ = ["MORPHOLOGY", "PermutationProbe", "block_columns"]

Array = npt.NDArray[Any]
MORPHOLOGY = "morphology"


@dataclass(frozen=True)
class PermutationProbe:
    """Exchanges blocks and groups of measurements between unseen images, and asks for the calls.

    It works on extracted features; nothing is measured again that is in the cache.

    Parameters
    ----------
    images : int, default 200
        At most so many of a fold's unseen images are asked about, classes in equal numbers.
    compared : int, default 400
        Images, spread over the whole study, on which it is seen which measurements are twins.
    random_state : int, default 0
    """

    images: int = 200
    compared: int = 400
    random_state: int = 0
    name: str = field(default="importance", init=False)

    def applies_to(self, estimator: Any) -> bool:
        """Tell whether a candidate has morphology, and features that need not be made again."""
        return (
            isinstance(estimator, HybridClassifier)
            and estimator.features != "deep"
            and estimator.cache is not None
        )

    def ask(self, fitted: Any, study: Any, fold: Any) -> dict[str, Array]:
        """Return the calls as things are, and with each block and group of twins exchanged.

        Returns
        -------
        dict
            ``rows`` (m,), the images; ``as_is`` (m,), codes of the classes called; ``blocks`` and
            ``block_calls`` (n_blocks, m); ``twins`` (names of members joined by ``|``) and
            ``twin_calls`` (n_twins, m).
        """
        rows = fold[1][evenly_by_class(study.labels[fold[1]], self.images)]
        features = fitted.features_
        values = features.transform(list(study.images[rows]))
        blocks = block_columns(features.blocks_)
        twins = self._twins(features, study)
        columns = {**blocks, **twins}
        order = np.random.default_rng([self.random_state, len(rows)]).permutation(len(rows))
        calls = [_called(fitted, study.classes, values)]
        calls += [
            _called(fitted, study.classes, _exchanged(values, places, order))
            for places in columns.values()
        ]
        exchanged = np.stack(calls[1:])
        return {
            "rows": rows,
            "as_is": calls[0],
            "blocks": np.array(list(blocks)),
            "block_calls": exchanged[: len(blocks)],
            "twins": np.array(list(twins), dtype=np.str_),
            "twin_calls": exchanged[len(blocks) :],
        }

    def _twins(self, features: Any, study: Any) -> dict[str, Array]:
        """Columns of each group of twins, found on the same images whatever the fold."""
        spread = np.linspace(0, len(study.images) - 1, min(self.compared, len(study.images)))
        images = list(study.images[np.unique(spread.astype(int))])
        extractor = features.extractors()[MORPHOLOGY]
        names = [str(name) for name in extractor.get_feature_names_out()]
        measured = pd.DataFrame(extractor.fit(images).transform(images), columns=names)
        places: dict[str, list[int]] = {}
        for place, name in enumerate(features.names_[: _width(features.blocks_)]):
            places.setdefault(feature_of(name), []).append(place)
        found = {}
        for twins in find_twins(measured):
            members = [name for name in twins.members if name in places]
            if members:
                found["|".join(members)] = np.concatenate([places[name] for name in members])
        return found


def block_columns(blocks: dict[str, int]) -> dict[str, Array]:
    """Name the columns of each block; both parts of the morphology are one."""
    ends = np.cumsum(list(blocks.values()))
    found: dict[str, list[Array]] = {}
    for name, width, end in zip(blocks, blocks.values(), ends, strict=True):
        shown = MORPHOLOGY if name.startswith(MORPHOLOGY) else name
        found.setdefault(shown, []).append(np.arange(end - width, end))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _width(blocks: dict[str, int]) -> int:
    return sum(width for name, width in blocks.items() if name.startswith(MORPHOLOGY))


def _exchanged(values: Array, columns: Array, order: Array) -> Array:
    """Give each image the columns of another one, the next in a random round."""
    changed = values.copy()
    changed[np.ix_(order, columns)] = values[np.ix_(np.roll(order, 1), columns)]
    return changed


def _called(fitted: Any, classes: Any, values: Array) -> Array:
    chosen = fitted.classes_[np.argmax(fitted.head_.predict_proba(values), axis=1)]
    return np.searchsorted(classes, chosen.astype(str)).astype(np.int16)
