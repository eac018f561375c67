"""CPU time of the morphology by stage, beside other libraries; scaling over cores; memory.

The same masks and one core for all: those that the segmentation finds. Ratios are of process time
within one run, one pass of ours and one of theirs in turn, and the median over the passes. What
is compared is in ``morphology_peers.py``; mahotas and cp_measure take part where they are installed
(``pip install mahotas cp_measure``).

    OMP_NUM_THREADS=1 python benchmarks/morphology.py IMAGES [--per-class 5] [--parts peers]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from morphology_peers import LIBRARIES, PEERS

from hybridleuk import Manifest, MorphologyFeatures, find_cells, read_image
from hybridleuk.morphology.catalogue import DEFAULT_FAMILIES, select_features
from hybridleuk.morphology.measuring import MARKS, measure_values

PARTS = ("stages", "peers", "scaling", "memory")
MEMORY_SIZES = (200, 1000)
SCALING_IMAGES = 320


def cpu_seconds(function, items) -> float:
    start = time.process_time()
    for item in items:
        function(*item)
    return time.process_time() - start


def median_milliseconds(function, items, n: int, repeats: int) -> float:
    cpu_seconds(function, items[:1])
    return 1000 * statistics.median(cpu_seconds(function, items) for _ in range(repeats)) / n


def sampled(source: str, per_class: int):
    """Return paths, images and their cells, images without a cell left out."""
    paths = list(Manifest.from_source(source).sample(per_class).paths)
    images = [read_image(path) for path in paths]
    found = [find_cells(image) for image in images]
    pairs = [pair for pair in zip(images, found, strict=True) if len(pair[1])]
    return paths, images, pairs


def show_stages(source: str, per_class: int, repeats: int) -> None:
    """Print milliseconds of each stage on the way from file to row."""
    paths, images, pairs = sampled(source, per_class)
    n_cells = sum(len(cells) for _, cells in pairs)
    area = np.median([np.bincount(c.instances.ravel())[1:].mean() for _, c in pairs])
    print(f"{len(images)} images, {n_cells} cells, median area {area:,.0f} px\n")
    print("| stage | ms |\n|---|---|")
    for name, function, inputs in (
        ("decode", read_image, paths),
        ("find cells", find_cells, images),
    ):
        each = median_milliseconds(function, [(item,) for item in inputs], len(inputs), repeats)
        print(f"| {name}, per image | {each:.2f} |")
    for families in (*((family,) for family in DEFAULT_FAMILIES), DEFAULT_FAMILIES):
        features = select_features(families)
        items = [(image, cells, features) for image, cells in pairs]
        each = median_milliseconds(measure_values, items, n_cells, repeats)
        print(f"| {', '.join(families)} ({len(features)}), per cell | {each:.2f} |")
    print(f"| aggregate, per image | {aggregation(pairs, repeats):.2f} |")


def aggregation(pairs, repeats: int) -> float:
    from hybridleuk.morphology.extractor import _aggregated

    names = ("mean", "std", "min", "max")
    features = select_features()
    tables = []
    for image, cells in pairs:
        values = measure_values(image, cells, features)
        tables.append(
            (np.hstack([np.ones((len(values), len(MARKS))), values]), np.ones(len(features)), names)
        )
    return median_milliseconds(_aggregated, tables, len(tables), repeats)


def show_peers(source: str, per_class: int, repeats: int) -> None:
    """Print how many times as long as ours each peer takes, in total and for each value."""
    _, _, pairs = sampled(source, per_class)
    n_cells = sum(len(cells) for _, cells in pairs)
    print("| set | values | ms/cell | ours: values | ms/cell | ratio | ratio per value |")
    print("|---|---|---|---|---|---|---|")
    for name, peer, kinds in PEERS:
        library = LIBRARIES.get(peer)
        if library and importlib.util.find_spec(library) is None:
            print(f"| {name} | not installed | | | | | |")
            continue
        features = list(filter(kinds, select_features())) if kinds else select_features()
        items = [(image, cells, features) for image, cells in pairs]
        cpu_seconds(measure_values, items[:1])
        n_values = peer(*pairs[0])
        passes = [
            (cpu_seconds(measure_values, items), cpu_seconds(peer, pairs)) for _ in range(repeats)
        ]
        ours, theirs = (
            1000 * statistics.median(times) / n_cells for times in zip(*passes, strict=True)
        )
        ratio = statistics.median(other / our for our, other in passes)
        per_value = ratio * len(features) / n_values
        print(f"| {name} | {n_values} | {theirs:.1f} | {len(features)} | {ours:.1f} ", end="")
        print(f"| **{ratio:.1f}** | {per_value:.1f} |")


def show_scaling(source: str) -> None:
    """Print images per second of the whole transformer on one and on two cores."""
    paths = list(Manifest.from_source(source).sample(SCALING_IMAGES // 8).paths)[:SCALING_IMAGES]
    rates = {}
    for n_jobs in (1, 2):
        morphology = MorphologyFeatures(cache=None, n_jobs=n_jobs)
        morphology.transform(paths[:32])  # starts the workers
        start = time.perf_counter()
        morphology.transform(paths)
        rates[n_jobs] = len(paths) / (time.perf_counter() - start)
    print(f"{len(paths)} images: {rates[1]:.1f} images/s on one core, {rates[2]:.1f} on two, ")
    print(f"{rates[2] / rates[1]:.2f} times; load of the machine {os.getloadavg()[0]:.1f}")


def show_memory(source: str) -> None:
    """Print the peak memory of a process of its own for each number of images."""
    for size in MEMORY_SIZES:
        command = [sys.executable, __file__, source, "--peak-of", str(size)]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"{size:5d} images: peak memory {float(peak):.0f} MiB")


def peak_memory(source: str, n_images: int) -> float:
    manifest = Manifest.from_source(source)
    paths = list(manifest.sample(-(-n_images // len(manifest.classes))).paths)[:n_images]
    MorphologyFeatures(cache=None, n_jobs=1).transform(paths)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--per-class", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers, on cells without cytoplasm
    if options.peak_of:
        print(peak_memory(options.images, options.peak_of))
        return
    shown = {
        "stages": lambda: show_stages(options.images, options.per_class, options.repeats),
        "peers": lambda: show_peers(options.images, options.per_class, options.repeats),
        "scaling": lambda: show_scaling(options.images),
        "memory": lambda: show_memory(options.images),
    }
    for part in options.parts:
        shown[part]()
        print()


if __name__ == "__main__":
    main()
