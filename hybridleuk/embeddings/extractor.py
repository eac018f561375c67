"""`DeepEmbeddings`: a frozen network as a scikit-learn transformer of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin

from hybridleuk.data.cache import Cache, open_cache
from hybridleuk.data.estimators import TakesImages
from hybridleuk.data.images import check_images
from hybridleuk.embeddings import runtime
from hybridleuk.embeddings.backbones import (
    Backbone,
    BackboneLike,
    Block,
    backbone,
    blocks_of,
    is_module,
)
from hybridleuk.embeddings.extraction import Network, Recipe, extract_rows
from hybridleuk.embeddings.preprocessing import ORIENTATIONS, check_view
from hybridleuk.embeddings.throughput import Throughput
from hybridleuk.embeddings.weights import (
    Weights,
    WeightsLike,
    fingerprint,
    resolve_weights,
    trunk_state,
)
from hybridleuk.exceptions import InputError

if TYPE_CHECKING:
    import torch

    from hybridleuk.embeddings.network import FrozenBackbone

__all__ = ["DeepEmbeddings"]


class DeepEmbeddings(TakesImages, TransformerMixin, BaseEstimator):
    """Embed images with a pretrained network that is never trained.

    ``fit`` learns nothing from the images: it checks the parameters and finds the weights. Rows are
    cached by content (image, view, backbone, weights, layer, pooling, precision), so the same image
    is never embedded twice, wherever its file lies; with every row known, neither an image is
    decoded nor the network loaded.

    Parameters
    ----------
    backbone : str or torch.nn.Module, default "squeezenet1_0"
        A name of :data:`hybridleuk.embeddings.backbones.BACKBONES`, ``timm:NAME``,
        ``hf-hub:OWNER/NAME``, or a network of one's own
        (:mod:`hybridleuk.embeddings.own` says what it has to offer).
    layers : str or sequence of str, default "default"
        Layers to pool: names of the backbone's record, ``"default"`` (the deepest), ``"upper"``
        (the deeper two thirds), ``"all"``, or several joined with ``+``, put side by side. All are
        computed in one pass.
    pooling : str, default "avg"
        ``"avg"``, ``"max"``, ``"gem"`` (generalised mean), ``"center"`` (mean of the middle ninth),
        ``"stained"`` (mean weighted by stain), ``"cls"`` (class token of a transformer), or several
        joined with ``+``.
    view : {"image", "cells", "segmented"}, default "image"
        What the network sees, see :mod:`hybridleuk.embeddings.preprocessing`. In the view
        ``cells`` a row is the mean over the image's cells, and zero where there is none.
    weights : {"default", "bundled", "random"} or path, default "default"
        The source's (fetched into torch hub's or Hugging Face's cache when needed), those in the
        package, untrained ones, a state dict as ``.pth`` or ``.safetensors``, or a bundle of
        ``hybridleuk backbones bundle``.
    device : str, default "auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    orientations : {1, 2, 4, 8}, default 1
        Average over each picture as it is (1), mirrored too (2), in four rotations (4), or in four
        rotations and mirrored (8), for as many times the work. A smear has no up and no left.
    precision : {"fp32", "bf16", "fp16", "auto"}, default "fp32"
        fp32 equals the plain torchvision network to 1e-5; bf16 stays within a cosine of 0.999.
    batch_size : int or "auto", default "auto"
        Pictures that go through the network at once; halved where a GPU's memory is too small.
    cache : "default", path or None, default "default"
        Folder of the cache; None is none.
    workers : int, optional
        Threads that decode images beside the network; by default one per core.
    random_state : int, default 0
        Seed of ``"random"`` weights.

    Attributes
    ----------
    weights_description_ : str
        What the weights are, in a phrase for reports.
    weights_sha256_ : str
        SHA-256 of the weights' file, or ``random-<seed>``.
    device_ : torch.device
        Where the network runs.
    blocks_ : tuple of Block
        Layer, pooling and width of each part of a row.
    throughput_ : dict
        How fast the last ``transform`` was, and where its time went
        (:meth:`hybridleuk.embeddings.throughput.Throughput.document`).

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk import DeepEmbeddings
    >>> images = list(np.random.default_rng(0).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8))
    >>> embeddings = DeepEmbeddings("squeezenet1_1", weights="random", cache=None)
    >>> rows = embeddings.fit_transform(images)
    >>> rows.shape, rows.dtype
    ((2, 512), dtype('float32'))
    >>> str(embeddings.get_feature_names_out()[0])
    'squeezenet1_1__image__0'
    """

    def __init__(
        self,
        backbone: BackboneLike = "squeezenet1_0",
        *,
        layers: str | Sequence[str] = "default",
        pooling: str = "avg",
        view: str = "image",
        orientations: int = 1,
        weights: WeightsLike = "default",
        device: str | torch.device = "auto",
        precision: str = "fp32",
        batch_size: int | str = "auto",
        cache: str | os.PathLike[str] | None = "default",
        workers: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.backbone = backbone
        self.layers = layers
        self.pooling = pooling
        self.view = view
        self.orientations = orientations
        self.weights = weights
        self.device = device
        self.precision = precision
        self.batch_size = batch_size
        self.cache = cache
        self.workers = workers
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and find the weights; nothing is learned from the images.

        Parameters
        ----------
        X : sequence of path or (H, W, 3) uint8 array
        y : ignored

        Raises
        ------
        WeightsError
            The weights cannot be had, or do not fit the backbone.
        InputError
            A parameter or `X` is not as described.
        """
        check_images(X)
        self._check_parameters()
        blocks = self._blocks()
        weights = self._weights()
        with self._opened_cache() as cache:
            fingerprint(weights, cache)
        weights.announce()
        self.blocks_ = blocks
        self.weights_description_ = weights.description
        self.weights_sha256_ = weights.sha256
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float32]:
        """Embed images.

        Parameters
        ----------
        X : sequence of path or (H, W, 3) uint8 array

        Returns
        -------
        ndarray of shape (n_images, width), float32
            In the order of X.

        Raises
        ------
        ImageError
            An image cannot be decoded. What was computed before it stays in the cache.
        """
        images = check_images(X)
        self._check_parameters()
        weights = self._weights()
        with self._opened_cache() as cache:
            recipe = Recipe(
                self._record(),
                self._blocks(),
                self.view,  # type: ignore[arg-type]
                self._resolved_precision(),
                fingerprint(weights, cache),
                self.orientations,
            )
            spent = Throughput()
            rows = extract_rows(
                images,
                recipe,
                self._network(weights, recipe),
                cache=cache,
                workers=self.workers or runtime.default_workers(),
                cache_folder=self.cache,
                spent=spent,
            )
        self.throughput_ = spent.document()
        return rows

    def network_state(self) -> dict[str, torch.Tensor]:
        """Return the weights an embedding depends on, float32, on the CPU, without the head.

        Written as ``.safetensors``, they can be given as `weights` and lead to the same rows.
        """
        return trunk_state(self._weights())

    @property
    def device_(self) -> torch.device:
        """Where the network runs."""
        return runtime.resolve_device(self.device)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return a name for every value of a row: ``<backbone>__<view>__<number>``.

        Other than the default layer and pooling are named: ``<backbone>__<view>__<layer>__<pooling>
        __<number>``.
        """
        record = self._record()
        blocks = self._blocks()
        plain = blocks == blocks_of(record)
        return np.asarray(
            [
                f"{record.name}__{self.view}__{i}"
                if plain
                else f"{record.name}__{self.view}__{block.layer}__{block.pooling}__{i}"
                for block in blocks
                for i in range(block.width)
            ],
            dtype=object,
        )

    def _check_parameters(self) -> None:
        check_view(self.view)
        runtime.check_precision(self.precision)
        runtime.check_device(self.device)
        if self.orientations not in ORIENTATIONS:
            raise InputError(
                f"orientations is {self.orientations!r}; expected one of "
                f"{', '.join(map(str, ORIENTATIONS))}."
            )
        for name, value in (("batch_size", self.batch_size), ("workers", self.workers)):
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            if not (value in (None, "auto") if not whole else value >= 1):  # type: ignore[operator]
                raise InputError(f"{name} is {value!r}; expected a whole number of at least 1.")

    def _record(self) -> Backbone:
        return backbone(self.backbone, self.weights)

    def _blocks(self) -> tuple[Block, ...]:
        return blocks_of(self._record(), self.layers, self.pooling)

    def _weights(self) -> Weights:
        own: Any = self.backbone if is_module(self.backbone) else None
        return resolve_weights(self._record(), self.weights, self.random_state, own)

    def _opened_cache(self) -> Cache | nullcontext[None]:
        return open_cache(self.cache) or nullcontext()

    def _resolved_precision(self) -> runtime.Precision:
        known = runtime.precision_without_torch(self.precision, self.device)
        return known or runtime.resolve_precision(self.precision, self.device_)

    def _resolved_batch_size(self) -> int:
        if self.batch_size == "auto":
            return runtime.default_batch_size(self.device_)
        return int(self.batch_size)

    def _network(self, weights: Weights, recipe: Recipe) -> Callable[[], Network]:
        def make() -> Network:
            network = _frozen(weights, recipe.weights, recipe.blocks, str(self.device_))
            precision = self._resolved_precision()
            batch_size = self._resolved_batch_size()
            embed = partial(
                network.embed,
                precision=precision,
                batch_size=batch_size,
                orientations=self.orientations,
            )
            return Network(embed, batch_size, self.device_)

        return make

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


@lru_cache(maxsize=1)
def _frozen(
    weights: Weights,
    identity: str,  # noqa: ARG001 - part of the key: the file may have been replaced
    blocks: tuple[Block, ...],
    device: str,
) -> FrozenBackbone:
    """Load a network, or take the one used last: clones of an estimator share it."""
    from hybridleuk.embeddings.network import frozen_backbone

    return frozen_backbone(weights, blocks).to(device)
