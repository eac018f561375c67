"""Which images smearnet is trained on, watched on and never sees, and what it is shown of them.

``pbc-dev`` is parted by content: the first eight digits of an image's SHA-256, modulo 100, below 60
are to train on, from 60 to 65 to watch the training with, the others are held out. So images that
are equal byte for byte lie on one side, and of near-duplicates ``smearnet.py`` makes sure. Of
``bccd-trainval`` the leukocytes of the fields that ``train.txt`` names are taken, without labels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from PIL import Image

from hybridleuk import read_image
from hybridleuk.data.images import image_sha256
from hybridleuk.embeddings.backbones import backbone, blocks_of
from hybridleuk.embeddings.network import frozen_backbone
from hybridleuk.embeddings.preprocessing import cut_cells
from hybridleuk.embeddings.weights import resolve_weights
from hybridleuk.segmentation.cells import find_cells_cached
from hybridleuk.segmentation.stain import estimate_background

CLASSES = (
    *("basophil", "eosinophil", "erythroblast", "ig"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)
TRAIN, WATCH = 60, 66  # of a hundred
SIDE = 192  # px of the pictures that are kept
CROP = 2.6  # side of a crop around a cell of a field, in diameters of a circle of its area


def parts(data: Path) -> dict[str, list[Path]]:
    """Part ``pbc-dev`` into images to train on, to watch with, and held out."""
    paths = [p for c in CLASSES for p in sorted((data / "pbc-dev" / c).glob("[!.]*.jpg"))]
    listed: dict[str, list[Path]] = {"train": [], "watch": [], "held out": []}
    for path in paths:
        place = int(image_sha256(path)[:8], 16) % 100
        name = "train" if place < TRAIN else "watch" if place < WATCH else "held out"
        listed[name].append(path)
    return listed


def fields(data: Path) -> list[Path]:
    """List the fields of BCCD's ``train.txt``."""
    folder = data / "bccd-trainval"
    stems = (folder / "train.txt").read_text().split()
    return [folder / "JPEGImages" / f"{stem}.jpg" for stem in stems]


def pictures(paths: list[Path], labels: list[int], cache: str, jobs: int = 2) -> dict:
    """Cut the pictures of single cells: whole with their cell's mask, and the cell alone."""
    pairs = list(zip(paths, labels, strict=True))
    with Parallel(n_jobs=jobs, return_as="generator") as parallel:
        parts = [pairs[i : i + 16] for i in range(0, len(pairs), 16)]
        made = parallel(delayed(_cut)(part, cache) for part in parts)
        rows = [row for part in made for row in part]
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


def _cut(pairs: list[tuple[Path, int]], cache: str) -> list[dict]:
    rows = []
    for path, label in pairs:
        image, cells = read_image(path), find_cells_cached(path, cache=cache)
        smear = estimate_background(image) / 255
        for crop, mask, alone in _crops(image, cells, whole=label >= 0):
            row = {"image": _square(crop), "mask": _square(mask * np.uint8(255)), "smear": smear}
            row |= {"has": alone is not None, "label": label}
            row["cell"] = np.zeros((SIDE, SIDE, 3), np.uint8) if alone is None else alone
            rows.append(row)
    return rows


def _crops(image, cells, whole):
    """Yield crop, mask of its cell, and the cell alone: of a single-cell image just one."""
    usable = list(cells.usable())
    alone = cut_cells(image, cells, SIDE)
    if whole:
        mask = cells.instances > 0 if usable else np.ones(image.shape[:2], bool)
        yield image, mask, alone[0] if usable else None
        return
    for cell, picture in zip(usable, alone, strict=True):
        mask = cells.cell_mask(cell)
        half = round(CROP * np.sqrt(np.count_nonzero(mask) / np.pi))
        y, x = (round(value) for value in cell.centroid)
        box = (slice(max(0, y - half), y + half), slice(max(0, x - half), x + half))
        if min(image[box].shape[:2]) > half:
            yield image[box], mask[box], picture


def _square(layer):
    return np.asarray(Image.fromarray(layer).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def taught(whole: torch.Tensor, weights: str, width: int) -> torch.Tensor:
    """Ask the teacher, SqueezeNet: its embeddings in their principal directions."""
    record = backbone("squeezenet1_0")
    blocks = blocks_of(record, "upper", "stained+center")
    network = frozen_backbone(resolve_weights(record, weights), blocks)
    size = (record.input_size, record.input_size)
    rows = []
    for part in whole.split(64):
        larger = [np.asarray(Image.fromarray(p.numpy()).resize(size)) for p in part]
        rows.append(network.embed(np.stack(larger), precision="bf16"))
    values = torch.from_numpy(np.concatenate(rows))
    values = (values - values.mean(0)) / (values.std(0) + 1e-6)
    left, scales, _ = torch.linalg.svd(values, full_matrices=False)
    directed = left[:, :width] * scales[:width].sqrt()
    return torch.nn.functional.normalize(directed, dim=1)
