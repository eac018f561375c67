"""Real images spoiled in known ways, for ``benchmarks/audit.py``."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from scipy.ndimage import gaussian_filter

from hybridleuk import Manifest
from hybridleuk.data.near_duplicates import alter
from hybridleuk.segmentation.cells import find_cells
from hybridleuk.segmentation.painting import cells_mask, paint_out

NOISE = 0.05


def rotated(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return picture.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC, fillcolor=(230, 220, 215))


def recompressed(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = (round(0.9 * side) for side in picture.size)
    x, y = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height))
    return picture.crop((x, y, x + width, y + height))


def flipped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    ways = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
    return picture.transpose(ways[int(rng.integers(2))])


def lit(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(float(rng.choice([0.85, 1.15])))


def everything(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(alter(np.asarray(picture), rng))


NEAR: dict[str, Callable[..., Image.Image]] = {
    "rotation by any angle": rotated,
    "JPEG quality 30": recompressed,
    "10 % crop": cropped,
    "flip": flipped,
    "brightness +-15 %": lit,
    "all of these at once": everything,
}


def _turned_and_mirrored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).rotate(
        45, Image.Resampling.BICUBIC, fillcolor=(230, 220, 215)
    )
    return recompressed(turned, rng)


def _sized(side: int) -> Callable[..., Image.Image]:
    return lambda picture, _: picture.resize((side, side), Image.Resampling.LANCZOS)


WIDE: dict[str, tuple[str, Callable[..., Image.Image]]] = {
    "BMP": (".bmp", lambda picture, _: picture),
    "PNG": (".png", lambda picture, _: picture),
    "TIFF": (".tif", lambda picture, _: picture),
    "grey": (".png", lambda picture, _: picture.convert("L")),
    "grey, turned by any angle": (".jpg", lambda p, rng: rotated(p, rng).convert("L")),
    "mirrored, by 45 degrees, JPEG 30": (".jpg", _turned_and_mirrored),
    **{f"at {side} px": (".png", _sized(side)) for side in (600, 180, 96, 48, 32, 16)},
}


SITTINGS = (  # of a microscope: light in R, G, B, and blur in px
    ((1.0, 1.0, 1.0), 0.0),
    ((0.85, 0.85, 0.85), 0.0),
    ((1.0, 0.95, 1.15), 1.0),
    ((0.95, 1.0, 0.85), 0.7),
)


def in_sitting(picture: Image.Image, number: int, rng: np.random.Generator) -> Image.Image:
    """Give an image the light and focus of a sitting, each a little off."""
    gains, blur = SITTINGS[number]
    light = np.asarray(gains) * rng.normal(1, 0.01, 3)
    pixels = gaussian_filter(np.asarray(picture, dtype=np.float64), (blur, blur, 0)) * light
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def _pixels(change: Callable[[Any], Any]) -> Callable[..., Image.Image]:
    def changed(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        values = change(np.asarray(picture, dtype=np.float64))
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))

    return changed


def _montage(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    sheet = Image.new("RGB", picture.size)
    width, height = picture.width // 2, picture.height // 2
    for number in range(4):
        turned = picture.rotate(90 * number).resize((width, height))
        sheet.paste(turned, ((number % 2) * width, (number // 2) * height))
    return sheet.resize(picture.size)


def _emptied(picture: Image.Image, _: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture)
    return Image.fromarray(paint_out(pixels, cells_mask(pixels, find_cells(pixels))))


def _drawn_on(draw: Callable[[ImageDraw.ImageDraw], None]) -> Callable[..., Image.Image]:
    def changed(picture: Image.Image, _: np.random.Generator) -> Image.Image:
        drawn = picture.copy()
        draw(ImageDraw.Draw(drawn))
        return drawn

    return changed


QUALITY: dict[str, tuple[str, Callable[..., Image.Image]]] = {
    "blur of 2 px": ("blur", _pixels(lambda p: gaussian_filter(p, (2, 2, 0)))),
    "blur of 3 px": ("blur", _pixels(lambda p: gaussian_filter(p, (3, 3, 0)))),
    "light x 0.6": ("too dark", _pixels(lambda p: 0.6 * p)),
    "light x 1.6": ("too bright", _pixels(lambda p: 1.6 * p)),
    "stain x 0.08": ("stain", _pixels(lambda p: 240 - 0.08 * (240 - p))),
    "grey": ("stain", lambda picture, _: picture.convert("L").convert("RGB")),
    "cell painted out": ("no cell", _emptied),
    "montage of 4": ("many cells", _montage),
}
FILES = {
    "truncated": "truncated",
    "no image": "unreadable",
    "wrong extension": "wrong extension",
    "odd size": "odd size",
    "odd mode": "odd mode",
    "EXIF rotation": "EXIF rotation",
    "scale bar": "scale bar",
    "text, black": "text",
    "text, white": "text",
}


def _text(color: str) -> Callable[..., Image.Image]:
    font = ImageFont.load_default(size=18)
    return _drawn_on(lambda draw: draw.text((8, 8), "100x 2019-03", fill=color, font=font))


def spoil_file(kind: str, source: Path, target: Path, rng: np.random.Generator) -> Path:
    picture = Image.open(source).convert("RGB")
    if kind == "truncated":
        content = source.read_bytes()
        target.write_bytes(content[: int(0.6 * len(content))])
    elif kind == "no image":
        target.write_bytes(b"<html>404 not found</html>")
    elif kind == "wrong extension":
        target = target.with_suffix(".png")
        target.write_bytes(source.read_bytes())
    elif kind == "odd size":
        picture.crop((20, 20, 320, 320)).save(target, quality=95)
    elif kind == "odd mode":
        picture.convert("L").save(target, quality=95)
    elif kind == "EXIF rotation":
        exif = Image.Exif()
        exif[274] = 6
        picture.save(target, quality=95, exif=exif)
    elif kind == "scale bar":
        bar = _drawn_on(lambda draw: draw.rectangle((260, 330, 330, 336), fill="black"))
        bar(picture, rng).save(target, quality=90)
    else:
        _text(kind.split(", ")[1])(picture, rng).save(target, quality=90)
    return target


class Planted:
    """Real images, some of them spoiled, and what is true of each."""

    def __init__(self, data: Path, folder: Path, images: int | None, seed: int) -> None:
        real = Manifest.from_folder(data)
        if images is not None:
            real = real.sample(images // len(real.classes), random_state=seed)
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.paths, self.labels = [Path(p) for p in real.paths], [str(x) for x in real.labels]
        self.free = list(self.rng.permutation(len(self.paths)))
        self.near: dict[frozenset[str], str] = {}
        self.files: dict[str, str] = {}
        self.quality: dict[str, str] = {}
        self.wrong: dict[str, str] = {}
        self.resized: set[str] = set()  # copies that were cropped

    def plant(self, per_kind: int) -> None:
        for kind in FILES:
            for number in range(per_kind // 2):
                row = self.free.pop()
                target = self.folder / f"f{len(self.files)}_{number}.jpg"
                self.paths[row] = spoil_file(kind, self.paths[row], target, self.rng)
                self.files[str(self.paths[row])] = kind
        self._plant_quality(per_kind // 2)
        self._plant_near(per_kind)
        for row in [self.free.pop() for _ in range(round(NOISE * len(self.paths)))]:
            self.wrong[str(self.paths[row])] = self.labels[row]
            others = sorted(set(self.labels) - {self.labels[row]})
            self.labels[row] = str(self.rng.choice(others))

    def _plant_quality(self, count: int) -> None:
        for kind, (_, change) in QUALITY.items():
            rows = [row for row in self.free if self.labels[row] != "platelet"][-count:]
            for row in rows:
                self.free.remove(row)
                target = self.folder / f"q{len(self.quality)}.jpg"
                change(Image.open(self.paths[row]).convert("RGB"), self.rng).save(
                    target, quality=92
                )
                self.paths[row] = target
                self.quality[str(target)] = kind

    def _plant_near(self, count: int) -> None:
        for kind, change in NEAR.items():
            for _ in range(count):
                row = self.free.pop()
                target = self.folder / f"n{len(self.near)}.jpg"
                picture = change(Image.open(self.paths[row]).convert("RGB"), self.rng)
                picture.save(target, quality=92)
                self.near[frozenset((str(self.paths[row]), str(target)))] = kind
                if "crop" in kind or "at once" in kind:
                    self.resized.add(str(target))
                self.paths.append(target)
                self.labels.append(self.labels[row])

    @property
    def manifest(self) -> Manifest:
        return Manifest.from_paths(self.paths, self.labels)
