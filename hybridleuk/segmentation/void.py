"""What of an image was painted, not photographed: borders, and what cells were cut out on.

An eyepiece leaves black corners, a letterbox black bars, a page or a transparent band white strips;
a turned picture has triangles beside it. Other images show cells alone, everything else painted
over. All that is *void*: black or white without texture, reaching the edge of the image. It says
nothing of the empty smear, whose color everything else rests on. Yet a smear may be white as well,
where it was exposed too long; so white is void only where the rest has the outline of a photograph
and an empty smear of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from hybridleuk.data.images import RGBImage
from hybridleuk.segmentation.masks import grow, window_of
from hybridleuk.segmentation.otsu import bright_class

__all__ = ["Void", "background_of", "find_void"]

BoolImage = npt.NDArray[np.bool_]

_BLACK, _WHITE = 24, 250
_LEAST_BORDER, _LEAST_CUT_OUT = 0.005, 0.05
_LEAST_PHOTO, _LEAST_OBLIQUE = 0.1, 0.25
_SMALLEST_PHOTO = 16
_CONVEX = 0.975
_ALL_OF_THE_REST = 0.85
_RECTANGLE = 0.97
_MOSTLY = 0.6
_SHAPE_PIXELS = 250_000
_SMEAR_SMOOTHING = 0.004
_SMEAR_SPREAD = 0.02
_SMEAR_DEPTH = 2.2
_SMEAR_LEAST = -0.05
_SEAM_REACH = 0.04
_SEAM_DARK = (0.35, 0.12)
_SEAM_FAINT = (0.06, 0.035)
_PAINTED_LEVEL = 228
_GREY = 4.0
_SHARP = 0.25
_LEAST_INK = 12
_BESIDE_INK = 0.45
_DARK_IMAGE = 100.0


@dataclass(frozen=True, eq=False)
class Void:
    """What of an image was painted, not photographed.

    Attributes
    ----------
    mask : ndarray of shape (H, W), bool
        Black or white around a photograph and ink upon it, or the black around cells cut out.
    smear_seen : bool
        Whether the rest shows empty smear; False for cells cut out on black or white. True where
        nothing was painted.
    """

    mask: BoolImage
    smear_seen: bool

    @property
    def photograph(self) -> tuple[slice, slice]:
        """The smallest window of the image that holds all that was photographed.

        All of the image where only cells are seen, and where under 16 pixels a side are left.
        """
        whole = slice(0, self.mask.shape[0]), slice(0, self.mask.shape[1])
        if not self.smear_seen or not self.mask.any():
            return whole
        rows, columns = window_of(~self.mask)
        small = min(rows.stop - rows.start, columns.stop - columns.start) < _SMALLEST_PHOTO
        return whole if small else (rows, columns)


def find_void(image: RGBImage) -> Void:
    """Find what was painted black or white around a photograph or around cells.

    Black is void where every channel is at most 24 and it reaches the edge of the image, on at
    least 0.5 % of it where it is a border, 5 % where cells were cut out. White (at least 250) is
    void only where it is a border. A *border* leaves a rectangle of at least a tenth of the image,
    or a convex rest of at least a quarter in which empty smear is seen; black may also leave 60 %
    of an image, of any outline, in which empty smear is seen. Empty smear is bright and even: with
    ``f`` the share of the rest that differs by less than 0.02 in optical density from its brightest
    class, and ``g`` that class's green light as a share of white, ``f + 2.2 log10(g) > -0.05``.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8

    Returns
    -------
    Void
        For cells painted on white the mask is empty, since white stands well for the smear there,
        and `smear_seen` False. Where smear is seen, black bars and letters upon the photograph are
        void as well: a black thing in an image that is not dark, around which it is bright.
    """
    black, white = (_reaching_in(image, white=is_white) for is_white in (False, True))
    for painted in (black | white, black, white) if white.any() else (black,):
        share = painted.mean()
        if _LEAST_BORDER <= share <= 1 - _LEAST_PHOTO and _is_border(image, painted, black):
            return Void(_with_ink(image, _with_seam(image, ~_largest_part(~painted))), True)
    if black.mean() >= _LEAST_CUT_OUT:
        return Void(black, False)
    if _is_cut_out_on_white(image, white):
        return Void(np.zeros_like(black), False)
    return Void(_with_ink(image, np.zeros_like(black)), True)


def background_of(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Median color of the brightest class of pixels ``(n, 3)``, at least 1."""
    bright = bright_class(pixels[:, 1])
    return np.maximum([_median_level(pixels[bright, c]) for c in range(3)], 1.0)


def _median_level(levels: npt.NDArray[np.uint8]) -> float:
    """Median of bytes: ``np.median``, by counting instead of sorting."""
    below = np.cumsum(np.bincount(levels, minlength=256))
    middle = (len(levels) - 1) // 2, len(levels) // 2
    return float(np.searchsorted(below, middle, side="right").mean())


def _is_painted(pixels: RGBImage, white: bool) -> BoolImage:
    # Green first, since it settles most pixels.
    one_by_one = [
        pixels[..., c] >= _WHITE if white else pixels[..., c] <= _BLACK for c in (1, 0, 2)
    ]
    painted: BoolImage = one_by_one[0] & one_by_one[1] & one_by_one[2]
    return painted


def _reaching_in(image: RGBImage, *, white: bool) -> BoolImage:
    """Mark the black, or the white, that hangs together with the edge of the image."""
    none = np.zeros(image.shape[:2], dtype=bool)
    edges = [image[0], image[-1], image[:, 0], image[:, -1]]
    if not any(_is_painted(edge, white).any() for edge in edges):
        return none
    painted = _is_painted(image, white)
    if painted.mean() < _LEAST_BORDER:
        return none
    labels, n = ndi.label(painted)
    reaches = np.zeros(n + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reaches[edge] = True
    reaches[0] = False
    return reaches[labels]


def _is_border(image: RGBImage, painted: BoolImage, black: BoolImage) -> bool:
    """Whether what was painted surrounds a photograph, and not cells."""
    step = max(1, int(np.sqrt(painted.size / _SHAPE_PIXELS)))
    coarse = painted[::step, ::step]
    rest = _largest_part(~coarse)
    if _is_outside(coarse, _bounding_box(rest)) and _fills(rest, _bounding_box(rest), _RECTANGLE):
        return True
    only_black = bool(black.any()) and not (painted & ~black).any()
    odd = only_black and 1 - painted.mean() >= _MOSTLY and painted.mean() >= _LEAST_CUT_OUT
    if not odd:
        from skimage.morphology import convex_hull_image

        hull = convex_hull_image(rest, include_borders=False)
        if not (_is_outside(coarse, hull) and _fills(rest, hull, _CONVEX)):
            return False
    return 1 - painted.mean() >= _LEAST_OBLIQUE and _shows_smear(image, ~painted)


def _largest_part(mask: BoolImage) -> BoolImage:
    labels, n = ndi.label(mask)
    if n <= 1:
        return mask
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    part: BoolImage = labels == areas.argmax()
    return part


def _bounding_box(mask: BoolImage) -> BoolImage:
    box = np.zeros_like(mask)
    if mask.any():
        box[window_of(mask)] = True
    return box


def _fills(mask: BoolImage, outline: BoolImage, share: float) -> bool:
    return bool(mask.sum() >= share * outline.sum())


def _is_outside(painted: BoolImage, outline: BoolImage) -> bool:
    """Whether what was painted is, by and large, all that lies outside of an outline."""
    shared = (painted & ~outline).sum()
    either = (painted | ~outline).sum()
    return bool(either > 0 and shared >= _ALL_OF_THE_REST * either)


def _shows_smear(image: RGBImage, seen: BoolImage) -> bool:
    """Whether pixels hold an empty smear, which is brighter and more even than any cell."""
    step = max(1, int(np.sqrt(seen.size / _SHAPE_PIXELS)))
    image, seen = image[::step, ::step], seen[::step, ::step]
    depth = -np.log10((image.astype(np.float32) + 4.0) / 259.0)
    width = max(0.8, _SMEAR_SMOOTHING * float(np.sqrt(seen.sum())))
    weight = np.maximum(ndi.gaussian_filter(seen.astype(np.float32), width), 1e-3)
    smooth = ndi.gaussian_filter(depth * seen[..., None], (width, width, 0)) / weight[..., None]
    smooth = smooth[seen]
    middle = np.median(smooth[bright_class(image[seen][:, 1])], axis=0)
    even = (np.abs(smooth - middle).max(axis=1) < _SMEAR_SPREAD).mean()
    return bool(even - _SMEAR_DEPTH * middle[1] > _SMEAR_LEAST)


def _with_ink(image: RGBImage, painted: BoolImage) -> BoolImage:
    """Add bars and letters burnt in: black, which no stain is, and ending at once."""
    black = _is_painted(image, white=False) & ~painted
    if np.count_nonzero(black) < _LEAST_INK:
        return painted
    smear = background_of(image[~(painted | black)])[1]
    labels, n = ndi.label(black, structure=np.ones((3, 3)))
    wide, narrow = (ndi.maximum_filter(labels, size=2 * reach + 1) for reach in (4, 2))
    around = np.where(narrow > 0, 0, wide)
    bright = image[..., 1] > _BESIDE_INK * smear
    beside = np.bincount(around.ravel(), minlength=n + 1)
    lit = np.bincount(around[bright], minlength=n + 1)
    share = lit / np.maximum(beside, 1)  # between other signs there may be no room beside one
    ink = (np.bincount(labels.ravel(), minlength=n + 1) >= _LEAST_INK) & (share > 0.5)
    ink[0] = False
    if smear < _DARK_IMAGE or not ink.any():
        return painted
    return _with_seam(image, painted | ink[labels], reach=2.0)


def _with_seam(image: RGBImage, painted: BoolImage, reach: float | None = None) -> BoolImage:
    """Add the seam where paint and photograph run into each other, if any, and a pixel more.

    In the seam a pixel is a mixture of smear and paint, by which the smear's hue is kept: a stain
    changes it. In a grey image, where that tells nothing, it is 4 pixels wide.
    """
    pixels = image.astype(np.float32)
    smear = background_of(image[~painted]).astype(np.float32)
    paint = np.where(image[..., 1:2] < smear[1], np.float32(0.0), np.float32(255.0))
    span = paint - smear
    length = np.maximum(np.linalg.norm(span, axis=-1), 1.0)
    away = pixels - smear
    share = (away * span).sum(axis=-1) / length**2
    off = np.linalg.norm(away - share[..., None] * span, axis=-1) / length
    clearly = (share > _SEAM_DARK[0]) & (off < _SEAM_DARK[1])
    rim = grow(painted) & ~painted
    if not rim.any() or clearly[rim].mean() < _SHARP:
        return painted
    mixed = clearly | ((share > _SEAM_FAINT[0]) & (off < _SEAM_FAINT[1]))
    if reach is None:
        grey = np.ptp(image[~painted], axis=-1).mean() < _GREY
        # Only black is blurred by a lens; white is laid on later, and blurred by compression.
        blurred = _is_painted(image[painted], white=False).any() and not grey
        reach = max(4.0, _SEAM_REACH * min(painted.shape)) if blurred else 4.0
    near = ndi.distance_transform_edt(~painted) <= reach
    return grow(ndi.binary_propagation(painted, mask=painted | (mixed & near)))


def _is_cut_out_on_white(image: RGBImage, white: BoolImage) -> bool:
    """Whether white ends at once where stain begins, as paint does and no lens."""
    if white.mean() < _LEAST_CUT_OUT or white.all():
        return False
    rim: npt.NDArray[Any] = image[grow(white) & ~white]
    return bool(np.median(rim[:, 1]) < _PAINTED_LEVEL)
