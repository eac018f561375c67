"""
A network of one's own
======================

A network is trained end to end on drawn smears, watched while it learns, interrupted, and taken up
again. Then its features are put beside the morphology of other smears: a network that has seen
leukocytes, frozen, in the hybrid.
"""

# %%
# Two sets of smears
# ------------------
# The network learns from the patients of one hospital, and the hybrid from those of another: images
# that a network was trained on say nothing about how good its features are.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from hybridleuk import FineTunedCNN, compare, progress
from hybridleuk.data.artificial import draw_study

folder = Path(tempfile.mkdtemp())
options = {
    "n_patients": 12,
    "images_per_patient_and_class": 6,
    "classes": ("Benign", "Pro"),
    "all_classes_per_patient": True,
}
here = draw_study(folder / "here", random_state=0, **options)
there = draw_study(folder / "there", random_state=1, **options)

# %%
# Training, interrupted
# ---------------------
# Nothing is downloaded in this tutorial, so training begins with random weights; with ``weights``
# left out it would begin with those of ImageNet, and reach more with fewer images. A listener like
# this one is what the command line draws its bar with; here it plays a power cut.


class PowerCut(progress.Listener):
    """Stops the training after some batches."""

    def advanced(self, task: progress.Task) -> None:
        """Learn that a batch is done."""
        if task.unit == "batches" and task.done == 30:
            raise KeyboardInterrupt


network = FineTunedCNN(
    weights="random", image_size=64, epochs=6, batch_size=8, checkpoint=folder / "training"
)
try:
    with progress.report_to(PowerCut()):
        network.fit(here.paths, here.labels, groups=here.groups)
except KeyboardInterrupt:
    print("The light went out.")

# %%
# The same call goes on from the last checkpoint, and ends with the weights that an unbroken
# training would have had.

network.fit(here.paths, here.labels, groups=here.groups)
history = network.history_.set_index("epoch")
history.round(3)

# %%
# A part of the patients was only watched. Their loss says which epoch is kept, and by which
# temperature class scores are divided before they become probabilities.

# sphinx_gallery_alt = "Two curves over the epochs of a training: the loss on the images learned from and on those watched, both falling; a dot marks the epoch that was kept."  # noqa: E501

figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
axis.plot(history["train_loss"], color="0.6", label="learned from")
axis.plot(history["valid_loss"], color="#4b2e83", label="watched")
axis.plot(network.best_epoch_, history["valid_loss"][network.best_epoch_], "o", color="#4b2e83")
axis.set(xlabel="epoch", ylabel="loss")
axis.legend(frameon=False)
print(f"Kept is epoch {network.best_epoch_}; temperature {network.temperature_:.2f}.")

# %%
# Its features in the hybrid
# --------------------------
# The trained backbone becomes a file of weights that says which network it holds, at which size it
# was trained, and on which images. (From a model file: ``hybridleuk backbones export``.)

network.save_backbone(folder / "own.safetensors")
print(f"Trained on {len(network.learned_from_)} image files.")

# %%
# Frozen, it embeds the smears of the other hospital, alone and beside morphology. The same network
# with the random weights that training began with stands beside it. Drawn cells of two kinds are so
# easy that its features tell them apart as well.

deep = ["deep+svm", "hybrid+svm"]
shared = {"folds": 3, "learning_curve": False, "counterfactuals": 0, "layers": "default"}
trained = compare(there, deep, weights=folder / "own.safetensors", **shared)
untrained = compare(there, deep, weights="random", **shared)
for name, result in (("trained", trained), ("untrained", untrained)):
    print(result.table.set_index("name")["balanced_accuracy"].round(3).to_dict(), name)

# %%
# Before anyone has labelled anything
# -----------------------------------
# A backbone can also learn from images without labels, by SimCLR or BYOL, through views of other
# microscopes; :doc:`/user_guide/pretraining` says how. Its file is given as weights, too:
#
# .. code-block:: console
#
#    $ hybridleuk pretrain unlabelled/ -o own.safetensors --method byol --epochs 50
#    $ hybridleuk compare there/ -o comparison/ --candidate hybrid+svm --weights own.safetensors

# %%
# On the command line
# -------------------
#
# .. code-block:: console
#
#    $ hybridleuk fit here/ -o network.hleuk --classifier finetuned --budget 20m
#    $ hybridleuk backbones export network.hleuk -o own.safetensors
#    $ hybridleuk compare there/ -o comparison/ --candidate hybrid+svm --weights own.safetensors
