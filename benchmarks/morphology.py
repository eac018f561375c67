"""Milliseconds per cell of the morphology, beside the closest set of scikit-image.

The same masks and one core for both: every feature of the default families, against
``regionprops_table`` with every property it has for a mask with an image, for nucleus and cytoplasm,
plus a co-occurrence matrix with its properties for each. Masks are those that the segmentation
finds; its time is given too.

    python benchmarks/morphology.py IMAGES [--per-class 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from skimage.feature import graycomatrix, graycoprops
from skimage.measure import regionprops_table
from skimage.measure._regionprops import PROP_VALS

from hybridleuk import Manifest, find_cells, read_image
from hybridleuk.morphology.catalogue import CATALOGUE, DEFAULT_FAMILIES, select_features
from hybridleuk.morphology.measuring import measure_values

GLCM = ("contrast", "homogeneity", "energy", "correlation", "entropy", "dissimilarity")
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def reference(image, cells) -> None:
    """Measure nucleus and cytoplasm with scikit-image, cropped to their boxes."""
    nuclei = np.where(cells.nucleus, cells.instances, 0)
    cytoplasm = np.where(cells.nucleus, 0, cells.instances)
    for labels in (nuclei, cytoplasm):
        table = regionprops_table(labels, intensity_image=image, properties=sorted(PROP_VALS))
        for mask, crop in zip(table["image"], table["image_intensity"], strict=True):
            green = np.where(mask, 1 + crop[..., 1] // 17, 0).astype(np.uint8)
            for distance in (1, 8):
                matrix = graycomatrix(green, [distance], ANGLES, levels=17, symmetric=True)
                for name in GLCM:
                    graycoprops(matrix[1:, 1:], name)


def milliseconds(function, items, n: int, repeats: int = 3) -> float:
    """CPU time of this process for each of n, the best of a few passes."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for item in items:
            function(*item)
        times.append(time.process_time() - start)
    return 1000 * min(times) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--per-class", type=int, default=5)
    arguments = parser.parse_args()
    manifest = Manifest.from_source(arguments.images).sample(arguments.per_class)
    images = [read_image(path) for path in manifest.paths]
    found = [find_cells(image) for image in images]
    pairs = [pair for pair in zip(images, found, strict=True) if len(pair[1])]
    n_cells = sum(len(cells) for _, cells in pairs)
    area = np.median([np.bincount(c.instances.ravel())[1:].mean() for _, c in pairs])
    print(f"{len(images)} images, {n_cells} cells, median area {area:,.0f} px")
    images_only = [(image,) for image in images]
    found_in = milliseconds(find_cells, images_only, len(images), 1)
    print(f"find_cells                        {found_in:7.1f} ms/image")
    for families in (*((family,) for family in DEFAULT_FAMILIES), DEFAULT_FAMILIES):
        features = select_features(families)
        items = [(image, cells, features) for image, cells in pairs]
        ours = milliseconds(measure_values, items, n_cells)
        print(f"{len(features):4d} features, {', '.join(families):21s} {ours:7.1f} ms/cell")
    theirs = milliseconds(reference, pairs, n_cells, 1)
    print(f"scikit-image, every property, GLCM {theirs:6.1f} ms/cell, {theirs / ours:.1f} times")
    print(f"({len(CATALOGUE)} features in the catalogue)")


if __name__ == "__main__":
    main()
