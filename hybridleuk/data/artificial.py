"""Artificial blood smears of which everything is known.

Cells are drawn from traits (size, N:C ratio, lobes, chromatin, granules; see
:class:`Traits`), stained, lit and photographed by a :class:`Patient`, and come with exact masks.
Two kinds of family can be drawn: the leukocytes of normal blood with the lymphoblast
(:data:`LEUKOCYTES`), and four stages of acute lymphoblastic leukaemia (:data:`STAGES`).

Use them to test what measures and classifies cells, and to try the library without data. They are
no substitute for real smears: a classifier that does well here has shown that it works, not that
it works on patients.

Examples
--------
>>> from hybridleuk.data.artificial import draw_cell, draw_patient
>>> drawn = draw_cell("monocyte", patient=draw_patient(2), random_state=5)
>>> drawn.image.shape, drawn.cells[0].n_lobes
((128, 128, 3), 1)
"""

from hybridleuk.data.artificial_kinds import KINDS, LEUKOCYTES, STAGES, Traits, kind_traits
from hybridleuk.data.artificial_optics import STAINS, Patient, draw_patient
from hybridleuk.data.artificial_pictures import draw_cell, draw_field
from hybridleuk.data.artificial_study import draw_study, shortcut_tint
from hybridleuk.data.artificial_truth import DrawnCell, DrawnImage

__all__ = [
    "KINDS",
    "LEUKOCYTES",
    "STAGES",
    "STAINS",
    "DrawnCell",
    "DrawnImage",
    "Patient",
    "Traits",
    "draw_cell",
    "draw_field",
    "draw_patient",
    "draw_study",
    "kind_traits",
    "shortcut_tint",
]
