"""One name for each kind of cell, whatever a data set calls it.

Taken from the wording of the International Council for Standardization in Haematology (Palmer et
al. 2015, Int. J. Laboratory Hematology 37:287-303). Nothing is guessed: a name that is not listed
is not translated.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["CELL_NAMES", "PARENTS", "cell_name"]

CELL_NAMES: Mapping[str, tuple[str, ...]] = {
    "basophil": ("basophils", "baso", "bas", "ba", "basophile"),
    "eosinophil": ("eosinophils", "eosi", "eos", "eo", "eosinophile"),
    "erythroblast": ("erythroblasts", "ebo", "erb", "normoblast", "nrbc", "nucleated red cell"),
    "immature granulocyte": ("immature granulocytes", "ig", "immature granulocytes (ig)"),
    "promyelocyte": ("promyelocytes", "pmo", "pmy"),
    "bilobed promyelocyte": ("promyelocyte (bilobed)", "pmb"),
    "myelocyte": ("myelocytes", "myb", "my"),
    "metamyelocyte": ("metamyelocytes", "mmz", "mmy"),
    "lymphocyte": ("lymphocytes", "lymph", "lymp", "ly", "lym", "lyt", "lymphocyte (typical)"),
    "atypical lymphocyte": ("lymphocyte (atypical)", "lya", "reactive lymphocyte"),
    "monocyte": ("monocytes", "mono", "mon", "mo"),
    "neutrophil": ("neutrophils", "neut", "neu", "ne", "neutrophile"),
    "band neutrophil": ("neutrophil (band)", "ngb", "bne", "band", "stab"),
    "segmented neutrophil": ("neutrophil (segmented)", "ngs", "sne", "seg"),
    "platelet": ("platelets", "thrombocyte", "thrombocytes", "plt"),
    "red cell": ("rbc", "red blood cell", "red blood cells", "erythrocyte", "erythrocytes"),
    "leukocyte": ("wbc", "white blood cell", "white blood cells", "leucocyte", "leukocytes"),
    "lymphoblast": ("lymphoblasts", "all blast", "leukemic b-lymphoblast"),
    "myeloblast": ("myeloblasts", "myo"),
    "monoblast": ("monoblasts", "mob"),
    "smudge cell": ("smudge cells", "ksc", "smudge"),
    "normal lymphoid cell": ("hem", "b-lymphoid precursor"),
}
"""Name of each kind of cell, with what else it is called, in small letters."""

PARENTS: Mapping[str, str] = {
    "promyelocyte": "immature granulocyte",
    "bilobed promyelocyte": "immature granulocyte",
    "myelocyte": "immature granulocyte",
    "metamyelocyte": "immature granulocyte",
    "band neutrophil": "neutrophil",
    "segmented neutrophil": "neutrophil",
    "atypical lymphocyte": "lymphocyte",
}
"""The wider kind that a finer one belongs to."""

_KNOWN = {name: name for name in CELL_NAMES} | {
    other: name for name, others in CELL_NAMES.items() for other in others
}


def cell_name(name: str) -> str | None:
    """Translate what a data set calls a kind of cell; ``None`` when it is not known.

    Examples
    --------
    >>> from hybridleuk.data.datasets.cell_names import cell_name
    >>> cell_name("NEU"), cell_name("Segmented neutrophil"), cell_name("Early")
    ('neutrophil', 'segmented neutrophil', None)
    """
    plain = " ".join(name.replace("_", " ").replace("-", " ").casefold().split())
    return _KNOWN.get(plain) or _KNOWN.get(name.casefold().strip())
