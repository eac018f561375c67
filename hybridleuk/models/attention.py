"""Where a fine-tuned network looks: Grad-CAM, the picture of it, and the probe that asks for it.

Grad-CAM (Selvaraju et al. 2017, ICCV, equations 1 and 2): with ``A_k`` the k-th channel of the last
convolutional map and ``y_c`` the score of class c before the softmax::

    alpha_k = mean over places of d y_c / d A_k
    heat    = max(0, sum over k of alpha_k A_k)

The map has few places (9 x 9 for an input of 160 px and squeezenet1_0), so the heat tells a region
and no outline. It says what raised the score of a class, not that this is a reason to believe it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hybridleuk.data.images import RGBImage
from hybridleuk.data.sampling import in_turns
from hybridleuk.models.finetuned import FineTunedCNN
from hybridleuk.models.training_data import LabelledPixels

__all__ = ["METHOD", "AttentionProbe", "draw_heat", "grad_cam"]

Array = npt.NDArray[Any]
METHOD = "Grad-CAM of the last convolutional map (Selvaraju et al. 2017)"
# Black, purple, red, orange, pale yellow: brighter is hotter, whatever colors one can tell apart.
_COLORS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)])
_OPACITY = 0.75


def grad_cam(
    classifier: FineTunedCNN, inputs: LabelledPixels, classes: Sequence[int] | Array
) -> npt.NDArray[np.float64]:
    """Find what raises the score of a class, place by place.

    Parameters
    ----------
    classifier : FineTunedCNN, fitted
    inputs : LabelledPixels
        What the network is given of n images, from :meth:`FineTunedCNN.inputs`.
    classes : sequence of n int
        Whose score is explained, as places in ``classes_``.

    Returns
    -------
    ndarray of shape (n, size, size)
        0 to 1, the hottest place of each picture being 1; all 0 where nothing raises the score. Of
        two views, the heat of the first.
    """
    import torch

    from hybridleuk.embeddings.runtime import exact_float32, resolve_device

    device = resolve_device(classifier.device)
    network = classifier.network_.to(device).eval()
    wanted = torch.as_tensor(np.asarray(classes, dtype=np.int64), device=device)
    size, start = inputs.pixels.shape[1:3], 0
    heats = [np.zeros((0, *size))]
    with exact_float32(device, "fp32"):
        for batch in inputs.in_order(device):
            with torch.no_grad():
                maps = network.maps(batch.images)
            asked = wanted[start : start + len(batch.codes)]
            heat = _heat(network, maps.requires_grad_(), batch.measured, asked)
            heats.append(_enlarged(heat, size).cpu().double().numpy())
            start += len(asked)
    return np.concatenate(heats)


def draw_heat(picture: RGBImage, heat: npt.NDArray[np.float64]) -> RGBImage:
    """Put a picture and the same picture under its heat side by side.

    Parameters
    ----------
    picture : ndarray of shape (H, W, 3), uint8
    heat : ndarray of shape (H, W)
        0 to 1; nothing is drawn where it is 0.

    Returns
    -------
    ndarray of shape (H, 2 W, 3), uint8
    """
    steps = np.linspace(0, 1, len(_COLORS))
    color = np.stack([np.interp(heat, steps, _COLORS[:, c]) for c in range(3)], axis=-1)
    opacity = _OPACITY * heat[..., None]
    painted = picture * (1 - opacity) + color * opacity
    return np.hstack([picture, painted.round().astype(np.uint8)])


@dataclass(frozen=True)
class AttentionProbe:
    """Draws where a network looks on the unseen images it is most certain about, right and wrong.

    Parameters
    ----------
    pictures : int, default 4
        Of right calls, and of wrong calls, in each fold.
    """

    pictures: int = 4
    name: str = field(default="attention", init=False)

    def applies_to(self, estimator: Any) -> bool:
        """Tell whether a candidate is a network that was trained itself."""
        return isinstance(estimator, FineTunedCNN)

    def ask(self, fitted: Any, study: Any, fold: Any) -> dict[str, Array]:
        """Return ``rows``, ``predicted`` (codes), ``certainty``, ``pictures`` (k, S, 2 S, 3)."""
        rows = fold[1]
        probabilities = fitted.predict_proba(list(study.images[rows]))
        calls, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right = fitted.classes_[calls].astype(str) == study.labels[rows]
        chosen = np.concatenate(
            [
                _most_certain(certainty, calls, np.flatnonzero(of), self.pictures)
                for of in (right, ~right)
            ]
        )
        inputs = fitted.inputs(list(study.images[rows[chosen]]))
        heats = grad_cam(fitted, inputs, calls[chosen])
        drawn = [draw_heat(*pair) for pair in zip(inputs.pixels[..., :3], heats, strict=True)]
        return {
            "rows": rows[chosen],
            "predicted": np.searchsorted(study.classes, fitted.classes_[calls[chosen]].astype(str)),
            "certainty": certainty[chosen],
            "pictures": np.stack(drawn) if drawn else np.zeros((0, 1, 2, 3), dtype=np.uint8),
        }


def _heat(network: Any, maps: Any, measured: Any, classes: Any) -> Any:
    import torch

    scores = network.head_scores(network.beside(network.pooled(maps), measured))
    total = scores.gather(1, classes[:, None]).sum()  # images do not mix: one sum serves all
    (slopes,) = torch.autograd.grad(total, maps)
    first = slice(None, None, network.views)
    weights = slopes[first].mean((2, 3), keepdim=True)
    return torch.relu((weights * maps.detach()[first]).sum(dim=1, keepdim=True))


def _enlarged(heat: Any, size: tuple[int, int]) -> Any:
    from torch.nn.functional import interpolate

    large = interpolate(heat, size=tuple(size), mode="bilinear", align_corners=False)[:, 0]
    top = large.amax(dim=(1, 2), keepdim=True)
    return large / top.clamp(min=1e-12)


def _most_certain(certainty: Array, calls: Array, among: Array, limit: int) -> Array:
    """Pick the most certain ones, each class called once before any is picked twice."""
    ranked = among[np.argsort(-certainty[among], kind="stable")]
    return ranked[in_turns(calls[ranked].tolist())][:limit]
