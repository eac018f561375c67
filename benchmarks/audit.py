"""Findings planted among real images, and what the audit finds of them; time against number.

python benchmarks/audit.py DATA/pbc-dev --cache CACHE
python benchmarks/audit.py DATA/pbc-dev --parts cost
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from scipy.ndimage import gaussian_filter

from hybridleuk import Manifest
from hybridleuk.audit.acquisition import cluster_count
from hybridleuk.audit.audit import audit
from hybridleuk.audit.baselines import is_told, score_baselines
from hybridleuk.audit.labels import suspect_labels
from hybridleuk.data.fingerprints import fingerprints
from hybridleuk.data.near_duplicates import _Space, alter
from hybridleuk.segmentation.cells import find_cells
from hybridleuk.segmentation.painting import cells_mask, paint_out

PER_KIND = 40
NOISE = 0.05
PARTS = ("planted", "alarms", "cost")


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
                self.paths.append(target)
                self.labels.append(self.labels[row])

    @property
    def manifest(self) -> Manifest:
        return Manifest.from_paths(self.paths, self.labels)


def planted(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        truth = Planted(args.data, Path(folder), args.images, args.seed)
        truth.plant(args.per_kind)
        start = time.perf_counter()
        found = audit(truth.manifest, cache=args.cache, workers=args.workers).document
        print(
            f"audit of {found['dataset']['n_images']} images: {time.perf_counter() - start:.0f} s"
        )
        score_near(found, truth)
        score_listed("files", found["files"], truth.files, FILES)
        score_listed(
            "quality", found["quality"], truth.quality, {k: v[0] for k, v in QUALITY.items()}
        )
        score_labels(found, truth)
    for entry in found["shortcuts"]:
        print(f"| {entry['name']} | {entry['balanced_accuracy']:.3f} | p {entry['p_value']:.3f} |")
    taken = found["acquisition"]
    print(
        {
            name: taken[name]
            for name in ("n_clusters", "sizes", "nmi_with_class", "nmi_by_chance", "p_value")
        }
    )
    print(*found["verdict"], sep="\n")


def score_near(found: dict[str, Any], truth: Planted) -> None:
    pairs = {
        frozenset(pair)
        for cluster in found["duplicates"]
        for pair in combinations(cluster["images"], 2)
    }
    kinds = Counter(truth.near.values())
    hits = Counter(kind for pair, kind in truth.near.items() if pair in pairs)
    for kind, count in kinds.items():
        print(f"| near: {kind} | recall {hits[kind]}/{count} = {hits[kind] / count:.3f} |")
    exact = {
        frozenset(pair)
        for cluster in found["duplicates"]
        if cluster["kind"] != "near"
        for pair in combinations(cluster["images"], 2)
    }
    rest = pairs - set(truth.near) - exact
    print(f"recall {hits.total() / kinds.total():.4f}; pairs planted and found {hits.total()}, ")
    print(f"of equal bytes or pixels {len(exact)}, others {len(rest)} (to be looked at):")
    for pair in [*exact, *rest]:
        print("  ", *sorted(pair))


def score_listed(
    what: str, entries: list[dict[str, Any]], truth: dict[str, str], names: dict[str, str]
) -> None:
    listed = {(entry["path"], entry["problem"]) for entry in entries}
    for kind, problem in names.items():
        paths = [path for path, planted_kind in truth.items() if planted_kind == kind]
        hit = sum((path, problem) in listed for path in paths)
        print(f"| {what}: {kind} | recall {hit}/{len(paths)} |")
    for problem in dict.fromkeys(names.values()):
        held = {path for path, named in listed if named == problem}
        right = {path for path in held if names.get(truth.get(path, "")) == problem}
        other = [path for path in held - right if path in truth]
        print(
            f"| {what}: {problem} | precision {len(right)}/{len(held)}, of the others "
            f"{len(other)} spoiled in another way, {len(held) - len(right) - len(other)} real |"
        )
        print("   ", [Path(path).name for path in sorted(held - right - set(other))][:12])


def score_labels(found: dict[str, Any], truth: Planted) -> None:
    suspects = [entry["path"] for entry in found["suspect_labels"]]
    hits = [path in truth.wrong for path in suspects]
    right = sum(
        truth.wrong.get(entry["path"]) == entry["suggested"] for entry in found["suspect_labels"]
    )
    top = hits[: len(truth.wrong) // 2]
    print(
        f"| labels | planted {len(truth.wrong)}, listed {len(hits)}, recall "
        f"{sum(hits) / len(truth.wrong):.3f}, precision {np.mean(hits):.3f}, of the first "
        f"{len(top)}: {np.mean(top):.3f}, true class suggested {right / max(sum(hits), 1):.3f} |"
    )


def alarms(args: argparse.Namespace) -> None:
    """How often a shortcut is seen where there is none, and where there is one."""
    rng = np.random.default_rng(args.seed)
    for name, shift, grouped in (
        ("none, images", 0.0, False),
        ("none, patients", 0.0, True),
        ("weak, patients", 1.0, True),
        ("strong, patients", 3.0, True),
    ):
        told, p_values, counts = [], [], []
        for _ in range(args.studies):
            groups = np.repeat(np.arange(30), 6)
            labels = np.array(["ALL", "normal"])[groups % 2]
            slides = rng.normal(size=(30, 6))[groups] if grouped else 0.0
            values = rng.normal(size=(180, 6)) + slides
            values[:, 0] += shift * (labels == "ALL")
            entry = score_baselines(
                {"background color": values}, labels, groups if grouped else None
            )
            told.append(is_told(entry[0]))
            p_values.append(entry[0]["p_value"])
        for _ in range(10):
            middles = np.repeat([[0.0], [shift * 2]], 90, axis=0)
            counts.append(cluster_count(rng.normal(size=(180, 6)) + middles))
        low = np.mean(np.array(p_values) <= 0.05)
        print(f"| {name} | told {np.mean(told):.3f} | p <= 0.05: {low:.3f} | {Counter(counts)} |")


def cost(args: argparse.Namespace) -> None:
    """Time of what depends on the number of images, with perturbed repetitions of real ones."""
    manifest = Manifest.from_folder(args.data)
    numbers, _ = fingerprints(list(manifest.paths), cache=args.cache, n_jobs=args.workers)
    rng = np.random.default_rng(args.seed)
    space = _Space.learned(numbers, list(manifest.paths), rng)
    spread = numbers.std(axis=0)
    labels = manifest.labels.astype(str)
    measured = rng.normal(size=(len(labels), 250))
    measured[:, :40] += np.unique(labels, return_inverse=True)[1][:, None] * rng.normal(size=40)
    for n in (1250, 2500, 5000, 12_500, 25_000, 50_000):
        rows = np.resize(rng.permutation(len(numbers)), n)
        many = numbers[rows] + rng.normal(scale=0.5, size=(n, numbers.shape[1])) * spread
        clock = time.process_time()
        pairs = space.near_pairs(many)
        tree = time.process_time() - clock
        clock = time.process_time()
        suspect_labels(measured[rows], labels[rows], paths=[str(row) for row in range(n)])
        doubted = time.process_time() - clock
        clock = time.process_time()
        score_baselines({"background color": many[:, :6]}, labels[rows])
        cluster_count(many[:, :12])
        sampled = time.process_time() - clock
        print(
            f"| {n} | neighbours {tree:.2f} s, pairs to compare {len(pairs)} "
            f"({len(pairs) / n:.2f} each) | labels {doubted:.2f} s | shortcuts and clusters "
            f"{sampled:.2f} s |",
            flush=True,
        )
    print("peak memory, MiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", type=int)
    parser.add_argument("--per-kind", type=int, default=PER_KIND)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for part in args.parts:
        globals()[part](args)


if __name__ == "__main__":
    main()
