"""``hybridleuk fit``: images or a feature file to a model file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hybridleuk.exceptions import InputError

from .console import Outcome, current_screen
from .images import Account, read_images
from .options import (
    FeatureOptions,
    ImageOptions,
    ImageSource,
    Measurements,
    Overwrite,
    ResourceOptions,
    Seed,
)
from .outputs import checkpoint_beside, claim_file, clear, refuse_to_replace
from .processes import refuse_several, speaks
from .training import TrainingOptions, of_candidate, trained_lines
from .weights import check_networks

if TYPE_CHECKING:
    from hybridleuk.features import FeatureTable

__all__ = ["EXAMPLE", "fit"]

EXAMPLE = "hybridleuk fit smears/ -o model.hleuk --classifier svm"
_TRAINED = ("finetuned", "finetuned-joint", "two-channel")
_RECIPE = (
    "backbone",
    "weights",
    "view",
    "orientations",
    "layers",
    "pooling",
    "spacing",
    "precision",
)


def fit(
    images: ImageSource,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="FILE.hleuk", help="File to write.", rich_help_panel="Output"
        ),
    ],
    features: FeatureOptions,
    listing: ImageOptions,
    resources: ResourceOptions,
    training: TrainingOptions,
    classifier: Annotated[
        Literal["svm", "xgboost", "logistic", "knn", "finetuned", "finetuned-joint", "two-channel"],
        typer.Option(
            help="What is fitted: a classifier on features, or a network that is trained, alone, "
            "jointly with measurements, or with the HSV-segmented image as a second channel."
        ),
    ] = "svm",
    measurements: Measurements = "weighted",
    tune: Annotated[
        bool, typer.Option("--tune", help="Search settings on inner, group-disjoint folds.")
    ] = False,
    alpha: Annotated[
        float,
        typer.Option(min=0.001, max=0.5, help="Accepted risk of prediction sets."),
    ] = 0.1,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder in which a training leaves its state, and is kept; by default one beside "
            "the output, removed at the end. The same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Fit a classifier and write it to one file that holds no pickle.

    A network is trained by all processes that 'torchrun' starts, one for each GPU.
    IMAGES may also be a file written by 'hybridleuk extract'; features then come from it.
    """
    if classifier not in _TRAINED:
        refuse_several(f"hybridleuk fit --classifier {classifier}")
    claim_file(output, overwrite=overwrite)
    refuse_to_replace([images, *features.weights_files], [output, checkpoint_beside(output)])
    parameters = features.parameters(resources) | {"random_state": seed}
    parameters = of_candidate(classifier, parameters, features) | {"measurements": measurements}
    trained = classifier in _TRAINED
    if not trained:
        parameters |= {"tune": tune, "alpha": alpha}
    _note_unused(trained, tune=tune, kind=features.features, training=training)

    from hybridleuk.features import FeatureTable, is_feature_file

    if is_feature_file(images):
        if listing.classes is not None:
            raise InputError(
                f"{images} holds features, and --classes renames the classes of images; extract "
                "them again with --classes."
            )
        table = _narrowed(FeatureTable.read_parquet(images), features.features, images)
        model = _candidate(classifier, _kind(table), _as_extracted(table, parameters, features))
        account = Account(len(table), len(table), [])
        _fit(model, table, table.labels, table.groups)
    else:
        manifest, account = read_images(
            images, listing, resources, outputs=[output, checkpoint_beside(output)], labels=True
        )
        kind = "deep" if trained else features.features or "hybrid"
        finetuning = training.given | {"checkpoint": checkpoint or checkpoint_beside(output)}
        model = _candidate(classifier, kind, parameters, finetuning)
        check_networks(manifest.paths, kind, _networks_of(model, parameters))
        _fit(model, manifest.paths, manifest.labels, manifest.groups)
    if not speaks():  # the first process writes what all of them trained
        return Outcome({}, [])
    return _saved(model, output, account, overwrite=overwrite)


def _candidate(
    classifier: str,
    kind: str,
    parameters: dict[str, Any],
    finetuning: dict[str, Any] | None = None,
) -> Any:
    from hybridleuk.candidates import make_candidate

    if classifier not in _TRAINED:
        return make_candidate(f"{kind}+{classifier}", **parameters)
    if finetuning is None:
        raise InputError(
            "A fine-tuned network is trained on images, not on a feature file; give the images."
        )
    return make_candidate(classifier, finetuning=finetuning, **parameters)


def _networks_of(model: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with the backbone that the candidate really has."""
    own = model.get_params(deep=False)
    return parameters | {"backbone": own["backbone"], "weights": own["weights"]}


def _note_unused(trained: bool, *, tune: bool, kind: str | None, training: TrainingOptions) -> None:
    if trained and (tune or kind):
        current_screen().noted("A fine-tuned network makes no use of --tune and --features.")
    if not trained and training.given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in training.given)
        current_screen().noted(f"Only networks that are trained make use of {names}.")


def _fit(model: Any, X: Any, labels: Any, groups: Any) -> None:
    if labels is None:
        raise InputError(
            "The features carry no labels; extract them again from one sub-folder per class, or "
            "from a manifest with a column 'label'."
        )
    model.fit(X, labels, groups=groups)


def _saved(model: Any, output: Path, account: Account, *, overwrite: bool) -> Outcome:
    from hybridleuk.persistence import model_card, save_model

    account.check()
    save_model(model, output, overwrite=overwrite, notes=_notes(model))
    clear(output.parent, [checkpoint_beside(output).name])
    skipped = account.write(output)
    card = model_card(output)
    classes = [str(name) for name in model.classes_]
    size = output.stat().st_size / 1e6
    return Outcome(
        {
            "output": output,
            **account.document(),
            "skipped_file": skipped,
            "classes": classes,
            "kind": card["kind"],
            "parameters": card["parameters"],
            **_history(model),
        },
        [
            f"{type(model).__name__} fitted on {account.rows:,} images, classes "
            f"{', '.join(classes)}",
            *(trained_lines(model) if hasattr(model, "history_") else []),
            f"{output} ({size:.1f} MB); use it with: hybridleuk predict {output} IMAGES "
            "-o predictions.csv",
        ],
    )


def _history(model: Any) -> dict[str, Any]:
    if not hasattr(model, "history_"):
        return {}
    return {
        "history": model.history_.to_dict("records"),
        "best_epoch": model.best_epoch_,
        "waiting_share": model.waiting_share_,
    }


def _narrowed(table: FeatureTable, wanted: str | None, source: str) -> FeatureTable:
    """Keep the blocks that ``--features`` asks for."""
    if wanted is None or wanted == _kind(table):
        return table
    kept = {
        name: block
        for name, block in table.blocks.items()
        if wanted == "hybrid" or (name == "morphology") == (wanted == "morphology")
    }
    narrowed = replace(table, blocks=kept)
    if not kept or _kind(narrowed) != wanted:
        raise InputError(
            f"{source}: holds {_kind(table)} features, so --features {wanted} cannot be had from "
            "it; extract again with these features."
        )
    return narrowed


def _kind(table: FeatureTable) -> str:
    morphology = "morphology" in table.blocks
    if len(table.blocks) == 1 and morphology:
        return "morphology"
    return "hybrid" if morphology else "deep"


def _as_extracted(
    table: FeatureTable, parameters: dict[str, Any], options: FeatureOptions
) -> dict[str, Any]:
    """Take the settings a feature file was made with, so that predictions are made with them too.

    Raises
    ------
    InputError
        The options say something else, or the weights are not those of the features.
    """
    made_with = table.provenance["parameters"]
    recipe = {name: made_with[name] for name in _RECIPE if name in made_with}
    if options.weights:  # the file may have been moved since
        recipe["weights"] = parameters["weights"]
    if options.backbone and recipe["backbone"] != parameters["backbone"]:
        raise InputError(
            f"The features were made with --backbone {recipe['backbone']}, not "
            f"{parameters['backbone']}; leave the option out, or extract again."
        )
    settings = parameters | recipe
    if "random" in recipe["weights"]:
        settings["random_state"] = made_with["random_state"]
    found = check_networks(list(table.identity["path"]), _kind(table), settings)
    for name, sha256 in found.items():
        if sha256 != table.provenance["embeddings"][name]["sha256"]:
            raise InputError(
                f"{name} was made with other weights than those found now; name the file of those "
                "with --weights, or extract again."
            )
    return settings


def _notes(model: Any) -> list[str]:
    weights = getattr(model, "weights", None)
    listed = weights if isinstance(weights, (list, tuple)) else [weights]
    if "random" not in listed or getattr(model, "features", "deep") == "morphology":
        return []
    note = (
        "RANDOM WEIGHTS: the network of this model was never trained on images before, so its "
        "predictions say nothing about what pretrained networks reach."
    )
    current_screen().noted(note)
    return [note]
