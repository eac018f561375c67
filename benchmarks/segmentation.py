"""Measure the segmentation on real images that people outlined, and print a Markdown table.

Run as ``python benchmarks/segmentation.py --data FOLDER [--worst DIR] [--jobs N]``. Of each source
one part may be used to tune and the other is what is reported: of ``wbc-zheng-1`` odd and even
numbers, of ``bccd-trainval`` what ``train.txt`` and ``val.txt`` name, of ``pbc-dev`` every other
image of each class by name; of the latter only whether a cell is found is measured.
``--worst`` writes overlays: of ``wbc-zheng-1`` the 20 images of the least Dice, of the others every
image whose leukocytes differ from what they should be (at most 60 of a class).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from PIL import Image

from hybridleuk.data.datasets.reading import read_dataset
from hybridleuk.data.images import read_image
from hybridleuk.segmentation.agreement import agreement_of_cells, summary_of_cells
from hybridleuk.segmentation.cells import METHODS, find_cells
from hybridleuk.segmentation.overlay import draw_overlay

LEUKOCYTES = ("basophil", "eosinophil", "ig", "lymphocyte", "monocyte", "neutrophil")
OTHERS = ("erythroblast", "platelet")
SOURCES = ("zheng", "bccd", "pbc")
N_WORST = 20
N_WRONG = 60


def timed(image, method):
    start = time.process_time()
    cells = find_cells(image, method=method)
    return cells, 1e3 * (time.process_time() - start)


def show(image, cells, worst, name):
    if worst is not None:
        worst.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_overlay(image, cells)).save(worst / f"{name}.png")


def measure_zheng(folder, method, worst):
    """Dice of the central cell (of all cells where none is central), part by part."""
    manifest = read_dataset(folder, "zheng-1")
    for part, first in (("odd (tuned on)", 0), ("even (reported)", 1)):
        scores, times = [], []
        rows = range(first, len(manifest), 2)
        for row in rows:
            cells, took = timed(read_image(manifest.paths[row]), method)
            agreed = agreement_of_cells(cells, manifest.annotations(row))
            scores.append((agreed["dice_nucleus"], agreed["dice_cell"]))
            times.append(took)
        for region, column in zip(("nucleus", "whole cell"), np.transpose(scores), strict=True):
            low = f"{100 * np.mean(column < 0.8):.1f} % under 0.80"
            yield "wbc-zheng-1", part, f"{region} Dice", f"{np.mean(column):.4f}, {low}"
        yield "wbc-zheng-1", part, "CPU ms per image (median)", f"{np.median(times):.0f}"
        for k in np.argsort(np.min(scores, axis=1))[: N_WORST if worst else 0]:
            image = read_image(manifest.paths[rows[k]])
            name = f"zheng_{np.min(scores[k]):.3f}_{manifest.image_ids[rows[k]]}"
            show(image, find_cells(image, method=method), worst, name)


def measure_bccd(folder, method, worst):
    """Precision and recall of boxes at IoU 0.5, each drawn box matched once."""
    manifest = read_dataset(folder, "bccd")
    for part, split in (("train.txt (tuned on)", "train"), ("val.txt (reported)", "val")):
        agreed, times = [], []
        for row in np.flatnonzero(manifest.frame["split"] == split):
            image = read_image(manifest.paths[row])
            cells, took = timed(image, method)
            found = agreement_of_cells(cells, manifest.annotations(row))
            if not found["matched"] == found["drawn"] == found["found"]:
                show(image, cells, worst, f"bccd_{Path(manifest.paths[row]).stem}")
            agreed.append(found)
            times.append(took)
        summed = summary_of_cells(pd.DataFrame(agreed))
        exact = f"{100 * summed['count_exact']:.1f} % of fields"
        yield "bccd-trainval", part, "WBC precision at IoU 0.5", f"{summed['precision']:.3f}"
        yield "bccd-trainval", part, "WBC recall at IoU 0.5", f"{summed['recall']:.3f}"
        yield "bccd-trainval", part, "WBC count exact", exact
        yield "bccd-trainval", part, "CPU ms per image (median)", f"{np.median(times):.0f}"


def look_at(path, method):
    """Whether a cell and a central one is found, and how long it took; for workers."""
    cells, took = timed(read_image(path), method)
    return len(cells) > 0, cells.central is not None, took


def measure_pbc(folder, method, worst, step, jobs):
    """Share of images in which a cell, and a central one, is found, by halves and in all."""
    totals = {}
    for kind in (*LEUKOCYTES, *OTHERS):
        paths = sorted(p for p in (folder / kind).glob("*.jpg") if not p.name.startswith("."))
        paths = paths[::step]
        looks = Parallel(n_jobs=jobs)(delayed(look_at)(path, method) for path in paths)
        totals[kind] = np.array(looks, dtype=float)
        wrong = [
            p for p, (found, *_) in zip(paths, looks, strict=True) if found == (kind == "platelet")
        ]
        for path in wrong[: N_WRONG if worst else 0]:
            image = read_image(path)
            show(image, find_cells(image, method=method), worst, f"pbc_{kind}_{path.stem}")
    totals = {"leukocyte classes": np.concatenate([totals[k] for k in LEUKOCYTES]), **totals}
    halves = {"all": slice(None), "first, third, ...": slice(0, None, 2)}
    halves["second, fourth, ..."] = slice(1, None, 2)
    for part, half in halves.items():
        part = part if step == 1 else f"{part} of every {step}th"
        for kind, looks in totals.items():
            found, central, _ = 100 * looks[half].mean(axis=0)
            share = f"{found:.2f} % of {len(looks[half])}, central {central:.2f} %"
            yield "pbc-dev", part, f"cell found: {kind}", share
    for kind, looks in totals.items():
        yield (
            "pbc-dev",
            "all",
            f"CPU ms per image (median): {kind}",
            f"{np.median(looks[:, 2]):.0f}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the three sources")
    parser.add_argument("--method", choices=METHODS, default="otsu")
    parser.add_argument("--pbc-step", type=int, default=1, help="take every n-th image of pbc-dev")
    parser.add_argument("--jobs", type=int, default=1, help="processes for pbc-dev")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=SOURCES)
    parser.add_argument("--worst", type=Path, help="folder for overlays of the worst images")
    options = parser.parse_args()
    find_cells(np.full((32, 32, 3), 200, np.uint8))  # imports happen outside of the clock
    print("| source | part | measure | value |\n|---|---|---|---|")
    data, method, worst = options.data, options.method, options.worst
    measured = {
        "zheng": lambda: measure_zheng(data / "wbc-zheng-1", method, worst),
        "bccd": lambda: measure_bccd(data / "bccd-trainval", method, worst),
        "pbc": lambda: measure_pbc(data / "pbc-dev", method, worst, options.pbc_step, options.jobs),
    }
    for source in options.sources:
        for row in measured[source]():
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
