"""What ``hybridleuk pretrain`` gains on a laboratory's own images, by the command as users type it.

    python benchmarks/pretraining.py DATA [--weights WEIGHTS] -o FOLDER --runs simclr:random:12 ...
    python benchmarks/pretraining.py DATA -o FOLDER --interrupt simclr byol supervised

Pretrained is on the training part of ``pbc-dev`` (``smearnet_images.py``), for SimCLR and BYOL in
one flat folder, so without any label. Scored is a frozen network with an SVM on the held-out part,
of which no image was pretrained on: five folds; fitted on 10 images of a class, tested on all
others, mean of five draws; and fitted on the five leukocyte classes, tested on Zheng 1. Beside it
stand smearnet untrained, of both sizes of input, and as it comes, and ImageNet's SqueezeNet where
its weights are named. A run is METHOD:BEGIN:EPOCHS, BEGIN being random, bundled or a file.

``--interrupt`` kills small pretrainings of some methods at three random moments, and compares what
they end with to an unbroken one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from carry_over import CLASSES
from safetensors import safe_open
from safetensors.torch import load_file
from smearnet import ROWS, cross_validated, embedded, label_of, machine, recalls, zheng
from smearnet_images import parts

from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.states import write_weights
from hybridleuk.embeddings.weights import load_network
from hybridleuk.models.pretraining_methods import METHODS

FEW, DRAWS = 10, 5
SMALL = ("--epochs", "8", "--batch-size", "32", "--image-size", "64")


def linked(paths, folder, flat):
    """Show some images in a folder of links, by class or flat."""
    for path in paths:
        link = folder / path.name if flat else folder / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    return folder


def images_for(method, options, paths):
    flat = method != "supervised"
    return linked(paths, options.output / f"{len(paths)}-{'flat' if flat else 'classes'}", flat)


def command(method, begin, images, output, *more):
    return [
        *(sys.executable, "-m", "hybridleuk_cli", "pretrain", str(images), "-o", str(output)),
        *("--method", method, "--backbone", "smearnet", "--weights", begin, "--dataset", "none"),
        *more,
    ]


def pretrained(run, options):
    """Run one pretraining, if its file is not there, and print its curve."""
    method, begin, epochs = run.split(":")
    output = options.output / f"{method}-{begin}-{epochs}.safetensors"
    if not output.is_file():
        images = images_for(method, options, parts(options.data)["train"])
        more = ("--epochs", epochs, "--image-size", str(options.image_size))
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command(method, begin, images, output, *more), check=True)
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{run}: {ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime:.0f} CPU s"
        )
    for line in history_of(output):
        print(f"  epoch {line['epoch']}: probe {line['probe']:.3f}, loss {line['loss']}")
    return str(output)


def history_of(file):
    with safe_open(file, "pt") as opened:
        return json.loads(opened.metadata()["hybridleuk_history"])


def few(rows, labels):
    """Balanced accuracy of an SVM fitted on few images of each class, mean over draws."""
    classes, figures = sorted(set(labels)), []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(labels))
        chosen = np.concatenate([order[labels[order] == name][:FEW] for name in classes])
        others = np.setdiff1d(order, chosen)
        predicted = machine().fit(rows[chosen], labels[chosen]).predict(rows[others])
        figures.append(recalls(labels[others], predicted, classes).mean())
    return np.mean(figures)


def untrained(options):
    """Write smearnet as it begins, with the size of input of the pretrained."""
    file = options.output / "untrained.safetensors"
    record = replace(backbone("smearnet"), input_size=options.image_size, note="", sha256="")
    state = load_network(record, "random", 0).network.state_dict()
    write_weights(file, state, record, {})
    return str(file)


def scored(said, name, weights, options):
    """Print balanced accuracies of one frozen network, by its last layer and by default."""
    paths, (tests, truth) = parts(options.data)["held out"], zheng(options)
    labels = label_of(paths)
    known = np.isin(labels, CLASSES)
    for view, settings in (ROWS[0], ROWS[1]):
        rows = embedded(paths, name, weights, settings, options)
        folds = cross_validated(rows, labels, [0], sorted(set(labels)))[0]
        model = machine().fit(rows[known], labels[known])
        found = model.predict(embedded(tests, name, weights, settings, options))
        away = recalls(truth, found, CLASSES)[:4].mean()
        print(
            f"{said:24s} {view:18s} 5 folds {folds:.3f}, {FEW} of a class {few(rows, labels):.3f}, "
            f"Zheng 1 {away:.3f}",
            flush=True,
        )


def compared(options):
    """Pretrain, and score what came out beside what it began with."""
    files = {run: pretrained(run, options) for run in options.runs}
    if options.weights:
        scored("SqueezeNet, ImageNet", "squeezenet1_0", options.weights, options)
    begins = {"random": "random", f"random, {options.image_size} px": untrained(options)}
    for said, weights in (begins | {"bundled": "bundled"} | files).items():
        scored(said, "smearnet", weights, options)


def interrupted(options):
    """Kill a small pretraining of each of some methods at random moments, and compare the ends."""
    paths, rng = parts(options.data)["train"][::16], np.random.default_rng(0)
    for method in options.interrupt:
        images, ends = images_for(method, options, paths), []
        for kills in (0, 3):
            output = options.output / f"{method}-{kills}-kills.safetensors"
            output.unlink(missing_ok=True)
            shutil.rmtree(output.with_name(f".{output.name}.training"), ignore_errors=True)
            asked = command(method, "random", images, output, *SMALL)
            killed = [killed_in(asked, epoch, rng.random()) for epoch in range(kills)]
            subprocess.run(asked, check=True, capture_output=True)
            ends.append(what_is_in(output))
        same = [a == b for a, b in zip(*ends, strict=True)]
        print(f"{method}: {len(paths)} images, killed {killed}; weights, history equal: {same}")


def killed_in(asked, epoch, delay):
    """Kill a pretraining some time after an epoch, or one after it, is told to be over."""
    running = subprocess.Popen(asked, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    for line in running.stderr:
        told = re.search(r"Epoch (\d+)/", line)
        if told and int(told[1]) >= epoch:
            time.sleep(delay)
            os.kill(running.pid, signal.SIGKILL)
            break
    if running.wait() != -signal.SIGKILL:
        raise SystemExit(f"{' '.join(asked)} ended before it was killed.")
    return f"{delay:.2f} s after epoch {told[1]}"


def what_is_in(file):
    """Return the weights as bytes, and the history without its seconds."""
    weights = {name: value.numpy().tobytes() for name, value in load_file(file).items()}
    return weights, [{**line, "seconds": 0} for line in history_of(file)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with pbc-dev and wbc-zheng-1")
    parser.add_argument("--weights", help="ImageNet weights of SqueezeNet 1.0")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", nargs="*", default=[], metavar="METHOD:BEGIN:EPOCHS")
    parser.add_argument("--image-size", type=int, default=96, help="of the pretrained, px")
    parser.add_argument("--cache", default="default")
    parser.add_argument("--interrupt", nargs="+", choices=METHODS, default=[], help="methods")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    (interrupted if options.interrupt else compared)(options)


if __name__ == "__main__":
    main()
