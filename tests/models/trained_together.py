"""What each process that ``torchrun`` starts does in a test: train, be killed, go on."""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from hybridleuk import FineTunedCNN, progress
from hybridleuk.models import training
from hybridleuk_cli.app import run

OPTIONS = {
    "weights": "random",
    "image_size": 32,
    "workers": 1,
    "device": "cpu",
    "precision": "fp32",
    "augment": False,
    "dropout": 0.0,
    "epochs": 2,
}
# Seven images watched or none; batches of unequal shares, and of fewer images than processes.
CASES = {
    "uneven": (17, {"batch_size": 5, "class_weight": {0: 1.0, 1: 3.0}}),
    "idle": (5, {"batch_size": 1, "epochs": 1, "validation_fraction": 0}),
    "parts": (12, {"batch_size": 6, "accumulate": 2, "averaging": 0, "budget": "1h"}),
}
# Here results depend on the number of processes, since each draws its own random numbers.
STATISTICS = {
    "backbone": "mobilenet_v3_small",
    "batch_size": 8,
    "augment": True,
    "dropout": 0.2,
    "validation_fraction": 0,  # so that the last weights are kept
}


class Killed(BaseException):
    pass


class Heard(progress.Listener):
    def __init__(self):
        self.texts = []

    def opened(self, task):
        self.texts.append(task.description)

    def noted(self, text):
        self.texts.append(text)


def images(n):
    random = np.random.default_rng(0)
    labels = np.arange(n) % 2
    pixels = random.integers(0, 200, (n, 32, 32, 3)) + 50 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


def trained(n, options):
    return FineTunedCNN(**{**OPTIONS, **options}).fit(*images(n))


def weights(network):
    """Return the weights, and the gradients of the last step, whose size AdamW ignores."""
    state = dict(network.network_.state_dict())
    for name, parameter in network.network_.named_parameters():
        if parameter.grad is not None:
            state[f"{name}.gradient"] = parameter.grad
    return {name: value.contiguous() for name, value in state.items()}


def killed_after(steps, options):
    whole, done = training.Training._step, []

    def step(self, *arguments, **named):
        whole(self, *arguments, **named)
        done.append(1)
        if len(done) == steps:
            self._save()
            raise Killed

    training.Training._step = step
    try:
        trained(16, options)
    except Killed:
        return
    finally:
        training.Training._step = whole
    raise AssertionError("it was not killed")


def draw(folder):
    for k, (image, label) in enumerate(zip(*images(8), strict=True)):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"class{label}" / f"{k}.png")


def main(folder, rank):
    torch.set_num_threads(1)
    heard = Heard()
    with progress.report_to(heard):
        for name, (n, options) in CASES.items():
            save_file(weights(trained(n, options)), folder / f"{name}-{rank}.safetensors")
        save_file(weights(trained(16, STATISTICS)), folder / f"unbroken-{rank}.safetensors")
        kept = STATISTICS | {"checkpoint": folder / "kept"}
        killed_after(3, kept)
        save_file(weights(trained(16, kept)), folder / f"resumed-{rank}.safetensors")
    named = ("--weights", "random", "--image-size", "32", "--epochs", "1", "--device", "cpu")
    command = ["fit", str(folder / "smears"), "-o", str(folder / "model.hleuk"), "--json"]
    assert run([*command, "--classifier", "finetuned", *named]) == 0
    (folder / f"heard-{rank}.txt").write_text("\n".join(heard.texts))


if __name__ == "__main__":
    import os

    main(Path(sys.argv[1]), os.environ["RANK"])
