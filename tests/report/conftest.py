"""The plain data of a comparison, written by hand, so that the report is tested without fitting."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

CLASSES = ["Benign", "Early & <b>late</b>", "Pro"]
NAMES = {"deep+svm": 0.75, "hybrid+svm": 0.9, "morphology+svm": 0.6}


def estimate(mean, half=0.04):
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def candidate(name, split, accuracy):
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "ece", "brier")
    return {
        "name": name,
        "split": split,
        **{metric: estimate(accuracy) for metric in metrics},
        "sensitivity": {label: estimate(accuracy) for label in CLASSES},
        "specificity": {label: estimate(accuracy) for label in CLASSES},
        "fit_seconds": 10 * accuracy**9,
        "predict_ms_per_image": 100 * accuracy**9,
        "estimator": f"HybridClassifier('{name}')",
    }


def pair(a, b, split):
    difference = NAMES[a] - NAMES[b]
    return {
        "a": a,
        "b": b,
        "split": split,
        "difference": difference,
        "low": difference - 0.03,
        "high": difference + 0.03,
        "p_value": 0.01,
        "p_holm": 0.03,
        "p_mcnemar": 0.02,
        "negligible": False,
        "test": "corrected resampled t-test",
    }


@pytest.fixture
def predictions(tmp_path):
    rng = np.random.default_rng(0)
    n = 90
    codes = np.arange(n) % 3
    paths = [str(tmp_path / f"{i}.png") for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)).save(path)
    parts = []
    for name, accuracy in NAMES.items():
        for split in ("group", "random"):
            right = rng.random(n) < accuracy
            p = np.eye(3)[np.where(right, codes, (codes + 1) % 3)] + 0.4 * rng.random((n, 3))
            p /= p.sum(axis=1, keepdims=True)
            frame = pd.DataFrame(
                {
                    "candidate": name,
                    "split": split,
                    "repeat": 0,
                    "fold": codes,
                    "image_id": [f"image_{i}" for i in range(n)],
                    "path": paths,
                    "label": np.array(CLASSES, dtype=object)[codes],
                    "group": "P1",
                    "predicted": np.array(CLASSES, dtype=object)[p.argmax(axis=1)],
                }
            )
            chances = pd.DataFrame(p, columns=[f"prob_{label}" for label in CLASSES])
            parts.append(pd.concat([frame, chances], axis=1))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def document():
    splits = ("group", "random")
    confusion = {name: [[25, 5, 0], [3, 27, 0], [0, 0, 30]] for name in NAMES}
    return {
        "dataset": {
            "name": "artificial <study>",
            "n_images": 90,
            "n_groups": 9,
            "group_kind": "patient",
            "classes": CLASSES,
            "images_per_class": dict.fromkeys(CLASSES, 30),
            "groups_per_class": dict.fromkeys(CLASSES, 3),
            "n_skipped": 2,
        },
        "protocol": {
            "split": "both",
            "folds": 5,
            "repeats": 1,
            "seed": 0,
            "level": 0.95,
            "n_draws": 1000,
            "resampled": "groups",
            "n_units": 9,
            "negligible": 0.01,
        },
        "candidates": [candidate(n, s, a) for s in splits for n, a in NAMES.items()],
        "pairs": [
            pair(a, b, split)
            for split in splits
            for a, b in [
                ("deep+svm", "hybrid+svm"),
                ("deep+svm", "morphology+svm"),
                ("hybrid+svm", "morphology+svm"),
            ]
        ],
        "shortcuts": [
            {
                "name": name,
                "split": split,
                "balanced_accuracy": 0.5,
                "low": 0.4,
                "high": 0.6,
                "ratio": 0.3,
            }
            for split in splits
            for name in ("background color", "8 x 8 thumbnail")
        ],
        "leakage_gap": {name: estimate(0.05) for name in NAMES},
        "external": [
            {
                "name": "clinic B",
                "n_images": 12,
                "n_shared": 0,
                "candidates": [
                    {**candidate(name, "", 0.4), "drop": estimate(0.3)} for name in NAMES
                ],
            }
        ],
        "confusion": dict.fromkeys(splits, confusion),
        "verdict": ["The background color alone reaches it.", "hybrid+svm is best."],
        "alarms": ["The background color alone reaches it."],
        "warnings": ["Only 9 groups."],
        "notes": ["RANDOM WEIGHTS: never trained."],
        "versions": {"hybridleuk": "0.1.0", "python": "3.11"},
        "command": "hybridleuk compare study -o out",
    }
