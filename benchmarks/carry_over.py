"""What classifiers trained on one source of images are worth on another one.

Trained on the five leukocyte classes of PBC but 70 images of each; tested on those 70 as they are,
on artificial other microscopes made of them (another stain and lamp; coarser and out of focus;
both; other dyes under a coarse camera that sharpens and compresses), and on Zheng 1 with its own
stain, camera and resolution, whose labels nobody checked. How cells are brought to a standard was
chosen on the first three of the artificial ones; Zheng 1 was looked at meanwhile. It has a single
basophil, which moves the balanced accuracy by 0.20, so the mean recall of the other four classes is
given too.

    python benchmarks/carry_over.py DATA --weights squeezenet1_0-imagenet.pth
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from sklearn.metrics import recall_score

from hybridleuk import Manifest, read_image
from hybridleuk.candidates import make_candidate
from hybridleuk.segmentation.stain import estimate_background, optical_density, stain_vectors

CLASSES = ["neutrophil", "lymphocyte", "monocyte", "eosinophil", "basophil"]
HELD_OUT = 70
SHIFTS = {"other stain": "s", "out of focus": "f", "both": "sf", "other dyes": "d"}
DYES = np.array([[0.55, 0.75, 0.37], [0.10, 0.75, 0.65]])  # optical density of azure and eosin
CELLS = {"view": "cells", "precision": "auto"}
CANDIDATES = (
    ("morphology+svm", {}),
    ("morphology+xgboost", {}),
    ("morphology+svm", {"measurements": "portable"}),
    ("morphology+svm", {"measurements": "all"}),
    ("deep+svm", {**CELLS, "view": "image"}),
    ("deep+svm", CELLS),
    ("deep+logistic", CELLS),
    ("hybrid+svm", CELLS),
    ("hybrid+xgboost", CELLS),
)


def shifted(image, kind, rng):
    """Take an image as another microscope might have: its stain and lamp (s), its focus (f)."""
    pixels = image.astype(np.float64)
    if "f" in kind:
        scale = rng.uniform(0.35, 0.6)
        pixels = ndimage.gaussian_filter(pixels, (0.7 / scale, 0.7 / scale, 0))
        pixels = ndimage.zoom(pixels, (scale, scale, 1), order=1)
        pixels = ndimage.gaussian_filter(pixels, (0.8, 0.8, 0))
    if "s" in kind:
        empty = estimate_background(image)
        density = np.log10((empty + 4) / (np.maximum(pixels, 0) + 4))
        density *= np.exp(rng.normal(0, 0.15) + rng.normal(0, 0.2, 3))
        density = density @ (np.eye(3) + rng.normal(0, 0.08, (3, 3))).T
        lamp = np.array([rng.uniform(180, 250), rng.uniform(180, 250), rng.uniform(110, 250)])
        pixels = (lamp + 4) * 10**-density - 4
    noisy = pixels + rng.normal(0, 1.5, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def other_dyes(image, rng):
    """Stain an image with other dyes, and take it coarsely, sharpened and compressed."""
    own = stain_vectors(image)
    density = optical_density(image, estimate_background(image)).astype(np.float64)
    amounts = density @ np.linalg.pinv(own)
    rest = density - amounts @ own
    dyes = np.clip(DYES + rng.normal(0, 0.15, DYES.shape), 0.03, None)
    dyes /= np.linalg.norm(dyes, axis=1, keepdims=True)
    amounts = np.maximum(amounts, 0) * np.exp(rng.normal(0, 0.2, 2))
    tone = np.exp(rng.normal(0, 0.15))
    density = amounts @ dyes + rest * rng.uniform(0, 1)
    density = np.sign(density) * np.abs(density) ** tone
    lamp = np.array([rng.uniform(180, 250), rng.uniform(180, 250), rng.uniform(110, 250)])
    pixels = (lamp + 4) * 10**-density - 4
    scale = rng.uniform(0.3, 0.6)
    pixels = ndimage.gaussian_filter(pixels, (0.6 / scale, 0.6 / scale, 0))
    pixels = ndimage.zoom(pixels, (scale, scale, 1), order=1)
    if rng.random() < 0.5:
        pixels += rng.uniform(0.3, 1.0) * (pixels - ndimage.gaussian_filter(pixels, (1, 1, 0)))
    else:
        pixels = ndimage.gaussian_filter(pixels, (0.6, 0.6, 0))
    noisy = np.clip(np.rint(pixels + rng.normal(0, 2, pixels.shape)), 0, 255).astype(np.uint8)
    coded = io.BytesIO()
    Image.fromarray(noisy).save(coded, "JPEG", quality=int(rng.integers(50, 92)))
    return np.asarray(Image.open(coded).convert("RGB"))


def sources(data: Path, work: Path, per_class: int) -> dict[str, Manifest]:
    """List the images to train on and those of each test, drawing the artificial ones."""
    rng = np.random.default_rng(0)
    parts = {"train": [], "PBC, held out": []}
    for label in CLASSES:
        paths = rng.permutation(sorted((data / "pbc-dev" / label).glob("[!.]*.jpg")))
        parts["PBC, held out"] += [(path, label) for path in paths[:HELD_OUT]]
        parts["train"] += [(path, label) for path in paths[HELD_OUT : HELD_OUT + per_class]]
    for name, kind in SHIFTS.items():
        parts[name] = []
        for number, (path, label) in enumerate(parts["PBC, held out"]):
            drawn = work / kind / f"{label}-{path.stem}.png"
            drawn.parent.mkdir(parents=True, exist_ok=True)
            own = np.random.default_rng([number, len(kind)])
            image = read_image(path)
            changed = other_dyes(image, own) if kind == "d" else shifted(image, kind, own)
            Image.fromarray(changed).save(drawn)
            parts[name].append((drawn, label))
    zheng = data / "wbc-zheng-1"
    labels = pd.read_csv(zheng / "class_labels.csv").to_numpy()
    parts["Zheng 1"] = [(zheng / f"{i:03d}.bmp", CLASSES[k - 1]) for i, k in labels]
    manifests = {}
    for name, rows in parts.items():
        listed = work / f"{name}.csv"
        pd.DataFrame(rows, columns=["path", "label"]).to_csv(listed, index=False)
        manifests[name] = Manifest.from_file(listed)
    return manifests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True, help="ImageNet weights of SqueezeNet 1.0")
    parser.add_argument("--per-class", type=int, default=530, help="images to train on")
    parser.add_argument("--work", type=Path, default=Path("carry-over"), help="for drawn images")
    arguments = parser.parse_args()
    listed = sources(arguments.data, arguments.work.resolve(), arguments.per_class)
    train = listed.pop("train")
    print(f"{len(train)} images to train on; balanced accuracy, for Zheng 1 recalls and their mean")
    for name, options in CANDIDATES:
        if not name.startswith("morphology"):
            options = {**options, "weights": arguments.weights}
        model = make_candidate(name, **options).fit(train.paths, train.labels)
        said = [options.get("measurements", "weighted"), options.get("view", "")]
        print(f"{name:20s} {' '.join(filter(None, said)):16s}", end="")
        for manifest in listed.values():
            predicted = model.predict(manifest.paths)
            recalls = recall_score(manifest.labels, predicted, labels=CLASSES, average=None)
            print(f" {recalls.mean():.3f}", end="")
        print(f"  four classes {recalls[:4].mean():.3f}", np.round(recalls, 2), flush=True)


if __name__ == "__main__":
    main()
