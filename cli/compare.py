"""``hybridleuk compare``: candidates on the same folds, with a report."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from hybridleuk.exceptions import InputError

from .console import Outcome, current_screen
from .declare import arguments_as_typed
from .images import Account, read_images
from .options import (
    DirectoryOutput,
    FeatureOptions,
    ImageOptions,
    ImageSource,
    Measurements,
    Overwrite,
    ResourceOptions,
    Seed,
)
from .outputs import claim_directory, clear
from .training import TrainingOptions, check_candidates, waiting_lines, with_own_networks

if TYPE_CHECKING:
    from hybridleuk.data.manifest import Manifest
    from hybridleuk.evaluation.comparison import Comparison
    from hybridleuk.evaluation.costs import Costs

__all__ = ["EXAMPLE", "RESULTS", "claim_comparison", "compare", "comparison_table"]

EXAMPLE = (
    "hybridleuk compare smears/ -o comparison/ --group-regex '(P[0-9]+)_' --folds 5\n"
    "hybridleuk compare smears/ -o quick/ --candidate hybrid+svm --candidate deep+svm"
)
FINISHED = "report.html"
_MANY_IMAGES = 1000
UNFINISHED = ("folds", "comparison.json")
RESULTS = (
    *("report.html", "comparison.json", "predictions.parquet", "external.parquet", "folds"),
    *("table.csv", "table.md", "table.tex", "model_card.md"),
)


def compare(
    images: ImageSource,
    output: DirectoryOutput,
    features: FeatureOptions,
    listing: ImageOptions,
    resources: ResourceOptions,
    training: TrainingOptions,
    candidate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=MODULE:ATTRIBUTE]",
            help="morphology, deep or hybrid with +svm, +xgboost, +logistic or +knn; late+svm or "
            "late+xgboost; finetuned, finetuned+morphology, finetuned-joint or two-channel; or a "
            "scikit-learn classifier of one's own, on features if NAME begins like hybrid+. "
            "Repeatable; by default those that --features allows.",
            show_default=False,
        ),
    ] = None,
    measurements: Measurements = "weighted",
    folds: Annotated[
        int, typer.Option(min=2, metavar="N", help="Parts that are tested in turn.")
    ] = 5,
    repeats: Annotated[
        int, typer.Option(min=1, metavar="N", help="Times all folds are drawn anew.")
    ] = 1,
    split: Annotated[
        Literal["group", "random", "both", "logo", "manifest"] | None,
        typer.Option(
            help="Draw folds from groups or images, leave one group out after the other (logo), or "
            "take the split of the manifest; by default groups where they are known.",
            show_default=False,
        ),
    ] = None,
    validation: Annotated[
        Literal["train", "test", "leave-out"],
        typer.Option(help="What images are for that --split manifest finds marked val."),
    ] = "train",
    shared_groups: Annotated[
        bool,
        typer.Option(
            "--shared-groups", help="Accept groups on both sides of --split manifest; a leak."
        ),
    ] = False,
    pseudo_groups: Annotated[
        bool,
        typer.Option(
            "--pseudo-groups",
            help="Where no patients are known: make groups from light, stain and near-duplicates.",
        ),
    ] = False,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Search nine settings of each classifier on inner, group-disjoint folds."
        ),
    ] = False,
    test: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMAGES2",
            help="Other images to score on, after fitting on all of IMAGES. Repeatable.",
            show_default=False,
        ),
    ] = None,
    per_class: Annotated[
        int | None,
        typer.Option("--per-class", "--sample", min=2, metavar="N", help="Draw N images a class."),
    ] = None,
    learning_curve: Annotated[
        bool,
        typer.Option(help="Fit candidates also on a tenth, a quarter and half of the groups."),
    ] = True,
    counterfactuals: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Unseen images to change and ask about again; 0 for none."
        ),
    ] = 200,
    costs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="CSV of what mistakes cost: a row for each true class, a column for each class "
            "called.",
            show_default=False,
        ),
    ] = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS",
            help="Class that one would act on, for the decision curve. Repeatable; by default "
            "those named like leukemia.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> Outcome:
    """Compare classifiers on the same folds, with shortcut baselines and a report.

    An interrupted comparison resumes: the same command computes only what is missing.
    """
    chosen = _candidates(candidate, features.features)
    parameters = features.parameters(resources) | {"measurements": measurements, "tune": tune}
    _check_own(chosen, parameters)
    priced = None if costs is None else _costs(costs)
    replaced = claim_comparison(output, overwrite=overwrite)
    manifest, account = read_images(
        images,
        listing,
        resources,
        outputs=[output],
        inputs=[*features.weights_files, *([str(costs)] if costs is not None else [])],
        labels=True,
        per_class=per_class,
        seed=seed,
    )
    if pseudo_groups:
        manifest = _with_pseudo_groups(manifest, resources)
    check_folds(manifest, split, folds, seed, validation=validation, shared_groups=shared_groups)
    check_candidates(chosen, manifest.paths, parameters | {"random_state": seed}, features)
    external, others = _external(test or [], output, listing, resources)
    _check_asked(manifest, external, priced, positive)

    from hybridleuk.candidates import compare as compare_candidates

    if replaced:
        clear(output, RESULTS)
    result = compare_candidates(
        manifest,
        with_own_networks(chosen, parameters | {"random_state": seed}, features, training),
        split=split,
        folds=folds,
        repeats=repeats,
        seed=seed,
        directory=output,
        external=external,
        finetuning=training.given,
        learning_curve=learning_curve,
        counterfactuals=counterfactuals,
        jobs=_jobs(resources, len(manifest)),
        validation=validation,
        shared_groups=shared_groups,
        costs=priced,
        positive=positive or None,
        group_rule=manifest.group_rule or _group_rule(listing, manifest),
        command=shlex.join(["hybridleuk", "compare", *arguments_as_typed()]),
        **parameters,
    )
    result.write(output)
    total = account if others is None else account + others
    return _outcome(result, output, total)


def claim_comparison(output: Path, *, overwrite: bool) -> bool:
    """Make sure the folder may be written; tell whether earlier results are to be removed."""
    return claim_directory(output, finished=FINISHED, unfinished=UNFINISHED, overwrite=overwrite)


def check_folds(
    manifest: Manifest,
    split: str | None,
    folds: int,
    seed: int,
    *,
    validation: str = "train",
    shared_groups: bool = False,
) -> None:
    """Draw the folds once before anything slow, so that images that do not allow them say so now.

    Raises
    ------
    SplitError
        One class only, a class with fewer images or groups than folds, or a manifest without a
        split or with one that shares groups.
    InputError
        ``--split group`` without groups.
    """
    from hybridleuk.evaluation.folds import draw_folds, kinds_of

    assert manifest.labels is not None, "images are read with labels"
    for kind in kinds_of(split, grouped=manifest.groups is not None):
        draw_folds(
            manifest.labels,
            manifest.groups,
            split=kind,
            folds=folds,
            repeats=1,
            random_state=seed,
            parts=manifest.frame["split"].to_numpy(dtype=object),
            validation=validation,
            shared_groups=shared_groups,
        )


def _with_pseudo_groups(manifest: Manifest, resources: ResourceOptions) -> Manifest:
    from hybridleuk.evaluation.pseudo_groups import pseudo_groups

    if manifest.groups is not None:
        raise InputError(
            "--pseudo-groups stand for patients that are not known, but these images have groups; "
            "leave the option out."
        )
    cache = resources.cache_place
    sound = manifest.checked(cache=cache, n_jobs=resources.workers)
    return pseudo_groups(sound, cache=cache, n_jobs=resources.workers)


def _group_rule(listing: ImageOptions, manifest: Manifest) -> str:
    if manifest.groups is None:
        return ""
    if listing.group_regex is not None:
        return f"regular expression {listing.group_regex} on each path"
    return f"column {listing.group_column or 'group'} of the manifest"


def _jobs(resources: ResourceOptions, n: int) -> int:
    """Folds at a time: as told, or one per core where it is worth starting processes."""
    return resources.workers or (-1 if n >= _MANY_IMAGES else 1)


def _costs(path: Path) -> Costs:
    from hybridleuk.evaluation.costs import read_costs

    return read_costs(path)


def _check_asked(
    manifest: Manifest,
    external: dict[str, Manifest],
    costs: Costs | None,
    positive: Sequence[str] | None,
) -> None:
    """Find classes that are not there before anything slow, and before older results are gone."""
    from hybridleuk.evaluation.compare import check_external, check_wishes

    labels = () if manifest.labels is None else manifest.labels
    check_wishes(labels, costs, positive or None)
    for name, other in external.items():
        check_external(name, other, labels)


def _check_own(chosen: Sequence[str], parameters: dict[str, Any]) -> None:
    """Load candidates of one's own before anything slow."""
    from hybridleuk.models.named import is_own, load_candidate

    for name in chosen:
        if is_own(name):
            load_candidate(name, **parameters)


def _candidates(named: Sequence[str] | None, features: str | None) -> tuple[str, ...]:
    from hybridleuk.candidates import CANDIDATES, DEFAULT_CANDIDATES

    for name in named or ():
        if name not in CANDIDATES and "=" not in name:
            raise typer.BadParameter(
                f"no candidate {name!r}; known are {', '.join(CANDIDATES)}",
                param_hint="--candidate",
            )
    if named:
        return tuple(dict.fromkeys(named))
    if features in (None, "hybrid"):
        return DEFAULT_CANDIDATES
    return tuple(name for name in CANDIDATES if name.startswith(f"{features}+"))


def _external(
    sources: Sequence[str], output: Path, listing: ImageOptions, resources: ResourceOptions
) -> tuple[dict[str, Manifest], Account | None]:
    manifests: dict[str, Manifest] = {}
    total: Account | None = None
    for source in sources:
        # Groups of other images need not be named in the same way, and are not needed to score.
        manifest, account = read_images(
            source,
            listing.of_others(),
            resources,
            outputs=[output],
            labels=True,
        )
        name = (Path(source).name if Path(source).is_dir() else Path(source).stem) or source
        manifests[name if name not in manifests else source] = manifest
        total = account if total is None else total + account
    return manifests, total


def _outcome(result: Comparison, output: Path, account: Account) -> Outcome:
    skipped = account.write(output)
    for note in (*result.document.get("notes", ()), *result.document.get("warnings", ())):
        current_screen().noted(note)
    report = output / "report.html"
    document = {
        "output": output,
        "report": report,
        **account.document(),
        "skipped_file": skipped,
        "verdict": result.verdict,
        "comparison": result.document,
    }
    waiting = waiting_lines(result.document.get("training") or [])
    shown: list[Any] = [comparison_table(result), "", *result.verdict, *waiting, ""]
    shown.append(f"Report: {report}")
    return Outcome(document, shown)


def comparison_table(result: Comparison) -> Table:
    """Show candidates and shortcuts with intervals, best first."""
    several = result.table["split"].nunique() > 1
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("candidate", *(["split"] if several else [])):
        shown.add_column(heading, no_wrap=True)
    for heading in ("bal. accuracy", "AUROC", "macro F1", "fit", "ms/image"):
        shown.add_column(heading, justify="right")
    rows: list[dict[str, Any]] = result.table.to_dict("records")  # type: ignore[assignment]
    for row in rows:
        cells = [row["name"], *([row["split"]] if several else [])]
        shown.add_row(*cells, *_figures(row))
    for shortcut in result.document["shortcuts"]:
        kind = shortcut.get("split", "") if several else None
        cells = [f"shortcut: {shortcut['name']}", *([] if kind is None else [kind])]
        shown.add_row(*cells, f"{shortcut['balanced_accuracy']:.3f}{' ' * 12}", style="dim")
    return shown


def _figures(row: dict[str, Any]) -> list[str]:
    interval = f"{row['balanced_accuracy_low']:.2f}-{row['balanced_accuracy_high']:.2f}"
    return [
        f"{row['balanced_accuracy']:.3f} ({interval})",
        f"{row['auroc']:.3f}",
        f"{row['macro_f1']:.3f}",
        f"{row['fit_seconds']:.1f} s",
        f"{row['predict_ms_per_image']:.1f}",
    ]
