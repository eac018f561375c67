"""How often a comparison says what is true of smears that were drawn so that it is known.

Three studies are drawn per seed, of 16 patients of two classes, four pictures each:

shortcut   the background tells the class, the cells do not
cells      the cells tell the class, the background does not
patients   nothing tells the class but who the patient is; 8 pictures each, random folds too

Candidates are morphology with an SVM, and color and texture of the whole image with an SVM, which
reads whatever is there, as a network does. Counted is how often the verdict raises an alarm of a
shortcut, says that no candidate is better than chance, and finds random folds to flatter.

    python benchmarks/evaluation_shortcuts.py -o rates/ --seeds 50

A finished study is a line in ``rates/studies.jsonl``; the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from hybridleuk import read_image
from hybridleuk.candidates import make_candidates
from hybridleuk.data.artificial import draw_study
from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.counterfactual_probe import Counterfactuals
from hybridleuk.evaluation.shortcut_estimators import ShortcutClassifier
from hybridleuk.evaluation.shortcut_measures import region_statistics
from hybridleuk.report.reading import best_of

STUDIES = {
    "shortcut": {"shortcut": True, "morphology_signal": False},
    "cells": {},
    "patients": {"morphology_signal": False, "images_per_patient_and_class": 8},
}
CLASSES = ("Benign", "Pro")
PATIENTS, EACH, SIDE, FOLDS, CHANGED, DRAWS = 16, 4, 64, 4, 24, 500
CHANCE = "No candidate is clearly better than chance"
READS = "it reads the background"


def whole_image(images):
    """Color and texture of all there is, which show the background, the stain and the cell."""
    pixels = [read_image(image) for image in images]
    return np.stack([region_statistics(p, np.ones(p.shape[:2], dtype=bool)) for p in pixels])


def compared(study, seed, folder):
    """Draw one study, compare, and return what was said of it."""
    manifest = draw_study(
        folder / "smears",
        **{
            "n_patients": PATIENTS,
            "images_per_patient_and_class": EACH,
            "classes": CLASSES,
            "size": SIDE,
            "random_state": seed,
            **STUDIES[study],
        },
    )
    cache = folder / "cache"
    result = compare_estimators(
        {
            **make_candidates(["morphology+svm"], cache=cache, workers=1),
            "image+svm": make_pipeline(FunctionTransformer(whole_image), ShortcutClassifier()),
        },
        manifest,
        split="both" if study == "patients" else "group",
        folds=FOLDS,
        random_state=seed,
        cache=cache,
        n_draws=DRAWS,
        probes=[] if study == "patients" else [Counterfactuals(CHANGED, cache)],
    )
    return _said(result.document)


def _said(document):
    alarms, best = document["alarms"], best_of(document)["name"]
    about_chance = [said for said in alarms if said.startswith(CHANCE)]
    baselines = [said for said in alarms if " alone reaches " in said]
    changed = document["counterfactuals"] or {"candidates": []}
    gaps = document["leakage_gap"]
    return {
        "best": best,
        "balanced_accuracy": best_of(document)["balanced_accuracy"]["mean"],
        "chance": bool(about_chance),
        "baseline_alarm": bool(baselines),
        "exchange_alarm": any(READS in said for said in alarms),
        "exchange_said": any(READS in said for said in document["verdict"]),
        "alarm": bool(baselines) or any(READS in said for said in alarms),
        "effect": {e["name"]: e["background_effect"] for e in changed["candidates"]},
        "gap": {name: gap["mean"] for name, gap in gaps.items()},
        "gap_found": any(gap["low"] is not None and gap["low"] > 0 for gap in gaps.values()),
        "first": document["verdict"][0],
    }


def rates(rows):
    """Count over the seeds of each study, with Clopper and Pearson's interval."""
    from scipy.stats import binomtest

    table = pd.DataFrame(rows)
    found = []
    for study, part in table.groupby("study", sort=False):
        for said in ("alarm", "baseline_alarm", "exchange_alarm", "exchange_said", "chance"):
            found.append((study, said, int(part[said].sum()), len(part)))
        if study == "patients":
            found.append((study, "gap_found", int(part["gap_found"].sum()), len(part)))
    result = pd.DataFrame(found, columns=["study", "said", "times", "of"])
    intervals = [
        binomtest(int(k), int(n)).proportion_ci()
        for k, n in zip(result["times"], result["of"], strict=True)
    ]
    result["rate"] = (result["times"] / result["of"]).round(2)
    result["low"] = [round(i.low, 2) for i in intervals]
    result["high"] = [round(i.high, 2) for i in intervals]
    means = table.groupby("study", sort=False)["balanced_accuracy"].mean().round(3)
    return result, means


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--study", action="append", choices=list(STUDIES))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "studies.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["study"], row["seed"]) for row in rows}
    for seed in range(options.seeds):
        for study in options.study or STUDIES:
            if (study, seed) in done:
                continue
            began = time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                said = compared(study, seed, Path(folder))
            rows.append(
                {"study": study, "seed": seed, "seconds": time.process_time() - began, **said}
            )
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    table, means = rates(rows)
    print(table.to_string(index=False))
    print(means.to_string())
    print(f"{np.mean([row['seconds'] for row in rows]):.1f} s of one core a study")


if __name__ == "__main__":
    main()
