"""How often intervals and prediction sets hold what they promise, on studies of known truth.

Part ``coverage``. No pictures are drawn but numbers: each group has a skill of its own for each of
its images, ``p = softmax(z)`` with ``z ~ N(0, 1)`` and, for the true class `c` of an image of group
`g`, ``z_c ~ N(mean_c + spread * u_g, 1)``, ``u_g ~ N(0, 1)``. A second classifier, for the paired
difference, shares part of skill and noise with the first one and is better by `gain`; a third one,
for the leakage gap, is the first with ``|N(0, 1)|`` added for each group, as if it had met the
group before. Group sizes are 1 + Poisson. The truth is that of a very large draw of new groups.

Populations: groups of 1 class or of all; unbalanced; accuracies of 0.83 to 0.98.

    python benchmarks/evaluation.py coverage --seeds 1000

Part ``sets``: the prediction sets of the same studies alone, which take a hundredth of the time.

    python benchmarks/evaluation.py sets --seeds 1000
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from hybridleuk.evaluation.metrics import estimates, replicate
from hybridleuk.evaluation.patients import patient_scores
from hybridleuk.evaluation.prediction_sets import cross_conformal
from hybridleuk.evaluation.resampling import Resamples

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision", "brier")
ALPHA = 0.1


@dataclass(frozen=True)
class Population:
    """Where groups come from."""

    name: str
    prior: tuple[float, ...]
    means: tuple[float, ...]
    spread: float
    pure: bool
    images: int = 10
    gain: float = 0.3

    def draw(self, rng, n_groups):
        """Draw codes, groups and the probabilities of three classifiers."""
        prior, k = np.array(self.prior), len(self.prior)
        while True:
            sizes = 1 + rng.poisson(self.images - 1, n_groups)
            groups = np.repeat(np.arange(n_groups), sizes)
            codes = rng.choice(k, n_groups, p=prior)[groups]
            if not self.pure:
                codes = rng.choice(k, len(groups), p=prior)
            held = np.zeros((n_groups, k), dtype=bool)
            held[groups, codes] = True
            if held.sum(axis=0).min() >= 2:
                break
        shared = rng.normal(size=(len(groups), k))
        skill = rng.normal(size=n_groups)
        rows = np.arange(len(codes))
        scores = []
        for gain in (0.0, self.gain):
            own = np.sqrt(0.5) * (skill + rng.normal(size=n_groups))
            z = np.sqrt(0.5) * (shared + rng.normal(size=shared.shape))
            z[rows, codes] += np.array(self.means)[codes] + gain + self.spread * own[groups]
            scores.append(z)
        leaked = scores[0].copy()
        leaked[rows, codes] += np.abs(rng.normal(size=n_groups))[groups]
        return codes, groups, [softmax(z, axis=1) for z in (*scores, leaked)]


POPULATIONS = (
    Population("2 classes, groups of one", (0.5, 0.5), (1.5, 1.5), 0.7, True),
    Population("2 classes, mixed groups", (0.5, 0.5), (1.5, 1.5), 0.7, False),
    Population("3 unbalanced, groups of one", (0.5, 0.3, 0.2), (2.0, 2.5, 3.0), 0.7, True),
    Population("3 unbalanced, mixed groups", (0.5, 0.3, 0.2), (2.0, 2.5, 3.0), 0.7, False),
    Population("2 unbalanced, near 1, groups of one", (0.7, 0.3), (3.5, 3.0), 0.7, True),
    Population("2 unbalanced, near 1, mixed groups", (0.7, 0.3), (3.5, 3.0), 0.7, False),
    Population("2 classes, one image a group", (0.6, 0.4), (2.0, 2.0), 0.7, True, images=1),
)


def truth_of(population, n_groups=150_000):
    """Compute every figure on a very large draw."""
    rng = np.random.default_rng(2**31)
    codes, groups, tables = population.draw(rng, n_groups)
    k = len(population.prior)
    counts = np.ones((1, n_groups), np.float32)  # the data as they are, no draws
    drawn = Resamples(counts, groups, np.ones((n_groups, k), dtype=int))
    values = [replicate(codes, p, drawn) for p in tables]
    found = {name: float(values[0][name][0]) for name in METRICS}
    balanced = [float(value["balanced_accuracy"][0]) for value in values]
    found["paired difference"] = balanced[1] - balanced[0]
    found["leakage gap"] = balanced[2] - balanced[0]
    patients, scores, _ = patient_scores(codes, tables[0][None], groups)
    right = scores.argmax(axis=1) == patients
    if population.pure:
        found["patient accuracy"] = float(right.mean())
        found["patient balanced accuracy"] = float(
            np.mean([right[patients == c].mean() for c in range(k)])
        )
    return found


def studied(population, n_groups, seed, n_draws=1000):
    """Make every interval of one drawn study."""
    rng = np.random.default_rng([seed, n_groups])
    codes, groups, tables = population.draw(rng, n_groups)
    k = len(population.prior)
    classes = [str(c) for c in range(k)]
    drawn = Resamples.draw(codes, n_classes=k, groups=groups, n_draws=n_draws, random_state=seed)
    values = [replicate(codes, p, drawn) for p in tables]
    scored = estimates(values[0], drawn, classes)
    found = {name: scored[name] for name in METRICS}
    balanced = [value["balanced_accuracy"] for value in values]
    found["paired difference"] = drawn.interval(balanced[1] - balanced[0], bounded=False)
    found["leakage gap"] = drawn.interval(balanced[2] - balanced[0], bounded=False)
    if population.pure and population.images > 1:
        patients, scores, _ = patient_scores(codes, tables[0][None], groups)
        single = Resamples.draw(patients, n_classes=k, n_draws=n_draws, random_state=seed)
        by_patient = estimates(replicate(patients, scores, single), single, classes)
        found["patient accuracy"] = by_patient["accuracy"]
        found["patient balanced accuracy"] = by_patient["balanced_accuracy"]
    return found, sets_of(codes, groups, tables[0], k)


def sets_of(codes, groups, probabilities, k):
    """Coverage of prediction sets whose thresholds come from other groups, and their mean size."""
    sets = cross_conformal(codes, probabilities[None], groups, ALPHA)[0]
    inside = sets[np.arange(len(codes)), codes]
    by_class = [float(inside[codes == c].mean()) for c in range(k)]
    return {"sets": float(inside.mean()), "sizes": float(sets.sum(1).mean()), "classes": by_class}


def covered(population, n_groups, seeds, truth, n_draws=1000):
    """Count how often each interval holds the truth, and on which side it misses."""
    rows, sets = [], []
    for seed in range(seeds):
        found, held = studied(population, n_groups, seed, n_draws)
        sets.append(held)
        for name, estimate in found.items():
            value = truth[name]
            rows.append(
                (name, estimate.low > value, estimate.high < value, estimate.high - estimate.low)
            )
    frame = pd.DataFrame(rows, columns=["figure", "above", "below", "width"])
    table = frame.groupby("figure", sort=False).mean()
    table.insert(0, "coverage", 1 - table["above"] - table["below"])
    table["truth"] = [truth[name] for name in table.index]
    by_class = np.mean([held["classes"] for held in sets], axis=0)
    said = {
        "sets": float(np.mean([held["sets"] for held in sets])),
        "sets by class": [round(float(value), 3) for value in by_class],
        "mean size": float(np.mean([held["sizes"] for held in sets])),
    }
    return table, said


def coverage(arguments):
    """Print coverage for each population and number of groups."""
    results = []
    for population in POPULATIONS:
        if arguments.only and arguments.only not in population.name:
            continue
        truth = truth_of(population)
        for n_groups in arguments.groups:
            began = time.perf_counter()
            table, sets = covered(population, n_groups, arguments.seeds, truth, arguments.draws)
            print(f"\n{population.name}, {n_groups} groups ({time.perf_counter() - began:.0f} s)")
            print(table.round(4).to_string())
            print(sets, flush=True)
            figures = table["coverage"].to_dict()
            results.append({"population": population.name, "groups": n_groups, **figures, **sets})
    if arguments.output:
        Path(arguments.output).write_text(json.dumps(results, indent=1))
    print(pd.DataFrame(results).round(3).to_string(index=False))


def sets(arguments):
    """Print the coverage of prediction sets alone, overall and by class."""
    rows = []
    for population in POPULATIONS:
        if arguments.only and arguments.only not in population.name:
            continue
        k = len(population.prior)
        for n_groups in arguments.groups:
            found = []
            for seed in range(arguments.seeds):
                drawn = population.draw(np.random.default_rng([seed, n_groups]), n_groups)
                found.append(sets_of(drawn[0], drawn[1], drawn[2][0], k))
            by_class = np.mean([one["classes"] for one in found], axis=0)
            rows.append(
                {
                    "population": population.name,
                    "groups": n_groups,
                    "sets": 100 * np.mean([one["sets"] for one in found]),
                    "by class": [round(100 * float(share), 1) for share in by_class],
                    "size": np.mean([one["sizes"] for one in found]),
                }
            )
            print(rows[-1], flush=True)
    print(pd.DataFrame(rows).round(2).to_string(index=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["coverage", "sets"])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--groups", type=int, nargs="+", default=[20, 50, 200])
    parser.add_argument("--draws", type=int, default=1000, help="of the bootstrap")
    parser.add_argument("--only", help="part of a population's name")
    parser.add_argument("--output", help="JSON of all figures")
    given = parser.parse_args()
    {"coverage": coverage, "sets": sets}[given.part](given)


if __name__ == "__main__":
    main()
