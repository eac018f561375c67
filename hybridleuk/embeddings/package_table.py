"""The backbone that comes in the package, one record, and where its weights lie."""

from __future__ import annotations

from pathlib import Path

from hybridleuk.embeddings.records import Backbone, Layer

__all__ = ["BUNDLED", "PACKAGE", "packaged_file"]

BUNDLED = "smearnet"
"""Name of the backbone that ``weights="bundled"`` stands for."""

_FOLDER = Path(__file__).parent / "bundled"

_SMEARNET = Backbone(
    BUNDLED,
    "1",
    "smearnet.safetensors",
    (Layer("stem", 32), Layer("stage1", 48), Layer("stage2", 96), Layer("stage3", 192)),
    ("classifier",),
    1_096_584,
    "hybridleuk, after He et al., Deep residual learning for image recognition, CVPR 2016",
    input_size=128,
    resize_size=128,
    mean=(0.75, 0.65, 0.75),
    std=(0.2, 0.2, 0.2),
    minimum_size=32,
    source="package",
    licence="BSD-3-Clause; trained on PBC (CC BY 4.0) and BCCD (MIT), see NOTICE.md beside it",
    aliases=("bundled",),
    note="comes in the package, trained on leukocytes: a first run needs no download. Images it "
    "was trained on are named where they turn up again.",
    sha256="90caa5db5948c17539b768f0ba694280df5ec4740c9a768a2234ad9e09ebd768",
)

PACKAGE = (_SMEARNET,)


def packaged_file(record: Backbone) -> Path:
    """Where the weights of a backbone of the package lie."""
    return _FOLDER / record.weights_file
