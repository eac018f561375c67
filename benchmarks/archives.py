"""Measure what reading images from archives costs beside reading them from a folder.

Run as ``python benchmarks/archives.py FOLDER [--per-class 125]``, where FOLDER has one sub-folder
per class. The images are packed into a temporary folder; rows, labels and hashes have to be the
same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from hybridleuk import Manifest, read_image

KINDS = ("folder", "zip", "tar", "gztar")


def copied(source, per_class, target):
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:per_class]:
            shutil.copy2(path, target / folder.name)
    return target


def measure(place):
    """CPU seconds to list and hash, and to decode; and what was listed."""
    began = time.process_time()
    manifest = Manifest.from_source(place, dataset="none")
    listed = time.process_time()
    for path in manifest.paths:
        read_image(path)
    return listed - began, time.process_time() - listed, manifest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--per-class", type=int, default=125)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["HYBRIDLEUK_CACHE"] = f"{name}/cache"
        root = copied(options.folder, options.per_class, Path(name) / "images" / "all")
        places = dict.fromkeys(KINDS, root)
        for kind in KINDS[1:]:
            places[kind] = shutil.make_archive(f"{name}/all", kind, root.parent)
        measure(root)  # files come from the memory of the system from here on
        times = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            plain = measure(root)[2].frame.drop(columns="path")
            for kind, place in places.items():
                *taken, manifest = measure(place)
                assert manifest.frame.drop(columns="path").equals(plain)
                times[kind].append(taken)
    print(f"{len(plain):,} images, least of {options.rounds} rounds, CPU ms per image")
    print("| kind | listed and hashed | decoded |\n|---|---|---|")
    for kind, taken in times.items():
        listed, decoded = (1e3 * min(column) / len(plain) for column in zip(*taken, strict=True))
        print(f"| {kind} | {listed:.2f} | {decoded:.2f} |")


if __name__ == "__main__":
    main()
