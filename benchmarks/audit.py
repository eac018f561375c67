"""Findings planted among real images, and what the audit finds of them.

python benchmarks/audit.py DATA/pbc-dev --cache CACHE
python benchmarks/audit.py DATA/pbc-dev --cache CACHE --parts wide --fields DATA/bccd-trainval
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from audit_planting import FILES, QUALITY, SITTINGS, WIDE, Planted, cropped, in_sitting
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score

from hybridleuk import Manifest
from hybridleuk.audit.acquisition import cluster_count
from hybridleuk.audit.audit import audit
from hybridleuk.audit.baselines import is_told, score_baselines
from hybridleuk.data.near_duplicates import near_duplicates

PER_KIND = 40
PARTS = ("planted", "wide", "sittings", "alarms")


def planted(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        truth = Planted(args.data, Path(folder), args.images, args.seed)
        truth.plant(args.per_kind)
        start = time.perf_counter()
        found = audit(truth.manifest, cache=args.cache, workers=args.workers).document
        print(
            f"audit of {found['dataset']['n_images']} images: {time.perf_counter() - start:.0f} s"
        )
        score_near(found, truth)
        cropped_too = dict.fromkeys(truth.resized, "odd size")
        score_listed("files", found["files"], truth.files | cropped_too, FILES)
        score_listed(
            "quality", found["quality"], truth.quality, {k: v[0] for k, v in QUALITY.items()}
        )
        score_labels(found, truth)
    for entry in found["shortcuts"]:
        print(f"| {entry['name']} | {entry['balanced_accuracy']:.3f} | p {entry['p_value']:.3f} |")
    taken = found["acquisition"]
    print(
        {
            name: taken[name]
            for name in ("n_clusters", "sizes", "nmi_with_class", "nmi_by_chance", "p_value")
        }
    )
    print(*found["verdict"], sep="\n")


def wide(args: argparse.Namespace) -> None:
    """Copies in other formats, sizes and without color, and crops of fields."""
    rng = np.random.default_rng(args.seed)
    real = Manifest.from_folder(args.data).sample((args.images or 1200) // 8)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(path) for path in real.paths]
        free, copies = list(rng.permutation(len(paths))), {}
        for kind, (suffix, change) in WIDE.items():
            for number in range(args.per_kind // 2):
                source = paths[free.pop()]
                target = str(Path(folder, f"{len(copies)}_{number}{suffix}"))
                change(Image.open(source).convert("RGB"), rng).save(target)
                copies[target] = (source, kind)
        _score_copies(paths, copies, args)
        if args.fields:
            found = Manifest.from_source(args.fields)
            fields = [str(path) for path in found.paths]
            copies = {}
            for row in rng.permutation(len(fields))[: args.per_kind]:
                target = str(Path(folder, f"field_{row}.png"))
                cropped(Image.open(fields[row]).convert("RGB"), rng).save(target)
                copies[target] = (fields[row], "10 % crop of a field")
            _score_copies(fields, copies, args)


def _score_copies(
    paths: list[str], copies: dict[str, tuple[str, str]], args: argparse.Namespace
) -> None:
    listed = [*paths, *copies]
    pairs = near_duplicates(listed, cache=args.cache, n_jobs=args.workers)
    found = {(listed[pair.first], listed[pair.second]) for pair in pairs}
    planted_kinds = Counter(kind for _, kind in copies.values())
    hits = Counter(kind for copy, (source, kind) in copies.items() if (source, copy) in found)
    for kind, count in planted_kinds.items():
        print(f"| copy: {kind} | {hits[kind]} of {count} |")
    for pair in found - {(source, copy) for copy, (source, _) in copies.items()}:
        print("   another pair:", *pair)


def score_near(found: dict[str, Any], truth: Planted) -> None:
    pairs = {
        frozenset(pair)
        for cluster in found["duplicates"]
        for pair in combinations(cluster["images"], 2)
    }
    kinds = Counter(truth.near.values())
    hits = Counter(kind for pair, kind in truth.near.items() if pair in pairs)
    for kind, count in kinds.items():
        print(f"| near: {kind} | recall {hits[kind]}/{count} = {hits[kind] / count:.3f} |")
    exact = {
        frozenset(pair)
        for cluster in found["duplicates"]
        if cluster["kind"] != "near"
        for pair in combinations(cluster["images"], 2)
    }
    rest = pairs - set(truth.near) - exact
    print(f"recall {hits.total() / kinds.total():.4f}; pairs planted and found {hits.total()}, ")
    print(f"of equal bytes or pixels {len(exact)}, others {len(rest)} (to be looked at):")
    for pair in [*exact, *rest]:
        print("  ", *sorted(pair))


def score_listed(
    what: str, entries: list[dict[str, Any]], truth: dict[str, str], names: dict[str, str]
) -> None:
    listed = {(entry["path"], entry["problem"]) for entry in entries}
    for kind, problem in names.items():
        paths = [path for path, planted_kind in truth.items() if planted_kind == kind]
        hit = sum((path, problem) in listed for path in paths)
        print(f"| {what}: {kind} | recall {hit}/{len(paths)} |")
    for problem in dict.fromkeys(names.values()):
        held = {path for path, named in listed if named == problem}
        right = {path for path in held if names.get(truth.get(path, "")) == problem}
        other = [path for path in held - right if path in truth]
        print(
            f"| {what}: {problem} | precision {len(right)}/{len(held)}, of the others "
            f"{len(other)} spoiled in another way, {len(held) - len(right) - len(other)} real |"
        )
        print("   ", [Path(path).name for path in sorted(held - right - set(other))][:12])


def score_labels(found: dict[str, Any], truth: Planted) -> None:
    suspects = [entry["path"] for entry in found["suspect_labels"]]
    hits = [path in truth.wrong for path in suspects]
    right = sum(
        truth.wrong.get(entry["path"]) == entry["suggested"] for entry in found["suspect_labels"]
    )
    top = hits[: len(truth.wrong) // 2]
    print(
        f"| labels | planted {len(truth.wrong)}, listed {len(hits)}, recall "
        f"{sum(hits) / len(truth.wrong):.3f}, precision {np.mean(hits):.3f}, of the first "
        f"{len(top)}: {np.mean(top):.3f}, true class suggested {right / max(sum(hits), 1):.3f} |"
    )


def sittings(args: argparse.Namespace) -> None:
    """Clusters of acquisition against sittings that are known, with and without the classes."""
    rng = np.random.default_rng(args.seed)
    real = Manifest.from_folder(args.data).sample((args.images or 160) // 8, random_state=args.seed)
    classes, labels = np.unique(real.labels.astype(str), return_inverse=True)
    for name, numbers in (
        ("by chance", rng.permutation(np.arange(len(real)) % len(SITTINGS))),
        ("two classes each", labels * len(SITTINGS) // len(classes)),
        ("none", np.zeros(len(real), dtype=int)),
    ):
        with tempfile.TemporaryDirectory() as folder:
            paths = [str(Path(folder, f"{row}.png")) for row in range(len(real))]
            for path, source, number in zip(paths, real.paths, numbers, strict=True):
                in_sitting(Image.open(source).convert("RGB"), int(number), rng).save(path)
            manifest = Manifest.from_paths(paths, list(real.labels))
            unused = np.zeros((len(paths), 1))
            found = audit(manifest, cache=None, workers=args.workers, features=unused).document
        taken = found["acquisition"]
        agreement = normalized_mutual_info_score(numbers, taken["clusters"])
        print(
            f"| sittings: {name} | {taken['n_clusters']} clusters, with the sittings "
            f"{agreement:.3f}, with the classes {taken['nmi_with_class']:.3f}, by chance "
            f"{taken['nmi_by_chance']}, p {taken['p_value']} |",
            flush=True,
        )


def alarms(args: argparse.Namespace) -> None:
    """How often a shortcut is seen where there is none, and where there is one."""
    rng = np.random.default_rng(args.seed)
    for name, shift, grouped in (
        ("none, images", 0.0, False),
        ("none, patients", 0.0, True),
        ("weak, patients", 1.0, True),
        ("strong, patients", 3.0, True),
    ):
        told, p_values, counts = [], [], []
        for _ in range(args.studies):
            groups = np.repeat(np.arange(30), 6)
            labels = np.array(["ALL", "normal"])[groups % 2]
            slides = rng.normal(size=(30, 6))[groups] if grouped else 0.0
            values = rng.normal(size=(180, 6)) + slides
            values[:, 0] += shift * (labels == "ALL")
            entry = score_baselines(
                {"background color": values}, labels, groups if grouped else None
            )
            told.append(is_told(entry[0]))
            p_values.append(entry[0]["p_value"])
        for _ in range(10):
            middles = np.repeat([[0.0], [shift * 2]], 90, axis=0)
            counts.append(cluster_count(rng.normal(size=(180, 6)) + middles))
        low = np.mean(np.array(p_values) <= 0.05)
        print(f"| {name} | told {np.mean(told):.3f} | p <= 0.05: {low:.3f} | {Counter(counts)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cache", default=None)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--fields", type=Path, help="smear fields, for wide")
    parser.add_argument("--images", type=int)
    parser.add_argument("--per-kind", type=int, default=PER_KIND)
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for part in args.parts:
        globals()[part](args)


if __name__ == "__main__":
    main()
