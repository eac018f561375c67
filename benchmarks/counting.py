"""Measure the counts of fields on boxes that people drew, and on drawn fields whose truth is whole.

Run as ``python benchmarks/counting.py --data FOLDER [--part val] [--wrong DIR]``. Of
``bccd-trainval``, ``train.txt`` names what may be tuned on and ``val.txt`` what is reported. People
left out many cells of these fields, so the same is measured on artificial fields of stains that the
detector was not trained with. ``--wrong`` writes a picture of every field whose leukocytes differ
from the drawn boxes: drawn boxes thick, counted ones thin.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hybridleuk.data.artificial import draw_field, draw_patient
from hybridleuk.data.images import read_image
from hybridleuk.segmentation.detector import KINDS, overlaps
from hybridleuk.segmentation.fields import count_cells
from hybridleuk.segmentation.overlay import BOX_COLORS, draw_counts

DRAWN_SEEDS = range(5000, 5040)
KINDS_DRAWN = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")


def boxes_of(path):
    boxes = {kind: [] for kind in KINDS}
    for item in ElementTree.parse(path).findall("object"):
        corner = item.find("bndbox")
        box = [int(corner.findtext(k)) for k in ("ymin", "xmin", "ymax", "xmax")]
        boxes[item.findtext("name")].append(box)
    return {kind: np.array(found, float).reshape(-1, 4) for kind, found in boxes.items()}


def bccd_fields(folder, part):
    for stem in (folder / f"{part}.txt").read_text().split():
        image = read_image(folder / "JPEGImages" / f"{stem}.jpg")
        yield stem, image, boxes_of(folder / "Annotations" / f"{stem}.xml")


def drawn_fields():
    for seed in DRAWN_SEEDS:
        random = np.random.default_rng(seed)
        patient = dataclasses.replace(
            draw_patient(seed), red_cell_density=float(random.uniform(3, 10))
        )
        kinds = tuple(random.choice(KINDS_DRAWN, random.integers(0, 4)))
        drawn = draw_field(kinds, patient=patient, random_state=seed)
        boxes = {
            "WBC": [cell.box for cell in drawn.cells],
            "RBC": drawn.red_cells,
            "Platelets": drawn.platelets,
        }
        boxes = {kind: np.array(b, float).reshape(-1, 4) for kind, b in boxes.items()}
        yield str(seed), drawn.image, boxes


def matched(cells, drawn):
    """Boxes that hit at IoU 0.5, each drawn box once, the most certain first."""
    left, hits = drawn.copy(), 0
    for cell in sorted(cells, key=lambda cell: -cell.score):
        shared = overlaps(np.array(cell.box, float), left) if len(left) else np.zeros(1)
        if shared.max() >= 0.5:
            left = np.delete(left, shared.argmax(), axis=0)
            hits += 1
    return hits


def measure(source, fields, wrong):
    rows = {kind: [] for kind in KINDS}
    times = []
    for name, image, boxes in fields:
        began = time.process_time()
        counted = count_cells(image)
        times.append(time.process_time() - began)
        for kind in KINDS:
            cells = counted.of_kind(kind)
            rows[kind].append((matched(cells, boxes[kind]), len(cells), len(boxes[kind])))
        hits, found, drawn = rows["WBC"][-1]
        if wrong is not None and not hits == found == drawn:
            show(image, counted, boxes, wrong / f"{source.replace(' ', '_')}_{name}.png")
    for kind in KINDS:
        hits, found, drawn = np.array(rows[kind], float).T
        precision, recall = hits.sum() / max(found.sum(), 1), hits.sum() / max(drawn.sum(), 1)
        f1 = 2 * hits.sum() / max(found.sum() + drawn.sum(), 1)
        yield (
            source,
            kind,
            "precision, recall, F1 at IoU 0.5",
            (f"{precision:.3f}, {recall:.3f}, {f1:.3f}"),
        )
        some = drawn > 0
        error = np.abs(found - drawn)[some] / drawn[some]
        yield (
            source,
            kind,
            "relative error of the count (median, mean)",
            (f"{np.median(error):.3f}, {error.mean():.3f} ({some.sum()} fields with any drawn)"),
        )
        exact = 100 * np.mean(found == drawn)
        yield (
            source,
            kind,
            "count exact; mean of counted - drawn",
            (f"{exact:.1f} % of {len(found)} fields; {np.mean(found - drawn):+.2f}"),
        )
    yield source, "all", "CPU ms per field (median)", f"{1e3 * np.median(times):.0f}"


def show(image, counted, boxes, path):
    picture = Image.fromarray(draw_counts(image, counted))
    pen = ImageDraw.Draw(picture)
    for kind, drawn in boxes.items():
        for y0, x0, y1, x1 in drawn:
            pen.rectangle((x0, y0, x1, y1), outline=BOX_COLORS[kind], width=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with bccd-trainval")
    parser.add_argument("--part", choices=("train", "val"), default="val")
    parser.add_argument("--wrong", type=Path, help="folder for pictures of the differences")
    options = parser.parse_args()
    print("| source | kind | measure | value |\n|---|---|---|---|")
    sources = {
        f"bccd {options.part}.txt": bccd_fields(options.data / "bccd-trainval", options.part),
        "drawn fields": drawn_fields(),
    }
    for source, fields in sources.items():
        for row in measure(source, fields, options.wrong):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
