"""
Embeddings on a laptop and on a GPU, the cache, a site without internet
=======================================================================

A pretrained network turns each image into a row of numbers, and a classifier learns from the rows.
This page shows what the network gets to see, which of its layers to take, what a turned smear and a
faster arithmetic change, where the time goes, what is kept so that nothing is computed twice, and
how all of it works in a hospital without internet.

.. warning::

   **The network on this page knows nothing.** Its weights are random, because nothing is downloaded
   here. All that is shown holds for any network; only what its rows are worth does not. For work of
   your own leave ``weights`` away (the published ones are fetched once) and never classify with
   ``weights="random"``.
"""

# %%
# Images in, rows out
# -------------------
# The smears are drawn: six patients, each with their own stain and camera. ``DeepEmbeddings`` is a
# scikit-learn transformer; ``fit`` checks parameters and finds the weights, and learns nothing from
# the images.

import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from hybridleuk import DeepEmbeddings, find_cells, read_image
from hybridleuk.data.artificial import Patient, draw_cell, draw_field, draw_patient, draw_study
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.preprocessing import view_pictures
from hybridleuk.embeddings.states import write_weights

plt.rcParams["font.size"] = 12
folder = Path(tempfile.mkdtemp())
manifest = draw_study(
    folder / "smears",
    n_patients=6,
    images_per_patient_and_class=4,
    classes=("Benign", "Pro"),
    size=160,
    random_state=0,
)

untrained = {"backbone": "squeezenet1_1", "weights": "random", "cache": folder / "cache"}
embeddings = DeepEmbeddings(**untrained)
rows = embeddings.fit_transform(manifest.paths)
print(rows.shape, rows.dtype)
print(embeddings.weights_description_)

# %%
# What the network sees
# ---------------------
# There are three *views*. ``image`` is the whole image, resized to the network's square and never
# cropped. ``segmented`` paints everything outside of leukocytes black. ``cells`` draws each
# leukocyte alone on white: the middle one of a crop of one cell, every usable one of a field (four
# of its five are shown); the row of an image is then the mean over its cells.

# sphinx_gallery_thumbnail_number = 1
# sphinx_gallery_alt = "Two rows of three pictures. Above, a crop of one leukocyte among red cells; the leukocyte on black; the leukocyte alone on white. Below, a field; its leukocytes on black; four of its leukocytes, each alone on white in a picture of its own."  # noqa: E501

record = backbone("squeezenet1_1")
crop = draw_cell("monocyte", size=240, patient=draw_patient(3), random_state=5).image
kinds = ("neutrophil", "lymphocyte", "monocyte", "neutrophil", "lymphoblast")
field = draw_field(kinds, patient=draw_patient(8), random_state=2).image


def put_together(pictures):
    """Show one picture as it is, and of several the first four as a square."""
    if len(pictures) < 4:
        return pictures[0]
    return np.vstack([np.hstack(pictures[:2]), np.hstack(pictures[2:4])])


figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.7), layout="constrained")
for line, (name, image) in zip(axes, {"crop": crop, "field": field}.items(), strict=True):
    cells = find_cells(image)
    for axis, view in zip(line, ("image", "segmented", "cells"), strict=True):
        pictures = view_pictures(view, image, cells, record)
        axis.imshow(put_together(pictures))
        axis.set_title(f"{name}: {view}")
        axis.set(xticks=[], yticks=[])

# %%
# The view ``cells`` is made against differences between microscopes
# (:func:`~hybridleuk.segmentation.standard.standard_picture`): every cell has one magnification,
# one sharpness, and one amount of stain under one lamp. Here is the same cell under two
# microscopes, the second coarser, with a bluer lamp and a fainter stain:

# sphinx_gallery_alt = "The same monocyte twice. Above, as two microscopes show it: one on a warm background, sharp; the other bluish, pale and coarse. Below, in the view cells: both alone on white and hardly to be told apart."  # noqa: E501

ours = Patient()
theirs = dataclasses.replace(
    ours, light=(190.0, 215.0, 250.0), stain_strength=(0.75, 0.7, 0.75, 0.75), blur=1.6, gamma=1.08
)
one = draw_cell("monocyte", size=240, patient=ours, random_state=5).image
other = draw_cell("monocyte", size=240, patient=theirs, random_state=5).image
other = np.asarray(Image.fromarray(other).resize((140, 140), Image.Resampling.BOX))

figure, axes = plt.subplots(2, 2, figsize=(5.6, 5.9), layout="constrained")
difference = {}
for line, view in zip(axes, ("image", "cells"), strict=True):
    seen = [view_pictures(view, image, find_cells(image), record)[0] for image in (one, other)]
    difference[view] = np.abs(seen[0].astype(float) - seen[1]).mean()
    for axis, picture, whose in zip(line, seen, ("one microscope", "another"), strict=True):
        axis.imshow(picture)
        axis.set_title(f"{view}, {whose}")
        axis.set(xticks=[], yticks=[])

# %%
# The mean difference of the two pictures, in levels of 0 to 255. Real microscopes and stains differ
# in more than these drawn ones, so expect a smaller gain on real smears.

pd.Series(difference).round(1)

# %%
# Which view is best is a question to your data. In ``image`` the background is seen too, and where
# it gives the class away, a network learns that: :doc:`tutorial_1_first_comparison` shows how it is
# caught. ``cells`` cannot see it, and depends on the cells being found.
#
# Layers and poolings
# -------------------
# A network has many layers, and the last one is made to tell a thousand kinds of photographs apart.
# Earlier ones see texture and small shapes, which is what chromatin and granules are. A layer's map
# is *pooled* to one number per channel: its mean (``avg``), its greatest value (``max``), its mean
# over the middle (``center``) or where there is stain (``stained``), or others. Any number of both
# are computed in **one pass** and lie side by side. So wide are the parts of a row:

rich = DeepEmbeddings(**untrained, layers="upper", pooling="stained+center").fit(manifest.paths)
blocks = pd.DataFrame(rich.blocks_)
blocks.pivot(index="layer", columns="pooling", values="width").loc[list(blocks.layer.unique())]

# %%
# ``"upper"`` is the deeper two thirds of the layers that a backbone lists. With ``stained+center``
# it is the default of :class:`~hybridleuk.HybridFeatures`, :class:`~hybridleuk.HybridClassifier`
# and the command line, because the last layer is rarely the best for small cells, and because a
# mean over the whole picture is mostly a mean over what is no leukocyte: on 4,800 images of PBC
# mean and maximum of the upper layers reached 0.955, ``stained+center`` 0.977
# (``benchmarks/RESULTS.md``). ``DeepEmbeddings`` itself starts with what most papers use:
# ``layers="default"``, the last one, and ``pooling="avg"``.
#
# A smear has no up and no left
# -----------------------------
# A network does not know that. ``orientations=8`` averages over four rotations, each mirrored too,
# for eight times the work. Then a turned slide gives the same row, but for rounding:

images = [read_image(path) for path in manifest.paths[::4]]
turned = [np.ascontiguousarray(np.rot90(image)) for image in images]
for orientations in (1, 8):
    embedder = DeepEmbeddings(**untrained, orientations=orientations).fit(images)
    upright, lying = embedder.transform(images), embedder.transform(turned)
    change = np.linalg.norm(upright - lying, axis=1) / np.linalg.norm(upright, axis=1)
    print(f"orientations={orientations}: turned, a row changes by {100 * change.max():.2f} %")

# %%
# Faster arithmetic, and how to check it
# --------------------------------------
# ``precision="fp32"`` is the default and equals the plain torchvision network. ``"bf16"`` keeps the
# range and drops digits; processors and GPUs that multiply it in hardware are about twice as fast.
# ``"auto"`` is bf16 where the hardware does it, fp16 on other GPUs, else fp32. The
# precision is part of the cache's key, so the two are never mixed.
#
# Whether bf16 is exact enough is checked on *your* images, with the weights you use. A cosine of
# 0.999 is the bar of this project; if the smallest is below, stay with fp32.


def cosine(a, b):
    """Cosine of the angle between each row of `a` and the same row of `b`."""
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


exact = DeepEmbeddings(**untrained).fit_transform(images)
rounded = DeepEmbeddings(**untrained, precision="bf16").fit_transform(images)
print(f"smallest cosine of {len(images)} images: {cosine(exact, rounded).min():.5f}")

# %%
# Where the time goes
# -------------------
# ``throughput_`` says how fast the last ``transform`` was, and how many seconds its threads spent
# in each stage. Stages run beside each other, so these add up to more than it took.

views = {}
for view in ("image", "cells"):
    timed = DeepEmbeddings(**untrained, view=view, layers="upper", pooling="stained+center")
    timed.fit_transform(manifest.paths)
    views[view] = timed.throughput_
for view, spent in views.items():
    print(f"{view}: {spent['images']} images, {spent['images_per_second']:.0f} images/s")

# %%
# How long the bars are depends on the machine that built this page. What they say in general: the
# network takes longest unless cells have to be found first, and they are found once: masks are kept
# too, and serve morphology, ``segmented`` and ``cells`` alike.

# sphinx_gallery_alt = "Horizontal bars of milliseconds per image for the stages decode, cells, preprocess, network and write, in the views image and cells."  # noqa: E501

BLUE, ORANGE = "#0072B2", "#D55E00"  # told apart with every kind of color vision
stages = list(views["image"]["stages"])
figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for shift, (view, spent), color in zip((-0.2, 0.2), views.items(), (BLUE, ORANGE), strict=True):
    each = [1000 * spent["stages"][stage] / spent["images"] for stage in stages]
    places = np.arange(len(stages)) + shift
    bars = axis.barh(places, each, height=0.36, color=color, label=f"view={view!r}")
    axis.bar_label(bars, fmt="%.1f", padding=4)
axis.set(yticks=range(len(stages)), yticklabels=stages, xlabel="ms per image, over all threads")
figure.legend(loc="outside lower center", ncols=2, frameon=False)
axis.spines[["top", "right"]].set_visible(False)
axis.margins(x=0.12)
axis.invert_yaxis()

# %%
# What the cache keeps
# --------------------
# Rows are kept by *content*: the SHA-256 of the image file, the weights, view, layers, pooling,
# precision. The same file under another name is known; another setting never finds an old row. With
# all rows there, **no image is decoded and no network loaded**:

embedder = DeepEmbeddings(**untrained, layers="upper", pooling="stained+center")
begin = time.perf_counter()
again = embedder.fit_transform(manifest.paths)
print(f"from the cache in {time.perf_counter() - begin:.2f} s (for information only)")
print("images embedded:", embedder.throughput_["images"])

# %%
# So resuming needs no option: give the same command again, and what is missing is computed. Ten
# new images among a thousand known ones cost ten.
#
# ``cache info`` shows what is there, ``prune`` makes room (``--older-than 90`` days,
# ``--max-size 2GB``, ``--all``), and ``verify`` reads every row against its checksum.


def hybridleuk(*arguments):
    """Run the program and print what it writes."""
    command = [sys.executable, "-m", "hybridleuk_cli", *arguments]
    print("$ hybridleuk", *arguments)
    print(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


hybridleuk("cache", "info", "--cache", "cache")
hybridleuk("cache", "prune", "--older-than", "90", "--dry-run", "--cache", "cache")
hybridleuk("cache", "verify", "--cache", "cache")

# %%
# Any network
# -----------
# ``backbone`` takes a name of :doc:`the table </user_guide/backbones>`, ``timm:NAME`` for anything
# timm lists, ``hf-hub:OWNER/NAME`` for encoders published there, such as those of haematology:
#
# .. code-block:: python
#
#    DeepEmbeddings("timm:vit_small_patch14_dinov2.lvd142m", pooling="cls")
#    DeepEmbeddings("hf-hub:1aurent/vit_small_patch14_224.dinobloom", pooling="cls")
#
# It also takes a module of your own, which has to say how large its input is:

torch.manual_seed(0)
network = torch.nn.Sequential(
    torch.nn.Conv2d(3, 16, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, stride=2)
)
network.input_size = 64  # px
DeepEmbeddings(network, cache=None).fit_transform(images).shape

# %%
# A site without internet
# -----------------------
# On a machine with internet, ``backbones fetch`` fills the caches of torch and Hugging Face, and
# ``backbones bundle`` writes networks into one file to carry across:
#
# .. code-block:: console
#
#    $ hybridleuk backbones fetch resnet50 Xception
#    $ hybridleuk backbones bundle resnet50 Xception -o bundle.zip
#
# Nothing is fetched on this page, so the bundle is made of the untrained network, written as a file
# of one's own weights:

write_weights(folder / "untrained.safetensors", embeddings.network_state(), record)
hybridleuk(
    "backbones", "bundle", "squeezenet1_1", "--weights", "untrained.safetensors", "-o", "bundle.zip"
)

# %%
# On the machine without, the bundle is given as weights; each file in it is checked against its
# hash first. The rows are the same:

carried = DeepEmbeddings("squeezenet1_1", weights=folder / "bundle.zip", cache=None)
print("same rows:", np.allclose(carried.fit_transform(images), exact, atol=1e-6))

# %%
# ``hybridleuk doctor`` says what a machine has, what is missing and how to get it:
#
# .. code-block:: console
#
#    $ hybridleuk doctor
#    device      cpu (AMD EPYC), bf16 hardware
#    weights     none downloaded
#
#    missing                        how to get it
#    weights of 17 of 17 backbones  they are fetched when first used, or by 'hybridleuk backbones
#                                   fetch'; without internet give --weights FILE, or a bundle of
#                                   'hybridleuk backbones bundle'
#
# More on this: :doc:`/user_guide/offline`.
#
# The same on the command line
# ----------------------------
# Every parameter of this page is an option of ``extract``; the result is one Parquet file with a
# row per image, which ``fit`` takes.

hybridleuk(
    "extract",
    "smears",
    *("-o", "features.parquet", "--features", "deep", "--view", "cells"),
    *("--backbone", "squeezenet1_1", "--weights", "bundle.zip", "--cache", "cache"),
)

# %%
# On a GPU
# --------
# Nothing has to be changed: ``device="auto"`` takes a CUDA GPU, else Apple's ``mps``, else the
# processor, and ``batch_size="auto"`` sends 256 pictures at once instead of 16, halved where the
# memory is too small. With ``precision="auto"`` a GPU computes in bf16. While it computes one
# batch, the next is copied to it from pinned memory, and after the third full batch the whole
# network is launched at once, as a CUDA graph. Rows in fp32 agree with those of a processor to the
# last digits only, not in every bit, since sums are taken in another order.
#
# A fast GPU waits for its images: when ``decode``, ``cells`` and ``preprocess`` of ``throughput_``,
# divided by the number of ``workers``, are more than ``network``, then more cores help and a larger
# GPU does not. :doc:`/user_guide/large_runs` does the sums for a million images.
#
# This page was built on:

embeddings.device_
