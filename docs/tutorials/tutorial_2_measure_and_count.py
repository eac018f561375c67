"""
Measure the cells of your own smear, and count a field
======================================================

From a folder of smears to numbers a haematologist can read: find the leukocytes, look at what was
outlined, measure in micrometres, add a measurement of your own, see which measurements mean the
same under another microscope, and count a field. The smears are drawn, so that the truth is known
and nothing has to be downloaded; with your own, everything after the first step stays the same.
"""

# %%
# A folder of smears
# ------------------
# Three fields as they should be, one hardly stained, one with its cells in a clump, and one badly
# out of focus. The drawn microscope has 0.16 µm per pixel; yours has a number of its own, which a
# picture of a stage micrometer gives.

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from hybridleuk import Manifest, count_cells, find_cells, read_image
from hybridleuk.data.artificial import draw_cell, draw_field, draw_patient
from hybridleuk.morphology.catalogue import CATALOGUE, PORTABLE
from hybridleuk.morphology.extractor import measure_cells
from hybridleuk.morphology.files import segment_images
from hybridleuk.segmentation.overlay import draw_overlay

plt.rcParams["font.size"] = 12
SPACING = 0.16  # micrometres per pixel
folder = Path(tempfile.mkdtemp())
smears = folder / "smears"
smears.mkdir()

usual = ("neutrophil", "neutrophil", "lymphocyte", "monocyte", "eosinophil")
blasts = ("lymphoblast", "lymphoblast", "lymphoblast", "lymphocyte")
clump = ("lymphoblast",) * 7 + ("lymphocyte",)
first, second = draw_patient(3), draw_patient(8)
faint = replace(second, stain_strength=(0.1, 0.1, 0.1, 0.1))
blurred = replace(second, blur=9.0)
drawn = {
    "P1_field1": draw_field(usual, patient=first, random_state=1),
    "P1_field2": draw_field(usual, patient=first, random_state=2, at_border=True),
    "P2_field1": draw_field(blasts, patient=second, random_state=3),
    "P2_faint": draw_field(blasts, patient=faint, random_state=4),
    "P2_clump": draw_field(clump, patient=second, random_state=1, touching=True),
    "P2_blurred": draw_field(blasts, patient=blurred, random_state=5),
}
for name, field in drawn.items():
    Image.fromarray(field.image).save(smears / f"{name}.png")

# %%
# Find the cells, and look
# ------------------------
# ``find_cells`` outlines nucleus and whole cell of every leukocyte. An overlay shows what it took
# for which: nuclei in yellow, cells in green. Every measurement stands on these two lines, so look
# before you believe one.

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_alt = "A drawn smear field with five leukocytes among red cells. Each leukocyte is outlined in green and its nucleus in yellow; each carries its number."  # noqa: E501

image = read_image(smears / "P1_field1.png")
cells = find_cells(image)

figure, axis = plt.subplots(figsize=(6.4, 4.9), layout="constrained")
axis.imshow(draw_overlay(image, replace(cells, flags=())))
axis.set_title("Nuclei in yellow, cells in green")
axis.set_axis_off()

# %%
# Doubts are written down
# -----------------------
# A cell or an image that should not be trusted carries *flags*. Those of
# :data:`~hybridleuk.segmentation.records.UNUSABLE` keep a cell out of an image's averages as long
# as a better one is there; the others are for you, and ``many_cells`` and ``no_central_cell`` only
# say that this is a field and not a crop of one cell.

manifest = Manifest.from_source(smears)
result = segment_images(manifest, folder / "masks", spacing=SPACING)

index = result.index.set_index("image_id")
index["drawn"] = [len(drawn[name].cells) for name in index.index]
index["flags"] = index["flags"].str.replace("many_cells;?|no_central_cell;?", "", regex=True)
index[["drawn", "n_cells", "flags"]]

# %%
# Flags do not see everything. In a clump cells are taken for one, and not each of these carries a
# flag; none says that a field is blurred. So look: ``contact_sheet.jpg`` shows up to 36 overlays,
# the most doubtful first. Here are its first three.

# sphinx_gallery_alt = "Three overlays side by side, each with the name of its image above: the faint field without any outline, the clump of blasts with an outline around several of them, and the blurred field, its cells outlined."  # noqa: E501

sheet = read_image(result.contact_sheet)[:200, :720]
figure, axis = plt.subplots(figsize=(7.2, 2.0), layout="constrained")
axis.imshow(sheet)
axis.set_axis_off()

# %%
# Measure, in micrometres
# -----------------------
# With ``spacing`` lengths are in µm and areas in µm². One row per cell, one column per measurement;
# the page :doc:`/catalogue` has the formula and source of each of them.

table = measure_cells(image, cells, spacing=SPACING)
names = [
    "nucleus_equivalent_diameter",
    "nc_ratio_cell",
    "nucleus_lobe_count",
    "contrast_od_green",
]
table.set_index("number")[names].round(2).T

# %%
# How a haematologist would read four of them, on one cell of each of five kinds:
#
# - the nucleus's **diameter** is that of a disc of its area, beside a red cell of 7 to 8 µm;
# - **N:C** here is the nucleus's part of the *cell*, from 0 to 1; many texts divide by the
#   cytoplasm instead, which is ``nc_ratio_cytoplasm``. Blasts and lymphocytes are high;
# - **lobes** tell the segmented nucleus of a neutrophil from a round one;
# - **contrast** is how much more the nucleus absorbs than the cytoplasm, in green light: large
#   where chromatin is dense in pale cytoplasm, small where it is fine or the cytoplasm blue.

kinds = ["neutrophil", "eosinophil", "monocyte", "lymphocyte", "lymphoblast"]
CELL_SPACING = 28 / 240  # a crop of 28 µm on 240 pixels
portraits = [draw_cell(kind, size=240, random_state=k) for k, kind in enumerate(kinds)]
rows = []
for portrait in portraits:
    found = find_cells(portrait.image)
    measured = measure_cells(portrait.image, found, spacing=CELL_SPACING)
    rows.append(measured[measured["central"]].iloc[0])
read = pd.DataFrame(rows, index=kinds)

# %%
# The drawn truth stands beside what was measured:

# sphinx_gallery_alt = "Five drawn leukocytes, and below them four rows of dots: diameter of the nucleus, N:C, lobes and contrast of each. Open circles of the drawn truth lie on or close to the measured dots."  # noqa: E501

BLUE, ORANGE = "#0072B2", "#D55E00"  # told apart with every kind of color vision
BELOW = {"loc": "outside lower center", "ncols": 3, "frameon": False}
truth = {
    names[0]: [2 * np.sqrt(p.cells[0].nucleus_area_px / np.pi) * CELL_SPACING for p in portraits],
    names[1]: [p.cells[0].nucleus_fraction for p in portraits],
    names[2]: [p.cells[0].n_lobes for p in portraits],
}
labels = ["nucleus, µm", "N:C", "lobes", "contrast, OD"]
figure = plt.figure(figsize=(6.4, 7.4), layout="constrained")
grid = figure.add_gridspec(5, len(kinds), height_ratios=[1.5, 1, 1, 1, 1])
for column, (kind, portrait) in enumerate(zip(kinds, portraits, strict=True)):
    axis = figure.add_subplot(grid[0, column])
    axis.imshow(portrait.image[40:200, 40:200])
    axis.set_title(kind, fontsize=11)
    axis.set_axis_off()
for row, (name, label) in enumerate(zip(names, labels, strict=True), start=1):
    axis = figure.add_subplot(grid[row, :])
    axis.plot(read[name].to_numpy(), "o", color=BLUE, markersize=8, label="measured")
    if name in truth:
        axis.plot(truth[name], "o", color=ORANGE, markersize=14, fillstyle="none", label="drawn")
    axis.set(xlim=(-0.5, len(kinds) - 0.5), ylabel=label, xticks=range(len(kinds)))
    axis.set_ylim(0, 1.3 * read[name].max())
    axis.set_xticklabels(kinds if row == len(names) else [])
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="0.9")
    if row == 1:
        figure.legend(*axis.get_legend_handles_labels(), **BELOW)
figure.align_ylabels()

# %%
# A measurement of your own
# -------------------------
# Any function of ``(mask, image)`` that returns a number will do. The beginning of its name says
# what the mask is: ``nucleus...``, ``cytoplasm...``, else the whole cell. This one asks how much of
# the nucleus is clearly paler than its median, as open chromatin and nucleoli are.


def nucleus_open_part(mask, image):
    """Return the part of the nucleus more than 15 % brighter, in green, than its median."""
    green = image[..., 1][mask].astype(float)
    return float((green > 1.15 * np.median(green)).mean()) if mask.any() else 0.0


own = measure_cells(image, cells, extra={"nucleus_open_part": nucleus_open_part})
own[["number", "nucleus_open_part"]].round(2)

# %%
# The same ``extra`` goes into :class:`~hybridleuk.MorphologyFeatures`, whose rows any scikit-learn
# classifier takes.
#
# What another microscope leaves alone
# ------------------------------------
# The same cells once more, as a coarser camera with a bluer lamp would see them, slightly out of
# focus. Only what the picture was taken with has changed; the cells have not.


def under_another_microscope(image):
    """Fewer pixels, a lens slightly out of focus, and another lamp."""
    picture = Image.fromarray(image).resize((144, 144), Image.Resampling.BOX)
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(0.6)), dtype=float)
    return np.rint(blurred * (0.80, 0.92, 1.15)).clip(0, 255).astype(np.uint8)


def measured_alone(image):
    """Measure the cell in the middle, in pixels, for nobody told this program the spacing."""
    measured = measure_cells(image, find_cells(image))
    return measured[measured["central"]].iloc[0]


many = [draw_cell(kinds[k % 5], size=240, random_state=20 + k).image for k in range(15)]
other = [under_another_microscope(image) for image in many]
here = pd.DataFrame([measured_alone(image) for image in many])
there = pd.DataFrame([measured_alone(image) for image in other])

# %%
# The catalogue says of each measurement what it withstands. *Portable* are those that have all
# three of these properties:

shown = ["nc_ratio_cell", "contrast_od_green", "nucleus_area", "nucleus_red_mean"]
pd.DataFrame({name: {p: getattr(CATALOGUE[name], p) for p in PORTABLE} for name in shown}).T

# %%
# And so it is: portable measurements lie on the diagonal, the others beside it, and each of these
# for the reason its row names.

# sphinx_gallery_alt = "Above, one cell under two microscopes, the second coarser and bluer. Below, four scatter plots of fifteen cells under both: N:C and contrast lie along the diagonal; nuclear area in pixels and mean red lie far below it."  # noqa: E501

titles = ["N:C", "contrast, OD", "nuclear area, px", "red of nucleus, 0 to 255"]
figure, axes = plt.subplots(3, 2, figsize=(6.4, 9.2), layout="constrained")
for axis, picture, title in zip(axes[0], (many[2], other[2]), ("one", "the other"), strict=True):
    axis.imshow(picture)
    axis.set_title(f"{title} microscope,\n{len(picture)} px wide")
    axis.set_axis_off()
for axis, name, title in zip(axes[1:].flat, shown, titles, strict=True):
    portable = all(getattr(CATALOGUE[name], p) for p in PORTABLE)
    top = 1.1 * max(here[name].max(), there[name].max())
    axis.plot([0, top], [0, top], color="0.6", linewidth=1)
    axis.plot(here[name], there[name], "o" if portable else "^", color=BLUE if portable else ORANGE)
    axis.set(xlim=(0, top), ylim=(0, top), aspect="equal", xlabel="one", ylabel="the other")
    axis.locator_params(nbins=4)
    axis.set_title(f"{title}\n{'portable' if portable else 'not portable'}")
    axis.spines[["top", "right"]].set_visible(False)

# %%
# Color is measured in the cell at standard magnification
# (:func:`~hybridleuk.segmentation.standard.standard_cell`), each cell resampled to a radius of 30
# pixels, so that a finer camera does not see more spread. That takes out magnification and most of
# the focus, not the lamp: hence only differences and spreads of optical density are portable, from
# which a factor on a color channel cancels. Texture is measured in the image as it is; every one of
# its measurements depends on the focus, so none is portable.
#
# To classifiers portable measurements weigh most; with ``measurements="all"``, on the command line
# ``--measurements all``, all weigh the same: worth trying where all images, now and later, come
# from one microscope. How many there are:

described = [feature for feature in CATALOGUE.values() if feature.family != "background"]
print(sum(all(getattr(f, p) for p in PORTABLE) for f in described), "of", len(described))

# %%
# Count a field
# -------------
# ``count_cells`` counts leukocytes, red cells and platelets, each with a box. The size of the red
# cells is found first, and everything else is looked for relative to it, so it needs no spacing.

field = drawn["P1_field1"]
counted = count_cells(field.image)
pd.DataFrame(
    {
        "counted": [counted.wbc, counted.rbc, counted.platelets],
        "drawn": [len(field.cells), len(field.red_cells), len(field.platelets)],
    },
    index=["leukocytes", "red cells", "platelets"],
)

# %%
# A number without a picture is hard to check, so draw the boxes. Cells that overlap or are cut by
# the edge are where counts differ.

# sphinx_gallery_alt = "The drawn field with boxes: solid blue around leukocytes, thin orange around red cells, dotted black around platelets. Most red cells, and all of the others, have one."  # noqa: E501

styles = {"RBC": (ORANGE, 1.0, "-"), "WBC": (BLUE, 2.5, "-"), "Platelets": ("black", 1.5, ":")}
spoken = {"RBC": "red cells", "WBC": "leukocytes", "Platelets": "platelets"}
figure, axis = plt.subplots(figsize=(6.4, 5.2), layout="constrained")
axis.imshow(field.image)
for kind, (color, width, line) in styles.items():
    look = {"edgecolor": color, "linewidth": width, "linestyle": line, "fill": False}
    for cell in counted.of_kind(kind):
        y0, x0, y1, x1 = cell.box
        axis.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, **look))
    words = f"{len(counted.of_kind(kind))} {spoken[kind]}"
    axis.add_patch(plt.Rectangle((0, 0), 0, 0, label=words, **look))
figure.legend(**BELOW)
axis.set_axis_off()

# %%
# On real fields red cells are counted less surely than here: :doc:`/user_guide/counting` says how
# surely.
#
# The same on the command line
# ----------------------------
# No Python is needed for any of this:


def hybridleuk(*arguments):
    """Run the program and print what it writes."""
    command = [sys.executable, "-m", "hybridleuk_cli", *arguments]
    print("$ hybridleuk", *arguments)
    print(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


hybridleuk("segment", "smears", "-o", "overlays", "--spacing", "0.16")
hybridleuk("count", "smears/P1_*.png", "-o", "counts.csv", "--boxes", "boxes.json")

# %%
# ``--pictures DIR`` draws the boxes into copies of the fields. The table has one row per field:

written = pd.read_csv(folder / "counts.csv", keep_default_na=False)
written["path"] = [Path(path).name for path in written["path"]]
written
