"""The only decoder: any accepted image becomes RGB, uint8, of shape (height, width, 3).

The rules, the same for every format:

- grey values are repeated in the three channels; palettes are looked up;
- transparency is laid over white, the color of an empty smear;
- CMYK is converted without a color profile; embedded profiles are ignored;
- 16-bit values keep their high byte; nothing is ever stretched to the range of one image;
- the EXIF orientation is applied;
- a side under 16 px, more than 80 million pixels, several pages, or floating point values are
  refused.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from hybridleuk.data.contents import read_content
from hybridleuk.data.file_hashes import file_hash
from hybridleuk.exceptions import ImageError, InputError

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "MIN_SIDE",
    "ImageLike",
    "RGBImage",
    "check_images",
    "decode_bytes",
    "image_content",
    "image_name",
    "image_sha256",
    "inspect_bytes",
    "read_image",
]

ImageLike: TypeAlias = "str | os.PathLike[str] | npt.NDArray[np.uint8]"
RGBImage: TypeAlias = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP", "PPM")
MAX_PIXELS = 80_000_000
MIN_SIDE = 16
_TWELVE_BIT_MAXIMUM = 4095


def read_image(image: ImageLike, *, max_pixels: int = MAX_PIXELS) -> RGBImage:
    """Decode one image.

    Parameters
    ----------
    image : path or array
        A file, or an array that is already decoded: (H, W, 3) or (H, W), uint8.
    max_pixels : int, default 80,000,000
        Larger images are refused before any pixel is decoded.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB. An (H, W, 3) array comes back as it is, not copied.

    Raises
    ------
    ImageError
        The file cannot be decoded completely, or breaks one of the rules of this module.

    Examples
    --------
    >>> import numpy as np
    >>> from hybridleuk.data.images import read_image
    >>> read_image(np.full((20, 30), 7, dtype=np.uint8)).shape
    (20, 30, 3)
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    return decode_bytes(image_content(image), name=str(image), max_pixels=max_pixels)


def image_content(image: str | os.PathLike[str]) -> bytes:
    """Return the bytes of an image file, on disk or in an archive.

    Raises
    ------
    ImageError
        It cannot be read.
    """
    try:
        return read_content(image)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"{image}: cannot be read ({reason}); check the path.") from error


def decode_bytes(content: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> RGBImage:
    """Decode the bytes of an image file; `name` is what error messages call it."""
    with _opened(content, name, max_pixels) as picture:
        if picture.format == "TIFF" and _is_16_bit_color_tiff(picture):
            return _decode_16_bit_tiff(content, name)
        try:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            return _to_rgb(upright, name)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(
                f"{name}: the {picture.format} data is damaged or cut off ({error}); "
                "copy the file again from its source or leave it out."
            ) from error


def inspect_bytes(content: bytes, *, name: str, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Read format and size from an image's header without decoding it.

    Returns
    -------
    (height, width) : tuple of int
        In pixels, before any EXIF rotation.

    Raises
    ------
    ImageError
        It is no image of an accepted format, or its size is not allowed.
    """
    with _opened(content, name, max_pixels) as picture:
        return picture.height, picture.width


def check_images(images: Any) -> list[ImageLike]:
    """Make a list of what estimators accept as `X`: paths, or arrays of one image each.

    Raises
    ------
    InputError
        `images` is a single path, is empty, or holds something that is neither path nor array.
    """
    if isinstance(images, (str, os.PathLike)):
        raise InputError(
            f"Expected a list of images, got the single path {os.fspath(images)!r}; "
            "write [path], or Manifest.from_folder(path).paths for a folder."
        )
    if isinstance(images, np.ndarray) and images.ndim in (2, 3) and images.dtype != object:
        raise InputError(
            f"Expected a list of images, got one array of shape {images.shape}; write [array]."
        )
    listed = list(images)
    if not listed:
        raise InputError("Expected at least one image, got an empty list.")
    for index, image in enumerate(listed):
        if not isinstance(image, (str, os.PathLike, np.ndarray)):
            raise InputError(
                f"Image {index} is a {type(image).__name__}; expected a path or a "
                "(H, W, 3) uint8 array."
            )
    return listed


def image_name(image: ImageLike) -> str:
    """Name an image in messages: its path, or the shape of the array."""
    return f"array {image.shape}" if isinstance(image, np.ndarray) else os.fspath(image)


def image_sha256(image: ImageLike) -> str:
    """Hash what an image is made of: the bytes of the file, or shape and values of the array.

    A file's hash is remembered for as long as its size and times stay the same, see
    :mod:`hybridleuk.data.file_hashes`.
    """
    if isinstance(image, np.ndarray):
        content = np.ascontiguousarray(image)
        digest = hashlib.sha256(f"{content.shape}{content.dtype}".encode())
        digest.update(content.tobytes())
        return digest.hexdigest()
    try:
        return file_hash(os.fspath(image))
    except OSError as error:
        raise ImageError(f"{image}: cannot be read ({error.strerror}); check the path.") from error


def _opened(content: bytes, name: str, max_pixels: int) -> Image.Image:
    if not content:
        raise ImageError(f"{name}: the file is empty (0 bytes); copy it again or leave it out.")
    try:
        picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(
            f"{name}: more pixels than the {max_pixels:,} allowed; cut it into tiles first."
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ImageError(
            f"{name}: not an image that can be opened; accepted are "
            "JPEG, PNG, BMP, TIFF, GIF, WebP and PPM."
        ) from error
    try:
        _check_header(picture, name, max_pixels)
    except ImageError:
        picture.close()
        raise
    return picture


def _check_header(picture: Image.Image, name: str, max_pixels: int) -> None:
    size = f"{picture.width} x {picture.height} px"
    if picture.width * picture.height > max_pixels:
        raise ImageError(
            f"{name}: {size} is more than the {max_pixels:,} pixels allowed; "
            "cut it into tiles first."
        )
    if min(picture.size) < MIN_SIDE:
        raise ImageError(
            f"{name}: {size} is too small to show a cell; each side needs at least {MIN_SIDE} px."
        )
    pages = getattr(picture, "n_frames", 1)
    if pages > 1:
        raise ImageError(f"{name}: holds {pages} pages; save each as a file of its own.")


def _from_array(array: npt.NDArray[Any]) -> RGBImage:
    if array.dtype != np.uint8:
        raise ImageError(
            f"Array of type {array.dtype}; expected uint8 with values 0 to 255 "
            "(skimage.util.img_as_ubyte converts)."
        )
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"Array of shape {array.shape}; expected (height, width, 3), RGB.")
    if min(array.shape[:2]) < MIN_SIDE:
        raise ImageError(
            f"Array of shape {array.shape} is too small to show a cell; "
            f"each side needs at least {MIN_SIDE} px."
        )
    return array


def _to_rgb(picture: Image.Image, name: str) -> RGBImage:
    if picture.mode.startswith("I"):
        return _from_array(_high_byte(np.asarray(picture), name))
    if picture.mode == "F":
        raise ImageError(f"{name}: floating point pixels have no known range; save it as 8 bit.")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(paper, layer)
    return np.asarray(picture.convert("RGB"))


def _high_byte(values: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{name}: 32-bit pixels have no known range; save it as 8 or 16 bit.")
    if 0 < values.max() <= _TWELVE_BIT_MAXIMUM:
        raise ImageError(
            f"{name}: a 16-bit file whose brightest pixel is {values.max()}, as from a 12-bit "
            "camera; its range is unknown, so save it as 8 bit or stretched to 16 bit."
        )
    return (values.astype(np.uint32) >> 8).astype(np.uint8)


def _is_16_bit_color_tiff(picture: Image.Image) -> bool:
    bits = getattr(picture, "tag_v2", {}).get(258, (8,))
    depth = max(bits) if isinstance(bits, Sequence) else bits
    return depth == 16 and not picture.mode.startswith("I")


def _decode_16_bit_tiff(content: bytes, name: str) -> RGBImage:
    import tifffile

    try:
        values = np.asarray(tifffile.imread(io.BytesIO(content)))
    except Exception as error:
        raise ImageError(
            f"{name}: the TIFF data is damaged or cut off ({error}); copy the file again."
        ) from error
    if values.dtype.kind not in "ui" or values.ndim not in (2, 3):
        raise ImageError(
            f"{name}: TIFF of type {values.dtype} and shape {values.shape}; save it as 8-bit RGB."
        )
    if values.ndim == 3 and values.shape[0] in (3, 4) and values.shape[2] not in (3, 4):
        values = np.moveaxis(values, 0, 2)
    pixels = _high_byte(values, name)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return _to_rgb(Image.fromarray(pixels, "RGBA"), name)
    return _from_array(pixels)
