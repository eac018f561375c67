"""What the backbone of the package is worth beside ImageNet's SqueezeNet, frozen, with an SVM.

    python benchmarks/smearnet.py DATA --weights WEIGHTS --parts held-out zheng microscopes carry
    python benchmarks/smearnet.py DATA --weights WEIGHTS --parts speed alike

``held-out``
    Five folds over the images of ``pbc-dev`` that smearnet never saw (``smearnet_images.py``).
``zheng``
    Three times five folds over Zheng 1, which it never saw either.
``carry``
    Fitted on the five leukocyte classes of the held-out part, tested on Zheng 1.
``microscopes``
    Fitted on half of the held-out part, tested on artificial other microscopes made of the rest
    (``carry_over.py``). Choices were made by this one.
``speed``
    Images per second in turns, from files to stored rows, and of the networks alone.
``alike``
    Whether images that show the same cell lie in different parts.

The SVM is that of ``deep+svm`` without the calibration of its probabilities. Both networks have the
same rows of a table each; "last layer" is the mean over the deepest map, "default" what
``hybridleuk`` takes where nothing is said.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from carry_over import CLASSES, shifted
from embeddings import network_alone, ours
from sklearn.metrics import recall_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from smearnet_images import parts

from hybridleuk import HybridFeatures, read_image
from hybridleuk.data.near_duplicates import near_duplicates
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.preprocessing import view_pictures
from hybridleuk.scaling import BlockScaler

SHIFTS = {"other stain": "s", "out of focus": "f", "both": "sf"}
LAST = {"layers": "default", "pooling": "avg"}
ROWS = (
    ("last layer, image", {**LAST, "view": "image"}),
    ("default, image", {"view": "image"}),
    ("last layer, cells", {**LAST, "view": "cells"}),
    ("default, cells", {"view": "cells"}),
)


def networks(options):
    own = options.smearnet or "bundled"
    return {"squeezenet1_0": options.weights, "smearnet": own}


def machine():
    return make_pipeline(BlockScaler(), SVC(C=10, class_weight="balanced"))


def embedded(images, name, weights, settings, options):
    made = HybridFeatures(
        features="deep",
        backbone=name,
        weights=weights,
        precision="auto",
        cache=options.cache,
        **settings,
    )
    return made.extract(list(images)).matrix()


def recalls(truth, predicted, classes):
    return recall_score(truth, predicted, labels=classes, average=None, zero_division=0)


def cross_validated(rows, labels, seeds, classes):
    """Balanced accuracy and accuracy, mean over the repeats of five folds."""
    figures = []
    for seed in seeds:
        predicted = np.empty(len(labels), dtype=object)
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        for train, test in folds.split(rows, labels):
            predicted[test] = machine().fit(rows[train], labels[train]).predict(rows[test])
        figures.append((recalls(labels, predicted, classes).mean(), (labels == predicted).mean()))
    return np.mean(figures, axis=0)


def label_of(paths):
    return np.array([path.parent.name for path in paths], dtype=object)


def zheng(options):
    folder = options.data / "wbc-zheng-1"
    listed = pd.read_csv(folder / "class_labels.csv").to_numpy()
    labels = np.array([CLASSES[number - 1] for _, number in listed], dtype=object)
    return [folder / f"{row:03d}.bmp" for row, _ in listed], labels


def each(options):
    for said, settings in ROWS:
        for name, weights in networks(options).items():
            yield f"{name:14s} {said:18s}", name, weights, settings


def held_out(options):
    paths = parts(options.data)["held out"]
    labels = label_of(paths)
    print(f"held out: {len(paths)} images, 5 folds; balanced accuracy, accuracy")
    for said, name, weights, settings in each(options):
        rows = embedded(paths, name, weights, settings, options)
        found = cross_validated(rows, labels, [0], sorted(set(labels)))
        print(said, *found.round(4), rows.shape[1], flush=True)


def on_zheng(options):
    paths, labels = zheng(options)
    many = [name for name in CLASSES if (labels == name).sum() >= 5]
    kept = np.isin(labels, many)
    print(f"Zheng 1: 3 x 5 folds, {len(paths)} images; accuracy, and balanced accuracy of {many}")
    for said, name, weights, settings in each(options):
        rows = embedded(paths, name, weights, settings, options)
        few = cross_validated(rows[kept], labels[kept], [0, 1, 2], many)
        everything = np.mean(labels.size and few[1] * kept.mean())  # the single others are missed
        print(said, round(float(everything), 4), few[0].round(4), rows.shape[1], flush=True)


def carried(options):
    paths = [path for path in parts(options.data)["held out"] if path.parent.name in CLASSES]
    tests, labels = zheng(options)
    print(f"fitted on {len(paths)} images, tested on Zheng 1; balanced accuracy, of four, recalls")
    for said, name, weights, settings in each(options):
        model = machine().fit(embedded(paths, name, weights, settings, options), label_of(paths))
        predicted = model.predict(embedded(tests, name, weights, settings, options))
        found = recalls(labels, predicted, CLASSES)
        print(said, found.mean().round(3), found[:4].mean().round(3), found.round(2), flush=True)


def microscopes(options):
    paths = [path for path in parts(options.data)["held out"] if path.parent.name in CLASSES]
    order = np.random.default_rng(0).permutation(len(paths))
    fitted, tested = ([paths[i] for i in part] for part in np.array_split(order, [len(order) // 2]))
    tested = tested[: options.tested]
    made = {"as it is": [read_image(path) for path in tested]}
    for said, kind in SHIFTS.items():
        made[said] = [
            shifted(image, kind, np.random.default_rng([number, len(kind)]))
            for number, image in enumerate(made["as it is"])
        ]
    print(f"fitted on {len(fitted)}, tested on {len(tested)}: {', '.join(made)}")
    for said, name, weights, settings in each(options):
        model = machine().fit(embedded(fitted, name, weights, settings, options), label_of(fitted))
        found = [
            recalls(
                label_of(tested),
                model.predict(embedded(images, name, weights, settings, options)),
                CLASSES,
            ).mean()
            for images in made.values()
        ]
        print(said, *np.round(found, 3), flush=True)


def speed(options):
    paths = [path for part in parts(options.data).values() for path in part][:: options.every]
    turns = {}
    for name, weights in networks(options).items():
        record = backbone(name)
        shown = np.concatenate([view_pictures("image", read_image(p), None, record) for p in paths])
        for precision in ("fp32", "bf16"):
            turns[name, precision, "files to rows"] = ours(name, weights, precision)
            turns[name, precision, "network alone"] = network_alone(
                record, weights, precision, shown
            )
    spent = defaultdict(list)
    for run in turns.values():
        run(paths[:32])
    for _ in range(options.repeats):
        for key, run in turns.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(paths)
            spent[key].append((time.perf_counter() - wall, time.process_time() - cpu))
    print(f"{len(paths)} images, {torch.get_num_threads()} threads; images/s by wall and CPU time")
    for (name, precision, what), times in spent.items():
        other = spent["squeezenet1_0", precision, what]
        ratio = [
            median(b / a for a, b in zip(column, reference, strict=True))
            for column, reference in zip(
                zip(*times, strict=True), zip(*other, strict=True), strict=True
            )
        ]
        rates = [len(paths) / median(column) for column in zip(*times, strict=True)]
        print(
            f"{name:14s} {precision} {what:14s}", *np.round(rates, 1), "ratio", *np.round(ratio, 2)
        )


def alike(options):
    listed = parts(options.data)
    where = {path: name for name, paths in listed.items() for path in paths}
    paths = list(where)
    pairs = near_duplicates(paths, cache=options.cache)
    for pair in pairs:
        first, second = paths[pair.first], paths[pair.second]
        apart = "" if where[first] == where[second] else "  IN TWO PARTS"
        print(first.name, second.name, round(pair.score, 3), where[first], where[second], apart)


PARTS = {
    "held-out": held_out,
    "zheng": on_zheng,
    "carry": carried,
    "microscopes": microscopes,
    "speed": speed,
    "alike": alike,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", required=True, help="ImageNet weights of SqueezeNet 1.0")
    parser.add_argument("--smearnet", help="weights other than those of the package")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["held-out"])
    parser.add_argument("--cache", default="default")
    parser.add_argument("--tested", type=int, default=160, help="images under microscopes")
    parser.add_argument("--every", type=int, default=20, help="every n-th image for speed")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for name in options.parts:
        PARTS[name](options)


if __name__ == "__main__":
    main()
