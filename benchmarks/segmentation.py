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
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image

from hybridleuk.data.images import read_image
from hybridleuk.segmentation.cells import METHODS, find_cells
from hybridleuk.segmentation.overlay import draw_overlay

LEUKOCYTES = ("basophil", "eosinophil", "ig", "lymphocyte", "monocyte", "neutrophil")
OTHERS = ("erythroblast", "platelet")
N_WORST = 20
N_WRONG = 60


def dice(one, other):
    return 2.0 * (one & other).sum() / max(int(one.sum()) + int(other.sum()), 1)


def overlap(one, other):
    """Intersection over union of two boxes (y0, x0, y1, x1)."""
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


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
    for part, first in (("odd (tuned on)", 1), ("even (reported)", 2)):
        scores, times = [], []
        for number in range(first, 301, 2):
            truth = read_image(folder / f"{number:03d}.png")[..., 0]
            cells, took = timed(read_image(folder / f"{number:03d}.bmp"), method)
            mask = cells.cell_mask(cells.central) if cells.central else cells.instances > 0
            scores.append((dice(mask & cells.nucleus, truth == 255), dice(mask, truth > 0)))
            times.append(took)
        for region, column in zip(("nucleus", "whole cell"), np.transpose(scores), strict=True):
            low = f"{100 * np.mean(column < 0.8):.1f} % under 0.80"
            yield "wbc-zheng-1", part, f"{region} Dice", f"{np.mean(column):.4f}, {low}"
        yield "wbc-zheng-1", part, "CPU ms per image (median)", f"{np.median(times):.0f}"
        for k in np.argsort(np.min(scores, axis=1))[: N_WORST if worst else 0]:
            image = read_image(folder / f"{first + 2 * k:03d}.bmp")
            name = f"zheng_{np.min(scores[k]):.3f}_{first + 2 * k:03d}"
            show(image, find_cells(image, method=method), worst, name)


def leukocyte_boxes(path):
    boxes = []
    for item in ElementTree.parse(path).findall("object"):
        if item.findtext("name") == "WBC":
            corner = item.find("bndbox")
            boxes.append(tuple(int(corner.findtext(k)) for k in ("ymin", "xmin", "ymax", "xmax")))
    return boxes


def measure_bccd(folder, method, worst):
    """Precision and recall of boxes at IoU 0.5, each drawn box matched once."""
    for part, name in (("train.txt (tuned on)", "train.txt"), ("val.txt (reported)", "val.txt")):
        hits = found = drawn = exact = 0
        times = []
        names = (folder / name).read_text().split()
        for stem in names:
            image = read_image(folder / "JPEGImages" / f"{stem}.jpg")
            cells, took = timed(image, method)
            left = leukocyte_boxes(folder / "Annotations" / f"{stem}.xml")
            exact += len(left) == len(cells)
            expected, before = len(left), hits
            found, drawn = found + len(cells), drawn + len(left)
            for cell in cells.cells:
                best = max(left, key=lambda box, cell=cell: overlap(box, cell.box), default=None)
                if best is not None and overlap(best, cell.box) >= 0.5:
                    hits += 1
                    left.remove(best)
            if not hits - before == expected == len(cells):
                show(image, cells, worst, f"bccd_{stem}")
            times.append(took)
        yield "bccd-trainval", part, "WBC precision at IoU 0.5", f"{hits / max(found, 1):.3f}"
        yield "bccd-trainval", part, "WBC recall at IoU 0.5", f"{hits / drawn:.3f}"
        yield (
            "bccd-trainval",
            part,
            "WBC count exact",
            f"{100 * exact / len(names):.1f} % of fields",
        )
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
    parser.add_argument("--worst", type=Path, help="folder for overlays of the worst images")
    options = parser.parse_args()
    find_cells(np.full((32, 32, 3), 200, np.uint8))  # imports happen outside of the clock
    print("| source | part | measure | value |\n|---|---|---|---|")
    rows = (
        measure_zheng(options.data / "wbc-zheng-1", options.method, options.worst),
        measure_bccd(options.data / "bccd-trainval", options.method, options.worst),
        measure_pbc(
            options.data / "pbc-dev", options.method, options.worst, options.pbc_step, options.jobs
        ),
    )
    for source in rows:
        for row in source:
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
