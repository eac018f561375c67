"""``hybridleuk demo``: the whole way on drawn smears, in a few minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from .audit import FINISHED as PAGE
from .compare import RESULTS, comparison_table
from .console import Outcome, current_screen, duration
from .options import Overwrite, ResourceOptions, Seed
from .outputs import claim_directory, clear, write_file
from .weights import DEFAULT_BACKBONE, pair_weights

if TYPE_CHECKING:
    from hybridleuk.data.manifest import Manifest
    from hybridleuk.evaluation.comparison import Comparison

__all__ = ["EXAMPLE", "demo"]

EXAMPLE = "hybridleuk demo --directory hybridleuk-demo"
_CANDIDATES = ("morphology+svm", "deep+svm", "hybrid+svm", "hybrid+xgboost", "finetuned")
_SMEARS, _NEW = "smears", "new_smears"
_AUDIT, _COMPARISON, _FEATURES = "audit", "comparison", "features.parquet"
_MODEL, _PREDICTIONS = "model.hleuk", "predictions.csv"
_MADE = (_SMEARS, _NEW, _AUDIT, _COMPARISON, _FEATURES, _MODEL, _PREDICTIONS)
_STEPS = 6
_FOLDS = 3
_PATIENTS, _NEW_PATIENTS, _EACH = 40, 8, 4
_CHANGED = 60
_FINETUNING = {"epochs": 8, "image_size": 64}


@dataclass
class _Demo:
    """What the steps of the demonstration share."""

    directory: Path
    parameters: dict[str, Any]
    seed: int
    step: int = 0

    def begin(self, what: str) -> None:
        """Say which step begins."""
        self.step += 1
        head = Text(f"{self.step}/{_STEPS} ", style="bold cyan")
        current_screen().line(Text.assemble(head, (what, "bold")))

    def path(self, name: str) -> Path:
        """Where a result of the demonstration lies."""
        return self.directory / name


def demo(
    resources: ResourceOptions,
    directory: Annotated[
        Path, typer.Option("--directory", "-o", metavar="DIR", help="Folder to write into.")
    ] = Path("hybridleuk-demo"),
    weights: Annotated[
        str,
        typer.Option(
            metavar="default|bundled|random|FILE",
            help=f"Weights of the network: the package's own, or those of {DEFAULT_BACKBONE}.",
        ),
    ] = "bundled",
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Draw smears, audit, extract, compare, fit and predict: all of it, without data of your own.

    The smears are drawn, and embedded by the small network that comes in the package: nothing is
    downloaded. The demo shows how the program works; its figures say nothing about patients.
    """
    began = time.monotonic()
    (backbone,), _ = pair_weights([], [weights], typed=[])
    if claim_directory(directory, finished=_PREDICTIONS, unfinished=_MADE, overwrite=overwrite):
        clear(directory, _MADE)
    parameters = {
        "backbone": backbone,
        "weights": weights,
        "device": resources.device,
        "cache": resources.cache_place,
        "workers": resources.workers,
        "random_state": seed,
    }
    run = _Demo(directory, parameters, seed)
    manifest = _draw(run)
    duplicates = _audit(run, manifest)
    _extract(run, manifest)
    result = _compare(run, manifest)
    _fit(run, manifest)
    predicted = _predict(run)
    return _outcome(run, result, duplicates, predicted, time.monotonic() - began)


def _draw(run: _Demo) -> Manifest:
    run.begin(f"Drawing smears of {_PATIENTS} patients, each with its own stain and camera")
    return _study(run.path(_SMEARS), _PATIENTS, run.seed)


def _study(folder: Path, n_patients: int, seed: int) -> Manifest:
    """Draw a study, unless an interrupted run has drawn it already."""
    from hybridleuk.data.artificial import draw_study
    from hybridleuk.data.manifest import Manifest

    if (folder / "manifest.csv").exists():
        return Manifest.from_file(folder / "manifest.csv")
    clear(folder.parent, [folder.name])
    return draw_study(
        folder, n_patients=n_patients, images_per_patient_and_class=_EACH, random_state=seed
    )


def _audit(run: _Demo, manifest: Manifest) -> int:
    run.begin("Auditing: duplicates, shortcuts, suspect labels, poor pictures")
    from hybridleuk.audit.audit import audit

    cache, workers = run.parameters["cache"], run.parameters["workers"]
    found = audit(manifest, cache=cache, workers=workers, random_state=run.seed)
    found.write(run.path(_AUDIT))
    data, sets = found.document["dataset"], len(found.document["duplicates"])
    current_screen().line(
        f"{data['n_images']} images of {data['n_groups']} patients in {len(data['classes'])} "
        f"classes, {data['n_unreadable']} unreadable, {sets} sets of duplicates, "
        f"{len(found.document['suspect_labels'])} suspect labels: {run.path(_AUDIT) / PAGE}"
    )
    return sets


def _extract(run: _Demo, manifest: Manifest) -> None:
    run.begin("Measuring cells and embedding images")
    from hybridleuk.hybrid import extract_features

    table = extract_features(manifest, **run.parameters)
    table.write_parquet(run.path(_FEATURES))
    current_screen().line(f"{len(table)} images x {table.shape[1]:,} features")


def _compare(run: _Demo, manifest: Manifest) -> Comparison:
    run.begin("Comparing hybrid classifiers with a fine-tuned network, patients kept apart")
    from hybridleuk.candidates import compare

    result = compare(
        manifest,
        _CANDIDATES,
        folds=_FOLDS,
        seed=run.seed,
        directory=run.path(_COMPARISON),
        finetuning=_FINETUNING,
        counterfactuals=_CHANGED,
        **{name: value for name, value in run.parameters.items() if name != "random_state"},
    )
    result.write(run.path(_COMPARISON))
    return result


def _fit(run: _Demo, manifest: Manifest) -> None:
    run.begin("Fitting a hybrid classifier on all of them, and writing the model file")
    from hybridleuk.candidates import make_candidate
    from hybridleuk.persistence import save_model

    model = make_candidate("hybrid+svm", alpha=0.1, **run.parameters)
    model.fit(manifest.paths, manifest.labels, groups=manifest.groups)
    notes = ["Fitted by 'hybridleuk demo' on drawn smears; of no use for real ones."]
    save_model(model, run.path(_MODEL), overwrite=True, notes=notes)


def _predict(run: _Demo) -> dict[str, Any]:
    run.begin(f"Predicting {_NEW_PATIENTS} patients that were not seen")
    from hybridleuk.persistence import load_model
    from hybridleuk.prediction import predict_images

    drawn = _study(run.path(_NEW), _NEW_PATIENTS, run.seed + 1)
    table = predict_images(load_model(run.path(_MODEL)), drawn)
    write_file(run.path(_PREDICTIONS), lambda path: table.to_csv(path, index=False))
    decided = ~table["abstain"].to_numpy(dtype=bool)
    right = table["label"].to_numpy() == drawn.labels
    return {
        "n_images": len(table),
        "n_abstained": int((~decided).sum()),
        "n_right": int(right.sum()),
        "n_right_when_decided": int((right & decided).sum()),
    }


def _outcome(
    run: _Demo, result: Comparison, duplicates: int, predicted: dict[str, Any], took: float
) -> Outcome:
    for note in result.document.get("notes", ()):
        current_screen().noted(note)
    report = run.path(_COMPARISON) / RESULTS[0]
    decided = predicted["n_images"] - predicted["n_abstained"]
    document = {
        "directory": run.directory,
        "report": report,
        "n_duplicates": duplicates,
        "comparison": result.document,
        "predictions": predicted,
        "seconds": round(took, 1),
    }
    sentences = [
        f"{predicted['n_images']} new images: decided on {decided}, right in "
        f"{predicted['n_right_when_decided']} of them; abstained from {predicted['n_abstained']}.",
        "The smears are drawn: these figures say nothing about patients.",
        "",
        f"Done in {duration(took)}. Report: {report}",
    ]
    return Outcome(document, [comparison_table(result), "", *result.verdict, *sentences])
