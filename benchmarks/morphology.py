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
SCALING_IMAGES = (32, 192)


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


def show_scaling(source: str, repeats: int) -> None:
    """Print what an image costs with one process and with two, in turns.

    Seconds of CPU, summed over the processes, say what a second process costs even while the
    machine is busy with other work; the ratio of the least wall times is what a user sees, and
    means something on a quiet machine only. Starting is left out: a cost is that of many images
    less that of few, over the difference in number.
    """
    few, many = SCALING_IMAGES
    paths = list(Manifest.from_source(source).sample(-(-many // 8)).paths)[:many]
    costs: dict[int, list] = {1: [], 2: []}
    for turn in range(repeats):
        for n_jobs in (1, 2) if turn % 2 else (2, 1):
            spent = np.subtract(spent_on(paths, n_jobs), spent_on(paths[:few], n_jobs))
            costs[n_jobs].append(1000 * spent / (many - few))
    print("| processes | CPU ms/image | in the parent | least wall, ms/image |\n|---|---|---|---|")
    for n_jobs, each in costs.items():
        _, own, workers = np.median(each, axis=0)
        print(f"| {n_jobs} | {own + workers:.1f} | {own:.2f} | {np.min(each, axis=0)[0]:.1f} |")
    one, two = (np.array(costs[n_jobs]) for n_jobs in (1, 2))
    overhead = np.median(two[:, 1:].sum(axis=1) / one[:, 1:].sum(axis=1))
    walls = one[:, 0].min() / two[:, 0].min()
    print(
        f"\nCPU of two processes over that of one: {overhead:.3f}, so at most {2 / overhead:.2f} ",
        end="",
    )
    print(f"times as fast; least wall time: {walls:.2f} times as fast, ", end="")
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


def spent_on(paths, n_jobs: int) -> tuple[float, float, float]:
    """Seconds of wall time, of this process's CPU and of its workers' for measuring images."""
    from joblib.externals.loky import get_reusable_executor

    began = times_so_far()
    MorphologyFeatures(cache=None, n_jobs=n_jobs).transform(paths)
    if n_jobs > 1:  # what workers used is known when they have ended
        get_reusable_executor().shutdown(wait=True)
    return tuple(np.subtract(times_so_far(), began))


def times_so_far() -> tuple[float, float, float]:
    own, workers = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (
        time.perf_counter(),
        own.ru_utime + own.ru_stime,
        workers.ru_utime + workers.ru_stime,
    )


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
        "scaling": lambda: show_scaling(options.images, options.repeats),
        "memory": lambda: show_memory(options.images),
    }
    for part in options.parts:
        shown[part]()
        print()


if __name__ == "__main__":
    main()
