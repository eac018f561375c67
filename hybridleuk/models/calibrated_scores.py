"""From a network's class scores to probabilities: turned pictures averaged, one temperature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from hybridleuk.embeddings.network import turned
from hybridleuk.models.training_data import LabelledPixels
from hybridleuk.models.training_network import ImageClassifier

__all__ = ["best_temperature", "mean_probabilities", "oriented_scores"]

Scores = npt.NDArray[np.float64]
_WIDEST = np.log(10.0)
_LEAST = 1e-12


@torch.inference_mode()
def oriented_scores(
    network: ImageClassifier, data: LabelledPixels, device: torch.device, orientations: int = 1
) -> Scores:
    """Return the class scores of pictures in each of their turned and mirrored copies.

    Returns
    -------
    ndarray of shape (orientations, n, n_classes)
    """
    parts = []
    for batch in data.in_order(device):
        copies = [network(images, batch.measured) for images in turned(batch.images, orientations)]
        parts.append(torch.stack(copies).cpu().double().numpy())
    return np.concatenate(parts, axis=1)


def mean_probabilities(scores: Scores, temperature: float = 1.0) -> Scores:
    """Average the softmax of scores (orientations, n, k), divided by a temperature, to (n, k)."""
    scaled = scores / temperature
    probabilities = np.exp(scaled - logsumexp(scaled, axis=2, keepdims=True))
    return np.asarray(probabilities.mean(axis=0))


def best_temperature(scores: Scores, codes: npt.NDArray[np.int64]) -> float:
    """Find the temperature under which images that were not learned from are most probable.

    One number for all classes (Guo et al., On calibration of modern neural networks, ICML 2017)
    cannot learn few images by heart; the penalty ``(ln T)^2 / n`` keeps it near 1 for very few, and
    it lies between 0.1 and 10.

    Parameters
    ----------
    scores : ndarray of shape (orientations, n, n_classes)
    codes : ndarray of shape (n,)
        The true classes.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.models.calibrated_scores import best_temperature
    >>> random = np.random.default_rng(0)
    >>> codes = random.integers(2, size=2000)
    >>> logits = random.normal(2.0 * codes - 1, 1.0)  # of which 2 x is the true log odds
    >>> round(best_temperature(np.stack([0 * logits, 8 * logits], axis=1)[None], codes), 1)
    3.8
    """
    places = np.arange(len(codes))

    def surprise(logarithm: float) -> float:
        found = mean_probabilities(scores, np.exp(logarithm))[places, codes]
        return float(logarithm**2 / len(codes) - np.log(np.maximum(found, _LEAST)).mean())

    found = minimize_scalar(surprise, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(found.x))
