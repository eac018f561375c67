"""
A first comparison, and a shortcut caught
=========================================

Smears of several patients are drawn, so that the truth is known: cells of two kinds, each patient
with their own stain and camera. Three classifiers read them. Then the same cells are drawn once
more, with a background that gives the class away, and the comparison notices.
"""

# %%
# Drawn smears
# ------------
# Every patient has one diagnosis here, as in a clinic, and the file name carries the patient.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from hybridleuk import compare, find_cells, read_image
from hybridleuk.data.artificial import draw_study
from hybridleuk.segmentation.overlay import draw_overlay

folder = Path(tempfile.mkdtemp())
options = {
    "n_patients": 16,
    "images_per_patient_and_class": 6,
    "classes": ("Benign", "Pro"),
    "random_state": 0,
}
honest = draw_study(folder / "honest", **options)
honest.frame[["image_id", "label", "group"]].head()

# %%
# What the program sees
# ---------------------
# Nucleus and cytoplasm of each leukocyte are outlined. Look at overlays before you trust a number:
# a wrong outline, as where a red cell touches a leukocyte, shows here and nowhere else so well.

# sphinx_gallery_alt = "Four drawn cells, each with the outline of its nucleus in yellow and of the whole cell in blue, under its diagnosis and patient."  # noqa: E501

figure, axes = plt.subplots(1, 4, figsize=(10, 2.8), layout="constrained")
for axis, i in zip(axes, (0, 30, 60, 90), strict=True):
    image = read_image(honest.paths[i])
    axis.imshow(draw_overlay(image, find_cells(image)))
    axis.set_title(f"{honest.labels[i]}, patient {honest.groups[i]}", fontsize=9)
    axis.axis("off")

# %%
# The comparison
# --------------
# Folds are made of patients, since the manifest knows them. The network has random weights in this
# tutorial, because nothing is downloaded here: its figures show how the program runs, not what a
# pretrained network reaches.

candidates = ["morphology+svm", "deep+svm", "hybrid+svm"]
result = compare(honest, candidates, folds=3, weights="random")
result.table

# %%
# Beside the candidates stand baselines that see no cell:

for shortcut in result.document["shortcuts"]:
    print(f"{shortcut['name']:20s} balanced accuracy {shortcut['balanced_accuracy']:.2f}")
print(*result.document["verdict"], sep="\n")

# %%
# The same with a shortcut
# ------------------------
# Now the slides of one class are a little brighter. Nothing else has changed.

leaky = draw_study(folder / "leaky", shortcut=True, **options)
caught = compare(leaky, candidates, folds=3, weights="random")
print(*caught.document["verdict"], sep="\n")

# %%
# The report is one file that opens without internet:

caught.report(folder / "report.html")
