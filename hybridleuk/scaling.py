"""Features of several blocks brought to one scale, each block of its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hybridleuk.exceptions import InputError

__all__ = ["BlockScaler"]


class BlockScaler(TransformerMixin, BaseEstimator):
    """Standardise every feature, bound it, then give every block the same total variance.

    A feature becomes ``z = (x - mean) / std``, then ``bound * tanh(z / bound)``: a value however
    far from all that was seen while fitting, as another microscope yields, moves a distance by no
    more than `bound` standard deviations. Divided by its new standard deviation and by
    ``sqrt(d_b)``, with ``d_b`` the number of features of block *b* that vary, 500 embedding values
    do not outvote 100 measurements. Features that do not vary become 0.

    Parameters
    ----------
    block_sizes : sequence of int, optional
        Widths of the blocks, side by side. By default all columns are one block.
    bound : float or None, default 1
        In standard deviations; None for no bound.
    block_weights : sequence of float, optional
        What each block's values are multiplied with; by default 1.

    Attributes
    ----------
    mean_, spread_ : ndarray of shape (n_features,)
        Mean and standard deviation of each column, infinite where it does not vary.
    scale_ : ndarray of shape (n_features,)
        What the bounded column is divided by.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.scaling import BlockScaler
    >>> X = np.random.default_rng(0).normal(size=(50, 5))
    >>> scaled = BlockScaler(block_sizes=[1, 4]).fit_transform(X)
    >>> float(scaled[:, :1].var().round(6)), float(scaled[:, 1:].var(axis=0).sum().round(6))
    (1.0, 1.0)
    """

    def __init__(
        self,
        block_sizes: Sequence[int] | None = None,
        bound: float | None = 1.0,
        block_weights: Sequence[float] | None = None,
    ) -> None:
        self.block_sizes = block_sizes
        self.bound = bound
        self.block_weights = block_weights

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and scale of each column."""
        checked = validate_data(self, X, dtype=np.float64)
        sizes = [checked.shape[1]] if self.block_sizes is None else list(self.block_sizes)
        if sum(sizes) != checked.shape[1] or min(sizes, default=0) < 1:
            raise InputError(
                f"block_sizes {sizes} do not add up to the {checked.shape[1]} columns of X."
            )
        weights = [1.0] * len(sizes) if self.block_weights is None else list(self.block_weights)
        if len(weights) != len(sizes) or not min(weights) > 0:
            raise InputError(
                f"block_weights are {weights}; expected one above 0 for each of {len(sizes)} "
                "blocks."
            )
        if self.bound is not None and not self.bound > 0:
            raise InputError(
                f"bound is {self.bound}; expected standard deviations above 0, or None."
            )
        spread = checked.std(axis=0)
        varies = spread > 1e-9 * (1.0 + np.abs(checked).max(axis=0))
        self.mean_ = checked.mean(axis=0)
        self.spread_ = np.where(varies, spread, np.inf)
        left = np.where(varies, self._bounded(checked).std(axis=0), 1.0)
        widths = [max(int(part.sum()), 1) for part in np.split(varies, np.cumsum(sizes)[:-1])]
        self.scale_ = left * np.repeat(np.sqrt(widths) / weights, sizes)
        return self

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Scale the columns of X, of shape (n, n_features)."""
        check_is_fitted(self)
        checked = validate_data(self, X, dtype=np.float64, reset=False)
        return self._bounded(checked) / self.scale_

    def _bounded(self, X: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        z = (X - self.mean_) / self.spread_
        return z if self.bound is None else self.bound * np.tanh(z / self.bound)

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[np.object_]:
        """Return the names of the columns, unchanged."""
        check_is_fitted(self)
        if input_features is not None:
            return np.asarray(input_features, dtype=object)
        fallback = [f"x{i}" for i in range(self.n_features_in_)]
        return np.asarray(getattr(self, "feature_names_in_", fallback), dtype=object)
