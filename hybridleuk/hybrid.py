"""Hybrid features: morphology and deep embeddings side by side, each block of equal weight."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from hybridleuk import progress
from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.images import check_images
from hybridleuk.data.manifest import COLUMNS, Manifest
from hybridleuk.embeddings.backbones import BackboneLike, backbone_name, backbones_of
from hybridleuk.exceptions import InputError
from hybridleuk.features import FeatureTable
from hybridleuk.scaling import BlockScaler

if TYPE_CHECKING:
    from hybridleuk.embeddings.extractor import DeepEmbeddings
    from hybridleuk.morphology.extractor import MorphologyFeatures

__all__ = [
    "FEATURES",
    "MEASUREMENTS",
    "BlockScaler",
    "FeatureKind",
    "HybridFeatures",
    "Measurements",
    "extract_features",
]

FeatureKind = Literal["hybrid", "morphology", "deep"]
Measurements = Literal["weighted", "portable", "all"]
FEATURES: tuple[FeatureKind, ...] = ("hybrid", "morphology", "deep")
MEASUREMENTS: tuple[Measurements, ...] = ("weighted", "portable", "all")
# Chosen on PBC images with artificially changed stain and focus, see benchmarks/carry_over.py.
_WEIGHT_OF_OTHERS = 0.4
_OTHERS = "morphology_other"
# Chosen on PBC's images, as they are and artificially changed, and on fields composed of them.
# Models that were fitted with "default" depend on it: raise PREPROCESSING_VERSION with a change.
_POOLINGS = {"image": "stained+center", "segmented": "stained+center", "cells": "avg+gem+center"}
_NOT_PART_OF_THE_RECIPE = ("cache", "workers", "device")


class HybridFeatures(TakesImages, TransformerMixin, BaseEstimator):
    """Images to feature rows: morphology of the cells beside embeddings of frozen networks.

    What depends on the image alone is cached by content; ``fit`` learns only the scaling of the
    blocks (:class:`~hybridleuk.scaling.BlockScaler`), so it belongs inside the fold.

    Parameters
    ----------
    features : {"hybrid", "morphology", "deep"}, default "hybrid"
    measurements : {"weighted", "portable", "all"}, default "weighted"
        Which columns of the morphology are learned from. ``"portable"``: those that mean the same
        under another microscope, lamp and camera (:data:`hybridleuk.morphology.feature.PORTABLE`).
        ``"all"``: every one, which tells more on images of the source that was fitted and misleads
        on others. ``"weighted"``: the portable ones as one block and the others as a second one of
        0.4 times its weight, which keeps most of both; trees, which ignore weights, see all.
        :meth:`extract` always measures all.
    backbone : str, torch.nn.Module, or sequence of them, default "squeezenet1_0"
        One embedding block each; see :class:`~hybridleuk.embeddings.extractor.DeepEmbeddings`.
    weights : str, path or sequence of them, default "default"
        ``"default"``, ``"bundled"``, ``"random"`` or a file; one for all backbones or one for each.
    view : {"image", "cells", "segmented"}, default "image"
        What the networks see.
    orientations : {1, 2, 4, 8}, default 1
        Turned and mirrored copies of each picture that an embedding is the mean of.
    layers : str or sequence of str, default "upper"
        Layers of the networks that are pooled and put side by side: the deeper two thirds of those
        their records list, since the last one is rarely the best for small cells.
    pooling : str, default "default"
        Of :mod:`hybridleuk.embeddings.pooling`. ``"default"`` is ``"stained+center"``, the mean
        weighted by stain and the mean over the middle, where a cropped cell lies; in the view
        ``cells``, which shows nothing but one cell in one stain, ``"avg+gem+center"``.
    spacing : float, optional
        Micrometres per pixel; without it, lengths are in pixels.
    device, precision : str, default "auto" and "fp32"
    cache : path, "default" or None
    workers : int, optional
        Threads that decode and processes that measure; by default one per core.
    random_state : int, default 0
        Seed of ``"random"`` weights.

    Attributes
    ----------
    scaler_ : BlockScaler
    blocks_ : dict of str to int
        Name and width of each block.
    names_ : list of str
        Name of every feature.
    versions_ : dict of str to int
        Of the code that found cells, measured and cut pictures when this was fitted.

    Examples
    --------
    >>> from hybridleuk import HybridFeatures
    >>> from hybridleuk.data.artificial import draw_cell
    >>> cells = [draw_cell("lymphocyte", random_state=i).image for i in range(3)]
    >>> features = HybridFeatures(features="morphology", cache=None)
    >>> features.fit_transform(cells).shape[0]
    3
    """

    def __init__(
        self,
        features: FeatureKind = "hybrid",
        *,
        measurements: Measurements = "weighted",
        backbone: BackboneLike | Sequence[BackboneLike] = "squeezenet1_0",
        weights: Any = "default",
        view: str = "image",
        orientations: int = 1,
        layers: str | Sequence[str] = "upper",
        pooling: str = "default",
        spacing: float | None = None,
        device: str = "auto",
        precision: str = "fp32",
        cache: Any = "default",
        workers: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.features = features
        self.measurements = measurements
        self.backbone = backbone
        self.weights = weights
        self.view = view
        self.orientations = orientations
        self.layers = layers
        self.pooling = pooling
        self.spacing = spacing
        self.device = device
        self.precision = precision
        self.cache = cache
        self.workers = workers
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the scaling of the blocks of images, or of a feature table."""
        table = self._table(X)
        self.blocks_ = dict(zip(table.blocks, table.block_sizes, strict=True))
        self.names_ = table.feature_names
        self.versions_ = dict(table.provenance.get("versions", _versions(table.blocks)))
        weights = [_WEIGHT_OF_OTHERS if name == _OTHERS else 1.0 for name in table.blocks]
        self.scaler_ = BlockScaler(table.block_sizes, block_weights=weights).fit(table.matrix())
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Return scaled features of shape (n, n_features)."""
        return self.scaler_.transform(self._checked(X).matrix())

    def deviations(self, X: Any) -> npt.NDArray[np.float64]:
        """Return how far each feature lies from the mean of the images that were fitted.

        In their standard deviations, of shape (n, n_features); 0 where the feature did not vary.
        """
        values = self._checked(X).matrix()
        away: npt.NDArray[np.float64] = (values - self.scaler_.mean_) / self.scaler_.spread_
        return away

    def _checked(self, X: Any) -> FeatureTable:
        """Take features, made in the way of those that were fitted, of images or of a table."""
        check_is_fitted(self)
        self._check_versions(X)
        table = self._table(X)
        found = dict(zip(table.blocks, table.block_sizes, strict=True))
        if found != self.blocks_:
            raise InputError(
                f"The features have the blocks {found}; fitted were {self.blocks_}. "
                "Extract them with the same settings."
            )
        return table

    def extract(self, X: Any) -> FeatureTable:
        """Measure and embed images without scaling anything: what ``hybridleuk extract`` writes.

        Parameters
        ----------
        X : Manifest or sequence of images
        """
        images = list(X.paths) if isinstance(X, Manifest) else check_images(X)
        extractors = self.extractors()
        for extractor in extractors.values():  # weights that cannot be had are said at once
            extractor.fit(images)
        blocks = {name: _block(extractor, images) for name, extractor in extractors.items()}
        if not isinstance(X, Manifest):
            identity = pd.DataFrame(index=range(len(images)))
            return FeatureTable(identity, blocks, self._provenance(extractors))
        learned = _say_learned(self._backbones() if self.features != "morphology" else [], X)
        return FeatureTable(
            X.frame[list(COLUMNS)], blocks, self._provenance(extractors) | {"learned": learned}
        )

    def extractors(self) -> dict[str, MorphologyFeatures | DeepEmbeddings]:
        """Make the extractor of each block, unfitted."""
        if self.features not in FEATURES:
            raise InputError(
                f"features is {self.features!r}; expected one of {', '.join(FEATURES)}."
            )
        made: dict[str, MorphologyFeatures | DeepEmbeddings] = {}
        if self.features in ("hybrid", "morphology"):
            made["morphology"] = self._morphology()
        if self.features in ("hybrid", "deep"):
            for backbone, weights in self._backbones():
                name = backbone_name(backbone)
                made[f"embedding__{name}__{self.view}"] = self._deep(backbone, weights)
        return made

    def _backbones(self) -> list[tuple[BackboneLike, Any]]:
        given = backbones_of(self.backbone)
        names = [backbone_name(backbone) for backbone in given]
        one = isinstance(self.weights, str) or not isinstance(self.weights, Sequence)
        weights = [self.weights] * len(names) if one else list(self.weights)
        if len(weights) != len(names):
            raise InputError(
                f"{len(weights)} weights for {len(names)} backbones ({', '.join(names)}); give one "
                "for all, or one for each in the same order."
            )
        if not names or len(set(names)) < len(names):
            raise InputError(f"Backbones {names}: expected at least one, each once.")
        return list(zip(given, weights, strict=True))

    def _morphology(self) -> MorphologyFeatures:
        from hybridleuk.morphology.extractor import MorphologyFeatures

        return MorphologyFeatures(spacing=self.spacing, cache=self.cache, n_jobs=self.workers)

    def _deep(self, backbone: BackboneLike, weights: Any) -> DeepEmbeddings:
        from hybridleuk.embeddings.extractor import DeepEmbeddings

        return DeepEmbeddings(
            backbone,
            layers=self.layers,
            pooling=self._pooling(),
            view=self.view,
            orientations=self.orientations,
            weights=weights,
            device=self.device,
            precision=self.precision,
            cache=self.cache,
            workers=self.workers,
            random_state=self.random_state,
        )

    def _pooling(self) -> str:
        # A view that does not exist is refused by the extractor.
        return _POOLINGS.get(self.view, "avg") if self.pooling == "default" else self.pooling

    def _table(self, X: Any) -> FeatureTable:
        if self.measurements not in MEASUREMENTS:
            raise InputError(
                f"measurements is {self.measurements!r}; expected one of {', '.join(MEASUREMENTS)}."
            )
        table = X if isinstance(X, FeatureTable) else self.extract(X)
        measured = table.blocks.get("morphology")
        if measured is None or self.measurements == "all":
            return table
        portable, others = _parted(measured)
        if self.measurements == "portable":
            if portable.shape[1] == 0:
                raise InputError(
                    f"None of the {measured.shape[1]} morphology columns is portable to another "
                    "microscope; set measurements to 'all' to learn from them nevertheless."
                )
            others = others.iloc[:, :0]
        parts = {"morphology": portable, _OTHERS: others}
        rest = {name: block for name, block in table.blocks.items() if name != "morphology"}
        return replace(table, blocks={n: b for n, b in parts.items() if b.shape[1]} | rest)

    def _check_versions(self, X: Any) -> None:
        """Refuse what was measured in another way than what was fitted, under the same names."""
        if isinstance(X, FeatureTable):
            found = X.provenance.get("versions", self.versions_)
        else:
            found = _versions(self.blocks_)
        if dict(found) != self.versions_:
            raise InputError(
                f"Fitted on features of the versions {self.versions_ or 'before 2'}, but these "
                f"would be of {dict(found)}, whose values differ under the same names; fit again "
                "with this version of hybridleuk."
            )

    def _provenance(self, extractors: Mapping[str, Any]) -> dict[str, Any]:
        from hybridleuk import __version__

        parameters = self.get_params(deep=False)
        recipe = {k: v for k, v in parameters.items() if k not in _NOT_PART_OF_THE_RECIPE}
        recipe["weights"] = _as_text(recipe["weights"])
        names = [backbone_name(backbone) for backbone in backbones_of(self.backbone)]
        recipe["backbone"] = names[0] if len(names) == 1 else names
        recipe["layers"] = _as_text(recipe["layers"])
        recipe["pooling"] = self._pooling()
        described = {
            name: {
                "weights": extractor.weights_description_,
                "sha256": extractor.weights_sha256_,
                "throughput": extractor.throughput_,
            }
            for name, extractor in extractors.items()
            if name != "morphology"
        }
        return {
            "hybridleuk": __version__,
            "python": platform.python_version(),
            "parameters": recipe,
            "embeddings": described,
            "versions": _versions(extractors),
        }

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the name of every feature."""
        check_is_fitted(self)
        return np.asarray(self.names_, dtype=object)


def extract_features(manifest: Manifest, **parameters: Any) -> FeatureTable:
    """Extract what :class:`HybridFeatures` with these parameters extracts, one row per image."""
    return HybridFeatures(**parameters).extract(manifest)


def _versions(blocks: Iterable[str]) -> dict[str, int]:
    """Versions of whatever changes the values of some blocks."""
    from hybridleuk.embeddings.preprocessing import PREPROCESSING_VERSION
    from hybridleuk.morphology.catalogue import MORPHOLOGY_VERSION
    from hybridleuk.segmentation.cells import SEGMENTATION_VERSION

    needed: dict[str, int] = {}
    for block in blocks:
        if block.startswith("morphology"):
            needed |= {"segmentation": SEGMENTATION_VERSION, "morphology": MORPHOLOGY_VERSION}
        elif block.endswith("__image"):
            needed["preprocessing"] = PREPROCESSING_VERSION
        else:
            needed |= {
                "segmentation": SEGMENTATION_VERSION,
                "preprocessing": PREPROCESSING_VERSION,
            }
    return needed


def _say_learned(
    networks: Iterable[tuple[BackboneLike, Any]], manifest: Manifest
) -> dict[str, int]:
    """Count the images each network was trained on, and tell the user of them."""
    from hybridleuk.embeddings.learned import n_learned

    counts = {}
    for backbone, weights in networks:
        name = backbone_name(backbone)
        counts[name] = n_learned(backbone, weights, manifest.frame["sha256"])
        if counts[name]:
            progress.note(
                f"CONTAMINATED: {name} was trained on {counts[name]:,} of these "
                f"{len(manifest):,} images; figures from its embeddings of them would be too good."
            )
    return counts


def _parted(measured: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part the columns of the morphology into portable ones and others."""
    from hybridleuk.morphology.catalogue import portable_columns

    names = [str(column) for column in measured.columns]
    kept = set(portable_columns(names))
    portable = np.array([name in kept for name in names], dtype=bool)
    return measured.loc[:, portable], measured.loc[:, ~portable]


def _block(extractor: Any, images: list[Any]) -> pd.DataFrame:
    values = extractor.transform(images)
    return pd.DataFrame(np.asarray(values), columns=list(extractor.get_feature_names_out()))


def _as_text(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [str(item) for item in value]
    return str(value)
