"""Groups of options that several commands share, each written down once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hybridleuk.exceptions import InputError

from .declare import arguments_as_typed
from .weights import DEFAULT_BACKBONE, WORDS, pair_weights

__all__ = [
    "Annotations",
    "DirectoryOutput",
    "FeatureKind",
    "FeatureOptions",
    "ImageOptions",
    "ImageSource",
    "ImageSources",
    "Measurements",
    "Overwrite",
    "ResourceOptions",
    "Seed",
    "check_length",
    "check_orientations",
    "check_pooling",
]

_IMAGES = "Images"
_FEATURES = "Features"
_OUTPUT = "Output"
FeatureKind = Literal["hybrid", "morphology", "deep"]
_WHAT_IMAGES = (
    "A folder with one sub-folder per class, packed as zip or tar too, or a .csv or .parquet "
    "manifest with a column 'path'"
)


def check_length(length: float | None) -> float | None:
    """Refuse what is no length, such as 0, as wrong usage."""
    if length is not None and not 0 < length < math.inf:
        raise typer.BadParameter(f"{length:g} is no length; expected a number above 0")
    return length


def check_orientations(number: int) -> int:
    """Refuse other numbers of turned and mirrored copies than there are, as wrong usage."""
    from hybridleuk.embeddings.preprocessing import ORIENTATIONS

    if number not in ORIENTATIONS:
        known = ", ".join(map(str, ORIENTATIONS))
        raise typer.BadParameter(f"there are no {number} orientations; expected one of {known}")
    return number


def check_pooling(pooling: str) -> str:
    """Refuse poolings that do not exist, as wrong usage."""
    from hybridleuk.embeddings.records import POOLINGS

    unknown = [name for name in pooling.split("+") if name.strip() not in POOLINGS]
    if unknown and pooling != "default":
        raise typer.BadParameter(
            f"there is no pooling {unknown[0]!r}; expected default, or {', '.join(POOLINGS)}, "
            "several joined with +"
        )
    return pooling


ImageSource = Annotated[
    str, typer.Argument(metavar="IMAGES", help=f"{_WHAT_IMAGES}.", show_default=False)
]
ImageSources = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGES...",
        help=f"{_WHAT_IMAGES}; or a flat folder, a pattern, or image files.",
        show_default=False,
    ),
]
Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE|DIR",
        help="Cells that people drew, to compare with: a COCO file, a CSV of centers (image, x, y, "
        "kind), or a folder or archive of VOC files, centers or masks called as the images are.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an output that exists.", rich_help_panel=_OUTPUT),
]
DirectoryOutput = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder to write into.", rich_help_panel=_OUTPUT
    ),
]
Measurements = Annotated[
    Literal["weighted", "portable", "all"],
    typer.Option(
        help="Morphology to learn from: only what means the same under another microscope "
        "(portable), all, or all with the portable weighing more.",
        rich_help_panel=_FEATURES,
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, metavar="N", help="Seed of everything drawn at random."),
]


@dataclass(frozen=True)
class ImageOptions:
    """How images are listed and grouped."""

    group_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Column of the manifest with the patient.", rich_help_panel=_IMAGES
        ),
    ] = None
    group_regex: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Its first parentheses match the patient in each path, as in '(P[0-9]+)_'.",
            rich_help_panel=_IMAGES,
        ),
    ] = None
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:PART]|none",
            help="Known data set that IMAGES is, as in 'hybridleuk datasets list'; by default it "
            "is recognised; none reads any folder plainly.",
            show_default=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None
    classes: Annotated[
        Path | None,
        typer.Option(
            metavar="MAP.csv",
            help="Rename or leave out classes: columns label and becomes, as written by "
            "'hybridleuk datasets map'.",
            show_default=False,
            rich_help_panel=_IMAGES,
        ),
    ] = None
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail if a file cannot be used.", rich_help_panel=_IMAGES),
    ] = False

    @property
    def files(self) -> list[str]:
        """What is read besides the images."""
        return [] if self.classes is None else [str(self.classes)]

    def of_others(self) -> ImageOptions:
        """Return what holds for further images: their groups and data set are their own."""
        plain = self.dataset if self.dataset == "none" else None
        return ImageOptions(dataset=plain, classes=self.classes, strict=self.strict)


@dataclass(frozen=True)
class FeatureOptions:
    """What is measured in an image: the same for ``extract``, ``fit`` and ``compare``."""

    features: Annotated[
        FeatureKind | None,
        typer.Option(
            help="Morphology, embeddings, or both; by default hybrid.",
            rich_help_panel=_FEATURES,
            show_default=False,
        ),
    ] = None
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Network that embeds, as in 'hybridleuk backbones list'; by default "
            f"{DEFAULT_BACKBONE}. Repeatable.",
            rich_help_panel=_FEATURES,
            show_default=False,
        ),
    ] = None
    view: Annotated[
        Literal["image", "cells", "segmented"],
        typer.Option(help="What the network sees.", rich_help_panel=_FEATURES),
    ] = "image"
    orientations: Annotated[
        int,
        typer.Option(
            callback=check_orientations,
            metavar="1|2|4|8",
            help="Turned and mirrored copies of each picture to average over.",
            rich_help_panel=_FEATURES,
        ),
    ] = 1
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="default|bundled|random|FILE",
            help="Weights of the --backbone beside it; a word, or a bundle of 'hybridleuk "
            "backbones bundle', is for all when given once.",
            rich_help_panel=_FEATURES,
            show_default=False,
        ),
    ] = None
    layers: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Layers that are pooled: default (the last), upper (the deeper two thirds), "
            "all, or names joined with +.",
            rich_help_panel=_FEATURES,
        ),
    ] = "upper"
    pooling: Annotated[
        str,
        typer.Option(
            callback=check_pooling,
            metavar="NAMES",
            help="avg, max, gem, center, stained, cls, or several joined with +; default is "
            "stained+center, and avg+gem+center in the view cells.",
            rich_help_panel=_FEATURES,
        ),
    ] = "default"
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "auto"],
        typer.Option(help="Of the network's arithmetic.", rich_help_panel=_FEATURES),
    ] = "fp32"
    spacing: Annotated[
        float | None,
        typer.Option(
            callback=check_length,
            metavar="MICROMETRES",
            help="Size of a pixel; without it, lengths are in pixels.",
            rich_help_panel=_FEATURES,
        ),
    ] = None

    @property
    def weights_files(self) -> list[str]:
        """What is given to ``--weights`` and no word."""
        return [value for value in self.weights or () if value not in WORDS]

    def parameters(self, resources: ResourceOptions) -> dict[str, Any]:
        """Return parameters of ``HybridFeatures`` but ``features``, checked as far as is quick."""
        from hybridleuk.embeddings.runtime import check_device

        backbones, weights = pair_weights(
            self.backbone or [], self.weights or [], arguments_as_typed()
        )
        if self.features != "morphology":
            self._check_blocks(backbones, weights)
            check_device(resources.device)
        single = len(backbones) == 1
        return {
            "backbone": backbones[0] if single else backbones,
            "weights": weights[0] if single else weights,
            "view": self.view,
            "orientations": self.orientations,
            "layers": self.layers,
            "pooling": self.pooling,
            "spacing": self.spacing,
            "device": resources.device,
            "precision": self.precision,
            "cache": resources.cache_place,
            "workers": resources.workers,
        }

    def _check_blocks(self, backbones: list[str], weights: list[str]) -> None:
        """Refuse layers and poolings that a backbone does not have, where its record is at hand."""
        from hybridleuk.embeddings.backbones import backbone, blocks_of

        pooling = "avg" if self.pooling == "default" else self.pooling
        for name, value in zip(backbones, weights, strict=True):
            if ":" in name:  # of timm or Hugging Face: looked up when it is used
                continue
            record = backbone(name, value)
            try:
                blocks_of(record, self.layers, pooling)
            except InputError as error:
                raise typer.BadParameter(str(error), param_hint="--layers, --pooling") from error


@dataclass(frozen=True)
class ResourceOptions:
    """Where and with what it is computed; none of these changes a result but by rounding."""

    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=_FEATURES
        ),
    ] = "auto"
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where results are kept by content; by default the user's cache folder.",
            rich_help_panel=_FEATURES,
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Threads and processes; by default one per core.",
            rich_help_panel=_FEATURES,
        ),
    ] = None

    @property
    def cache_place(self) -> str:
        """What the library's parameter ``cache`` is given."""
        return "default" if self.cache is None else str(self.cache)
