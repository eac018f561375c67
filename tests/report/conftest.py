"""The plain data of a comparison and of an audit, written by hand, so that nothing is fitted."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

CLASSES = ["Benign", "Early & <b>late</b>", "Pro"]
NAMES = {"deep+svm": 0.75, "hybrid+svm": 0.9, "morphology+svm": 0.6}


def estimate(mean, half=0.04):
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}


def around(mean):
    return {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean}


def candidate(name, split, accuracy):
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision")
    metrics += ("ece", "brier")
    return {
        "name": name,
        "split": split,
        **{metric: estimate(accuracy) for metric in metrics},
        "sensitivity": {label: estimate(accuracy) for label in CLASSES},
        "specificity": {label: estimate(accuracy) for label in CLASSES},
        "fit_seconds": 10 * accuracy**9,
        "predict_ms_per_image": 100 * accuracy**9,
        "estimator": f"HybridClassifier('{name}')",
        "size_bytes": int(1e7 * accuracy**5),
        "tuning": {"space": {"svc__C": [0.1, 1, 10]}, "n_settings": 3, "inner_folds": 3}
        if name.startswith("hybrid")
        else None,
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


def of_candidates(**figures):
    """One entry per candidate and split, the figures made from its accuracy."""
    return [
        {"name": name, "split": split, **{key: make(a) for key, make in figures.items()}}
        for name, a in NAMES.items()
        for split in ("group", "random")
    ]


def certainty_sections():
    methods = ("as given", "temperature", "isotonic")
    shares = np.linspace(1, 0, 21).round(2).tolist()
    return {
        "calibration": {
            "how": "fitted on the other folds",
            "candidates": of_candidates(
                methods=lambda a: {
                    method: {m: estimate(0.2 / (i + 1)) for m in ("ece", "brier", "log_loss")}
                    for i, method in enumerate(methods)
                },
                bins=lambda a: [{"confidence": 0.5, "accuracy": 0.4, "n": 10}],
            ),
        },
        "prediction_sets": {
            "alpha": 0.1,
            "how": "Quantiles of the other folds",
            "candidates": of_candidates(
                coverage=lambda a: estimate(0.9),
                per_class=lambda a: {label: estimate(0.88) for label in CLASSES[1:]},
                mean_size=lambda a: 2 - a,
                share_single=lambda a: a,
                share_empty=lambda a: 0.01,
            ),
        },
        "abstention": {
            "candidates": of_candidates(
                answered=lambda a: shares,
                accuracy=lambda a: [*(a + (1 - a) * (1 - s) for s in shares[:-1]), None],
                low=lambda a: [*(a - 0.05 for _ in shares[:-1]), None],
                high=lambda a: [*(min(1, a + 0.1) for _ in shares[:-1]), None],
            )
        },
    }


def use_sections():
    thresholds = np.linspace(0.05, 0.95, 19).round(2).tolist()
    return {
        "costs": {
            "classes": CLASSES,
            "matrix": [[0, 1, 1], [5, 0, 2.5], [10, 1, 0]],
            "candidates": of_candidates(
                as_called=lambda a: around(2 - a), at_least_cost=lambda a: around(1.5 - a)
            ),
        },
        "decision_curve": {
            "positive": CLASSES[1:],
            "thresholds": thresholds,
            "treat_all": [2 / 3 - t / (1 - t) / 3 for t in thresholds],
            "candidates": of_candidates(
                net_benefit=lambda a: [0.6 * a - t / 3 for t in thresholds]
            ),
        },
        "learning_curve": {
            "unit": "groups",
            "candidates": [
                {
                    "name": name,
                    "n": [3, 5, 7],
                    "mean": [a - 0.2, a - 0.1, a],
                    "low": [a - 0.3, a - 0.2, None],
                    "high": [a - 0.1, a, None],
                }
                for name, a in NAMES.items()
            ],
        },
        "training": [
            {
                "candidate": "finetuned",
                "folds": [
                    {
                        "epoch": [0, 1, 2],
                        "train_loss": [1.1, 0.7, 0.5],
                        "valid_loss": [1.0, 0.6, 0.65],
                        "valid_balanced_accuracy": [0.6, 0.8, 0.78],
                        "best_epoch": 1,
                        "seconds": 3.2,
                    }
                ],
            }
        ],
        "patients": {
            "unit": "patient",
            "rule": "the mean of its images' probabilities",
            "n": 9,
            "n_excluded": 1,
            "candidates": of_candidates(
                accuracy=estimate, balanced_accuracy=estimate, auroc=estimate
            ),
        },
    }


def seen_sections(paths):
    changes = ("background_flat", "blur")
    picture = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="
    rng = np.random.default_rng(1)
    return {
        "counterfactuals": {
            "n_images": 60,
            "changes": [
                {"name": name, "label": name.replace("_", " "), "description": f"what {name} does"}
                for name in changes
            ],
            "candidates": of_candidates(
                unchanged=estimate,
                background_effect=lambda a: {"mean": a / 5, "low": -0.01, "high": a / 3},
                changes=lambda a: {
                    name: {
                        "balanced_accuracy": estimate(a / 2),
                        "loss": {"mean": a / 4, "low": a / 8, "high": a / 2},
                        "flipped": 0.25,
                    }
                    for name in changes
                },
            ),
        },
        "importance": [
            {
                "candidate": name,
                "blocks": [{"name": "deep", "loss": estimate(0.2)}],
                "measurements": [
                    {
                        "name": "nucleus_area",
                        "region": "nucleus",
                        "loss": {"mean": 0.02, "low": -0.01, "high": 0.05},
                        "describes": "size of the nucleus & what moves with it",
                    }
                ],
            }
            for name in ("hybrid+svm", "morphology+svm")
        ],
        "map": {
            "features": "hybrid",
            "method": "PCA, then t-SNE",
            "points": [
                {
                    "image_id": f"image_{i}",
                    "path": path,
                    "label": CLASSES[i % 3],
                    "x": float(rng.normal(i % 3)),
                    "y": float(rng.normal()),
                    "right": i % 5 > 0,
                }
                for i, path in enumerate(paths)
            ],
        },
        "attention": [
            {
                "candidate": "finetuned",
                "image_id": "image_1",
                "label": CLASSES[1],
                "predicted": CLASSES[2],
                "picture": picture,
            }
        ],
    }


@pytest.fixture
def complete(document, predictions):
    """A document with every key that a report reads."""
    paths = list(dict.fromkeys(predictions["path"]))
    document["protocol"] |= {"group_rule": "column patient", "inner": "scaling and calibration"}
    for shortcut in document["shortcuts"]:
        shortcut["description"] = "the border of the image alone"
    return document | certainty_sections() | use_sections() | seen_sections(paths)


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


def paths_of(folder, n=12):
    rng = np.random.default_rng(3)
    (folder / "blast").mkdir()
    paths = [str(folder / "blast" / f"{i}.png") for i in range(n)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(path)
    return paths


def cluster(kind, images, across, labels, **more):
    n = len(images)
    return {
        "kind": kind,
        "images": images,
        "labels": labels,
        "groups": [f"P{i}" for i in range(n)],
        "splits": [None] * n,
        "across": across,
        "conflict": len(set(labels)) > 1,
        **more,
    }


def shortcut(name, accuracy, p_value, told):
    return {
        "name": name,
        "description": f"what {name} sees",
        "balanced_accuracy": accuracy,
        "chance": 1 / 3,
        "p_value": p_value,
        "n_images": 120,
        "folds_by": "group",
        "told": told,
    }


@pytest.fixture
def audited(tmp_path):
    """What audit.json holds, with something in every section."""
    paths = paths_of(tmp_path)
    warnings = ["No groups are known."]
    return {
        "dataset": {
            "name": "artificial <study>",
            "n_images": 120,
            "n_groups": 9,
            "group_kind": "patient",
            "classes": CLASSES,
            "n_unreadable": 1,
            "recognised": None,
            "known_defects": [],
        },
        "files": [
            {"path": str(tmp_path / "cut.jpg"), "problem": "truncated", "detail": "cut off"},
            {"path": paths[0], "problem": "scale bar", "detail": "1 mark <i>drawn</i> in."},
        ],
        "duplicates": [
            cluster("bytes", paths[:2], "group", ["Pro", "Pro"]),
            cluster("near", paths[2:8], "class", CLASSES * 2, score=0.912),
        ],
        "shortcuts": [
            shortcut("background color", 0.71, 0.002, True),
            shortcut("file metadata", 0.4, 0.21, False),
        ],
        "acquisition": {
            "n_clusters": 2,
            "sizes": [90, 30],
            "examples": [paths[:6], paths[6:9]],
            "clusters": [0] * 90 + [1] * 30,
            "classes": [{CLASSES[0]: 50, CLASSES[1]: 40}, {CLASSES[2]: 30}],
            "nmi_with_class": 0.42,
            "nmi_by_chance": 0.01,
            "p_value": 0.005,
            "how": "k-means",
        },
        "suspect_labels": [
            {"path": paths[8], "label": "Pro", "suggested": CLASSES[1], "score": 0.83}
        ],
        "label_test": {
            "balanced_accuracy": 0.8,
            "chance": 1 / 3,
            "p_value": 0.005,
            "told": True,
        },
        "quality": [{"path": paths[9], "problem": "blur", "value": 1.2, "detail": "Its edges."}],
        "balance": {
            "images_per_class": dict.fromkeys(CLASSES, 40),
            "groups_per_class": dict.fromkeys(CLASSES, 3),
            "images_per_group": {f"P{i}": 10 + i for i in range(9)},
            "images_per_split": {"train": dict.fromkeys(CLASSES, 30)},
            "n_groups": 9,
            "groups_of_one_class": 9,
            "shared_groups": [],
            "unlabelled": 0,
            "most_folds": 3,
            "ratio": 1.0,
            "warnings": warnings,
        },
        "cleaned": {"n_images": 110, "n_left_out": 11},
        "verdict": [f"One label is suspect, {paths[8]}.", *warnings],
        "versions": {"hybridleuk": "0.1.0", "python": "3.11"},
        "command": "hybridleuk audit study -o out",
    }


@pytest.fixture
def left_out(audited):
    paths = [path for found in audited["duplicates"] for path in found["images"]]
    return [(path, f"shows the same as {paths[0]}, which is kept.") for path in paths[1:]]
