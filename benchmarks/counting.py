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
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from hybridleuk.data.annotations.records import CellAnnotation, ImageAnnotations
from hybridleuk.data.artificial import draw_field, draw_patient
from hybridleuk.data.datasets.reading import read_dataset
from hybridleuk.data.images import read_image
from hybridleuk.segmentation.agreement import agreement_of_counts, summary_of_counts
from hybridleuk.segmentation.fields import KINDS, count_cells
from hybridleuk.segmentation.overlay import BOX_COLORS, draw_counts

DRAWN_SEEDS = range(5000, 5040)
KINDS_DRAWN = ("neutrophil", "lymphocyte", "monocyte", "eosinophil")


def bccd_fields(folder, part):
    manifest = read_dataset(folder, "bccd")
    for row in np.flatnonzero(manifest.frame["split"] == part):
        path = Path(manifest.paths[row])
        yield path.stem, read_image(path), manifest.annotations(row)


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
        cells = [CellAnnotation(kind, tuple(box)) for kind in boxes for box in boxes[kind]]
        yield str(seed), drawn.image, ImageAnnotations(tuple(cells))


def by_place(drawn):
    """Keep of each drawn cell its middle alone, which then has to lie in a counted box."""
    cells = []
    for cell in drawn.cells:
        y0, x0, y1, x1 = cell.box
        cells.append(CellAnnotation(cell.kind, center=((y0 + y1) / 2, (x0 + x1) / 2)))
    return ImageAnnotations(tuple(cells))


def measure(source, fields, wrong):
    rows, places, times = [], [], []
    for name, image, drawn in fields:
        began = time.process_time()
        counted = count_cells(image)
        times.append(time.process_time() - began)
        agreed = agreement_of_counts(counted, drawn)
        rows += agreed
        places += agreement_of_counts(counted, by_place(drawn))
        leukocytes = agreed[0]
        exact = leukocytes["matched"] == leukocytes["found"] == leukocytes["drawn"]
        if wrong is not None and not exact:
            show(image, counted, drawn, wrong / f"{source.replace(' ', '_')}_{name}.png")
    table = pd.DataFrame(rows)
    for kind, summed in summary_of_counts(table).items():
        f1 = 2 * summed["matched"] / (summed["found"] + summed["drawn"])
        text = f"{summed['precision']:.3f}, {summed['recall']:.3f}, {f1:.3f}"
        yield source, kind, "precision, recall, F1 at IoU 0.5", text
        hits = sum(row["matched"] for row in places if row["kind"] == kind)
        f1 = 2 * hits / (summed["found"] + summed["drawn"])
        yield source, kind, "F1 by place: the drawn middle lies in the counted box", f"{f1:.3f}"
        some = table[(table["kind"] == kind) & (table["drawn"] > 0)]
        error = (some["found"] - some["drawn"]).abs() / some["drawn"]
        text = f"{summed['count_relative_error']:.3f}, {error.mean():.3f}"
        shown = f"{text} ({len(some)} fields with any drawn)"
        yield source, kind, "relative error of the count (median, mean)", shown
        text = f"{100 * summed['count_exact']:.1f} % of {summed['n_images']} fields"
        shown = f"{text}; {summed['count_bias']:+.2f}"
        yield source, kind, "count exact; mean of counted - drawn", shown
    yield source, "all", "CPU ms per field (median)", f"{1e3 * np.median(times):.0f}"


def show(image, counted, drawn, path):
    picture = Image.fromarray(draw_counts(image, counted))
    pen = ImageDraw.Draw(picture)
    for kind in KINDS:
        for cell in drawn.of_kind(kind):
            y0, x0, y1, x1 = cell.box
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
