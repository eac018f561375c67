"""What an audit costs beyond looking at each image once, against the number of images.

python benchmarks/audit_cost.py DATA/pbc-dev --cache CACHE

The fingerprints and pictures of real images are repeated and perturbed (by quarter turns, mirrored,
moved, noise), a tenth so little that they are found to be copies; records, morphology and shortcuts
are drawn. Each row is process time of one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hybridleuk import Manifest
from hybridleuk.audit.acquisition import acquisition
from hybridleuk.audit.balance import balance
from hybridleuk.audit.baselines import score_baselines
from hybridleuk.audit.cleaning import clean
from hybridleuk.audit.duplicates import duplicate_clusters, sets_of_copies
from hybridleuk.audit.evidence import Evidence
from hybridleuk.audit.files import file_problems
from hybridleuk.audit.labels import doubt_labels
from hybridleuk.audit.quality import quality
from hybridleuk.audit.record import Record
from hybridleuk.audit.verdict import verdict
from hybridleuk.data.fingerprints import fingerprints
from hybridleuk.data.near_duplicates import _CHUNK, NearPair, _scores, _seen_in, _Space
from hybridleuk.data.skipped import listed
from hybridleuk.evaluation.pseudo_groups import acquisition_clusters
from hybridleuk.report.audit import audit_report

SIZES = (1250, 2500, 5000, 12_500, 25_000, 50_000)
MEASUREMENTS = 250


class Clock:
    """Process time of each step, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, step: str, run: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = run()
        self.seconds[step] = self.seconds.get(step, 0.0) + time.process_time() - start
        return result


def perturbed(
    numbers: np.ndarray, pictures: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Repeat images up to n, altered."""
    rows = np.resize(rng.permutation(len(numbers)), n)
    strength = np.where(rng.random(n) < 0.1, 0.02, 0.5)[:, None]
    noise = rng.normal(size=(n, numbers.shape[1])) * numbers.std(axis=0)
    many = (numbers[rows] + strength * noise).astype(np.float32)
    seen = pictures[rows]
    for row in range(n):
        moved = np.rot90(seen[row], int(rng.integers(4)))
        seen[row] = np.roll(moved[:, :: rng.choice([-1, 1])], int(rng.integers(-3, 4)), axis=0)
    return rows, many, seen


def drawn_evidence(rows: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Evidence:
    n = len(rows)
    frame = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "path": [f"/nowhere/{row:06}.png" for row in range(n)],
            "label": labels[rows],
            "group": [f"P{row % 97}" for row in rows],
            "split": np.where(rng.random(n) < 0.2, "test", "train"),
            "sha256": [f"{row:064x}" for row in range(n)],
        }
    )
    light, sharp = rng.normal(230, 5, n).round(), np.exp(rng.normal(0.3, 0.05, n))
    records = [
        Record(
            str(row), "PNG", "RGB", 360, 360, 1, 0, 0, sharp[row], light[row], 0.0, 0.0, 1,
            ((0.7 + 0.01 * (row % 7), 0.05),), True, (), (),
        )
        for row in range(n)
    ]  # fmt: skip
    return Evidence(Manifest(frame), records)


def found_copies(
    clock: Clock, many: np.ndarray, seen: np.ndarray, rng: np.random.Generator, args: Any
) -> tuple[list[NearPair], int, int]:
    """Look for copies among neighbors, or among some of them; also how many and of how many."""
    candidates = sorted(clock("neighbors", lambda: args.space.near_pairs(many)))
    parts = [candidates[start : start + _CHUNK] for start in range(0, len(candidates), _CHUNK)]
    parts = [parts[k] for k in rng.permutation(len(parts))[: max(1, args.pairs // _CHUNK)]]
    scores = clock("registration", lambda: [_scores(p, *_seen_in(p, seen)) for p in parts])
    picked = sum(map(len, parts))
    clock.seconds["registration"] *= len(candidates) / picked
    copies = [
        NearPair(*pair, s)
        for part, found in scores
        for pair, s in zip(part, found, strict=True)
        if s >= 0.9
    ]
    return copies, len(candidates), picked


def drawn_tables(
    many: np.ndarray, codes: np.ndarray, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw what shortcuts see, and measurements of which forty tell of the class."""
    taken = {
        "background only": np.abs(many[:, :16]),
        "background color": many[:, :6],
        "mean color": many[:, 6:9],
        "file metadata": np.abs(many[:, :145]),
    }
    table = rng.normal(size=(len(many), MEASUREMENTS)).astype(np.float32)
    table[:, :40] += codes[:, None] * 0.5
    return taken, table


def described(n: int, labels: np.ndarray) -> dict[str, Any]:
    return {
        "name": "drawn",
        "n_images": n,
        "n_groups": 97,
        "group_kind": "patient",
        "classes": sorted(set(labels)),
        "n_found": n,
        "n_unreadable": 0,
        "n_ignored": 0,
        "recognised": None,
        "known_defects": [],
    }


def audited(
    clock: Clock,
    evidence: Evidence,
    copies: list[NearPair],
    taken: dict[str, np.ndarray],
    table: np.ndarray,
) -> tuple[dict[str, Any], Manifest]:
    """Do all that an audit does once images were looked at, step by step."""
    few = {name: taken[name] for name in ("background only", "background color")}
    labels, groups = evidence.labels, evidence.groups
    shown = clock("clusters", lambda: acquisition(evidence, taken))
    document: dict[str, Any] = {"acquisition": shown}
    document["shortcuts"] = clock("shortcuts", lambda: score_baselines(few, labels, groups))
    doubts = clock("labels", lambda: doubt_labels(table, labels, groups, paths=evidence.paths))
    document |= {"suspect_labels": doubts.suspects, "label_test": doubts.test}
    sets = clock("sets", lambda: sets_of_copies(evidence, copies))
    document["duplicates"] = clock("sets", lambda: duplicate_clusters(evidence, copies))
    cleaned = clock("sets", lambda: clean(evidence, sets))
    document["cleaned"] = {"n_images": len(cleaned), "n_left_out": len(cleaned.skipped)}
    document["files"] = clock("records", lambda: file_problems(evidence))
    document["quality"] = clock("records", lambda: quality(evidence, np.array(shown["clusters"])))
    document["balance"] = clock("records", lambda: balance(evidence))
    return document, cleaned


def measure(
    n: int, numbers: np.ndarray, pictures: np.ndarray, labels: np.ndarray, args: argparse.Namespace
) -> None:
    rng, clock = np.random.default_rng(args.seed), Clock()
    rows, many, seen = perturbed(numbers, pictures, n, rng)
    evidence = drawn_evidence(rows, labels, rng)
    copies, n_pairs, n_picked = found_copies(clock, many, seen, rng, args)
    taken, table = drawn_tables(many, np.unique(labels, return_inverse=True)[1][rows], rng)
    document, cleaned = audited(clock, evidence, copies, taken, table)
    document = {"dataset": described(n, labels)} | document
    document["verdict"] = clock("records", lambda: verdict(document))
    clock("pseudo-groups", lambda: acquisition_clusters(many[:, :9].astype(float), evidence.labels))
    document |= {"versions": {"hybridleuk": "", "python": ""}, "command": None}
    page = clock("page", lambda: audit_report(document, listed(cleaned.skipped)))
    size = len(json.dumps(document, indent=1))
    columns = " | ".join(f"{name} {value:.2f}" for name, value in clock.seconds.items())
    total = sum(clock.seconds.values())
    print(
        f"| {n} | {columns} | all {total:.1f} s, {1000 * total / n:.2f} ms each | "
        f"pairs {n_pairs} ({n_pairs / n:.2f} each), copies {len(copies)} of {n_picked} | page "
        f"{len(page) // 1024} KiB, json {size // 1024} KiB | peak "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument(
        "--pairs", type=int, default=10**9, help="to compare at most; time in proportion"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    manifest = Manifest.from_folder(args.data)
    numbers, pictures = fingerprints(list(manifest.paths), cache=args.cache, n_jobs=1)
    args.space = _Space.learned(numbers, list(manifest.paths), np.random.default_rng(args.seed))
    for n in args.sizes:
        measure(n, numbers, pictures, manifest.labels.astype(str), args)


if __name__ == "__main__":
    main()
