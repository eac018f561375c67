"""Milliseconds per cell of the morphology, beside the closest set of scikit-image.

The same masks and one core for both: every feature of the default families, against
``regionprops_table`` with every property it has for a mask with an image, and two co-occurrence
matrices with their properties, for nucleus and cytoplasm; then the same with what is still missing
in it: Lab, HSV, local binary patterns, local entropy, openings and closings. Masks are those that
the segmentation finds; its time is given too.

    python benchmarks/morphology.py IMAGES [--per-class 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from skimage.color import rgb2hsv, rgb2lab
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.filters import rank
from skimage.measure import regionprops_table
from skimage.measure._regionprops import PROP_VALS
from skimage.morphology import closing, disk, opening

from hybridleuk import Manifest, find_cells, read_image
from hybridleuk.morphology.catalogue import DEFAULT_FAMILIES, select_features
from hybridleuk.morphology.measuring import measure_values

GLCM = ("contrast", "homogeneity", "energy", "correlation", "entropy", "dissimilarity")
ANGLES = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]


def regions_and_glcm(image, cells) -> None:
    """Measure nucleus and cytoplasm with scikit-image, cropped to their boxes."""
    for mask, crop in _crops(image, cells):
        green = np.where(mask, 1 + crop[..., 1] // 17, 0).astype(np.uint8)
        for distance in (1, 8):
            matrix = graycomatrix(green, [distance], ANGLES, levels=17, symmetric=True)
            for name in GLCM:
                graycoprops(matrix[1:, 1:], name)


def everything(image, cells) -> None:
    """Measure color, patterns, entropy and granulometry too."""
    regions_and_glcm(image, cells)
    for mask, crop in _crops(image, cells, properties=("image", "image_intensity")):
        for convert in (rgb2lab, rgb2hsv):
            pixels = convert(crop)[mask]
            pixels.mean(axis=0), pixels.std(axis=0)
        green = np.ascontiguousarray(crop[..., 1])
        for radius in (1, 3):
            np.bincount(local_binary_pattern(green, 8, radius, "uniform")[mask].astype(int))
        rank.entropy(green, disk(6), mask=mask)[mask].mean()
        for side in (5, 11, 21):
            footprint = np.ones((side, side), dtype=bool)
            opening(green, footprint)[mask].mean(), closing(green, footprint)[mask].mean()


EVERY_PROPERTY = tuple(sorted(PROP_VALS))


def _crops(image, cells, properties=EVERY_PROPERTY):
    nuclei = np.where(cells.nucleus, cells.instances, 0)
    cytoplasm = np.where(cells.nucleus, 0, cells.instances)
    for labels in (nuclei, cytoplasm):
        table = regionprops_table(labels, intensity_image=image, properties=properties)
        yield from zip(table["image"], table["image_intensity"], strict=True)


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
    for name, reference in (("regionprops + GLCM", regions_and_glcm), ("all of it", everything)):
        theirs = milliseconds(reference, pairs, n_cells, 1)
        print(f"scikit-image, {name:19s} {theirs:7.1f} ms/cell, {theirs / ours:.1f} times")


if __name__ == "__main__":
    main()
