"""
From a download to an audited manifest
======================================

Public data sets hold images twice, under two labels, blurred, or photographed in one way for each
class. This tutorial goes from a downloaded folder to a manifest that can be trained on. The images
are drawn in the layout of the ALL image dataset, with mistakes planted, so that you know what
should be found.
"""

# %%
# The download
# ------------
# ``hybridleuk datasets fetch all -o leukemia`` fetches the real images from Kaggle, or says which
# steps are for you to take; a zip or tar file that you have need not be unpacked. Here smears of
# twelve patients are drawn instead and laid into folders as there. Four mistakes are planted: one
# image lies in a second class, turned by a quarter and compressed anew; another is there twice; a
# third is out of focus; one file was cut off.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from PIL import Image, ImageFilter

from hybridleuk import read_image
from hybridleuk.audit.audit import audit
from hybridleuk.data.artificial import draw_study
from hybridleuk.data.datasets.checking import check_dataset
from hybridleuk.data.datasets.reading import read_dataset
from hybridleuk.data.datasets.recognition import recognise

folder = Path(tempfile.mkdtemp())
drawn = draw_study(
    folder / "drawn", n_patients=12, images_per_patient_and_class=6, size=128, random_state=2
)
root = folder / "leukemia" / "Original"


def place(label, number):
    """Path of an image as the data set names it."""
    code = label if label == "Benign" else f"Malignant-{label}"
    return root / label / f"WBC-{code}-{number:03d}.jpg"


for label in drawn.classes:
    (root / label).mkdir(parents=True)
    for number, path in enumerate(drawn.paths[drawn.labels == label], start=1):
        Image.open(path).save(place(label, number), quality=95)

Image.open(place("Benign", 1)).rotate(90).save(place("Pre", 901), quality=60)
twice = place("Early", 2).read_bytes()
place("Early", 902).write_bytes(twice)
Image.open(place("Pro", 3)).filter(ImageFilter.GaussianBlur(4)).save(place("Pro", 3))
place("Pro", 904).write_bytes(twice[:2000])

# %%
# Is it what it should be?
# ------------------------
# A data set is recognised by its folders and file names, and compared with what is known of it. On
# the command line this is ``hybridleuk datasets check leukemia``.

found = recognise(folder / "leukemia")
print(found.card.title)
for part in check_dataset(found):
    print(f"{part.part}: {part.n_found} of {part.n_expected} files")

# %%
# The audit
# ---------
# ``hybridleuk audit`` does what follows on the command line and writes a page with pictures. The
# verdict begins with what is most serious.

manifest = read_dataset(folder / "leukemia")
audited = audit(manifest, cache=folder / "cache", workers=1)
for sentence in audited.verdict:
    print("-", sentence.replace(f"{root}/", ""))

# %%
# Images that are there twice
# ---------------------------
# Equal files are found by their bytes, altered ones by laying the pictures over each other. Two
# labels on the same cell are an error of the data that no classifier can learn its way around.

# sphinx_gallery_alt = "Drawn cells in pairs that show the same: one pair with the labels Benign and Pre, the second picture turned by a quarter, and one pair of the class Early, both the same."  # noqa: E501

sets = sorted(audited.document["duplicates"], key=lambda cluster: not cluster["conflict"])
figure, axes = plt.subplots(
    2, len(sets), figsize=(2.4 * len(sets), 5.2), layout="constrained", squeeze=False
)
for column, cluster in zip(axes.T, sets, strict=True):
    column[0].set_title(f"{cluster['kind']}", fontsize=10)
    shown = zip(column, cluster["images"], cluster["labels"], strict=False)
    for axis, path, label in shown:
        axis.imshow(read_image(path))
        axis.set_xlabel(f"{label}: {Path(path).name}", fontsize=8)
        axis.set(xticks=[], yticks=[])

# %%
# Classes told without a cell
# ---------------------------
# Baselines that see no cell are cross-validated. What they reach beyond guessing, a classifier may
# reach in the same way. The p-value is how often exchanged labels do as well. Here each patient has
# one diagnosis and a stain of their own, and no file name tells who is who: images of one patient
# lie on both sides of a fold, and the background gives the patient away.

# sphinx_gallery_alt = "Balanced accuracy of four baselines that see no cell, as dots beside a dashed line at the level of guessing, with their p-values: background only and background color lie far beyond it."  # noqa: E501

shortcuts = audited.document["shortcuts"]
figure, axis = plt.subplots(figsize=(7, 2.4), layout="constrained")
for row, entry in enumerate(reversed(shortcuts)):
    axis.plot(entry["balanced_accuracy"], row, "o", color="C1" if entry["told"] else "C7")
axis.axvline(shortcuts[0]["chance"], color="black", linestyle="--", linewidth=1)
names = [f"{entry['name']} (p = {entry['p_value']:.3f})" for entry in reversed(shortcuts)]
axis.set_yticks(range(len(names)), names)
axis.set(xlim=(0, 1), ylim=(-0.6, len(shortcuts) - 0.4), xlabel="balanced accuracy")

# %%
# The manifest to go on with
# --------------------------
# Nothing was deleted. ``cleaned.csv`` keeps one image of each set, and none where labels
# contradict each other; ``left_out.csv`` gives the reasons. No patients can be told from these file
# names, so a column ``pseudo_group`` holds groups of images that were taken alike. Train on it with
# ``hybridleuk compare audit/cleaned.csv --group-column pseudo_group -o comparison``.

audited.write(folder / "audit")
print(sorted(path.name for path in (folder / "audit").iterdir()))
print((folder / "audit" / "left_out.csv").read_text().replace(f"{root}/", ""))
print(audited.document["cleaned"], f"{len(set(audited.pseudo_groups))} pseudo-groups")
