"""What a fine-tuned network is given of images: pictures of its views, and measurements."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from hybridleuk.data.file_hashes import file_hash
from hybridleuk.data.images import check_images
from hybridleuk.embeddings.backbones import Backbone
from hybridleuk.embeddings.learned import learned_from
from hybridleuk.embeddings.weights import resolve_weights
from hybridleuk.hybrid import HybridFeatures, Measurements
from hybridleuk.models.training_data import ImageReader, LabelledPixels

__all__ = ["NetworkInputs"]


class NetworkInputs:
    """The part of :class:`hybridleuk.FineTunedCNN` that turns images into what it computes with."""

    view: str
    second_view: str | None
    morphology: bool
    measurements: Measurements
    spacing: float | None
    cache: Any
    workers: int | None
    record_: Backbone
    image_size_: int
    measured_: HybridFeatures | None

    def inputs(self, X: Any) -> LabelledPixels:
        """Return what the network is given of images, with the first class as their label."""
        check_is_fitted(self)
        images = check_images(X)
        return LabelledPixels.unlabelled(self.reader().read(images), self.measure(images))

    def pictures(self, X: Any) -> npt.NDArray[np.uint8]:
        """Return what the network sees of images: uint8, shape (n, side, side, 3).

        Of two views, the first.
        """
        return self.inputs(X).pixels[..., :3]

    @property
    def views(self) -> tuple[str, ...]:
        """The views that go through the backbone."""
        return (self.view,) if self.second_view is None else (self.view, self.second_view)

    def reader(self) -> ImageReader:
        """Make what decodes images to pictures."""
        return ImageReader(self.record_, self.views, self.image_size_, self.cache, self.workers)

    def seen_files(self, images: Iterable[Any], weights: Any) -> list[str]:
        """List the files that a network knows: these images, and those its weights are from.

        Returns
        -------
        list of str
            The first twelve digits of the SHA-256 of each.
        """
        known = learned_from(resolve_weights(self.record_, weights))
        return sorted({digits for digits in map(_digits, images) if digits} | known)

    def known_images(self, images: Sequence[Any], weights: Any) -> npt.NDArray[np.bool_]:
        """Say of each image whether the first weights were learned from it, as far as is known."""
        known = learned_from(resolve_weights(self.record_, weights))
        return np.array([bool(known) and _digits(image) in known for image in images])

    def unfitted_measurements(self) -> HybridFeatures:
        """Make what measures and scales the cells of images."""
        return HybridFeatures(
            "morphology",
            measurements=self.measurements,
            spacing=self.spacing,
            cache=self.cache,
            workers=self.workers,
        )

    def fit_measurements(
        self, images: Any, learned: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32] | None:
        """Measure images, where that is wanted; the scale comes from those learned from."""
        self.measured_ = self.unfitted_measurements() if self.morphology else None
        if self.measured_ is None:
            return None
        table = self.measured_.extract(images)
        return self.measured_.fit(table[learned]).transform(table).astype(np.float32)

    def measure(self, images: Any) -> npt.NDArray[np.float32] | None:
        """Measure images as those that were fitted; None where nothing is measured."""
        if self.measured_ is None:
            return None
        return self.measured_.transform(images).astype(np.float32)


def _digits(image: Any) -> str | None:
    """Return the first twelve digits of a file's SHA-256; None of an array."""
    return None if isinstance(image, np.ndarray) else file_hash(os.fspath(image))[:12]
