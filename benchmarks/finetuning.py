"""How well and how fast the fine-tuned network trains: one 80/20 split of real images.

Trains :class:`hybridleuk.FineTunedCNN` on a part of IMAGES (a folder with one sub-folder per class)
and scores it on images it never saw; the inner part that stops the training is taken from the
training images. With ``--throughput``, the training steps alone are timed against the plainest loop
(float32, NCHW, a ``DataLoader`` that decodes in the same process, the same augmentation of the
network's input), taking turns on the same images.

    python benchmarks/finetuning.py IMAGES --weights FILE [--per-class 150] [--set epochs=20 ...]
    python benchmarks/finetuning.py IMAGES --weights FILE --per-class 600 --curve 25 100 400
    python benchmarks/finetuning.py IMAGES --weights FILE --inner 25 --set "mixing='mixup'"
    python benchmarks/finetuning.py IMAGES --weights FILE --per-class 20 --throughput
    python benchmarks/finetuning.py IMAGES --weights FILE --per-class 15 --interrupt
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import log_loss
from torchvision.transforms import (
    ColorJitter,
    Compose,
    Normalize,
    RandomAffine,
    RandomHorizontalFlip,
    Resize,
    ToTensor,
)

from hybridleuk import FineTunedCNN, Manifest, progress, save_model
from hybridleuk.candidates import make_candidate
from hybridleuk.data.images import image_sha256
from hybridleuk.data.splits import hold_out
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.learned import learned_from
from hybridleuk.embeddings.weights import load_network, resolve_weights


class Lines(progress.Listener):
    """Prints a line when something new is known."""

    def __init__(self) -> None:
        self.last = ""

    def advanced(self, task) -> None:
        if task.detail != self.last:
            self.last = task.detail
            print(f"  {task.description}: {task.detail}", flush=True)

    def noted(self, text) -> None:
        print(f"  note: {text}", flush=True)


def part_of(images: Path, per_class: int, seed: int):
    """Draw the same number of images from each class."""
    manifest = Manifest.from_folder(images)
    labels = np.asarray(manifest.labels)
    random = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            random.choice(rows, min(per_class, len(rows)), replace=False)
            for rows in (np.flatnonzero(labels == name) for name in np.unique(labels))
        ]
    )
    return [manifest.paths[i] for i in chosen], labels[chosen]


def divided(paths, labels, arguments):
    """Hold out a fifth of each class, of the images that the weights were not learned from."""
    train, test = hold_out(labels, fraction=0.2, random_state=arguments.seed)
    known = learned_from(resolve_weights(backbone(arguments.backbone), arguments.weights))
    if not known:
        return train, test
    unseen = np.array([image_sha256(path)[:12] not in known for path in paths])
    random = np.random.default_rng(arguments.seed)
    test = np.concatenate(
        [
            random.choice(
                np.flatnonzero(unseen & (labels == name)), np.sum(labels[test] == name), False
            )
            for name in np.unique(labels)
        ]
    )
    print(
        f"{np.sum(~unseen)} images are known to the weights; none of the {len(test)} tested on is"
    )
    return np.setdiff1d(np.arange(len(labels)), test), test


def accuracy(arguments) -> dict:
    paths, labels = part_of(arguments.images, arguments.per_class, arguments.seed)
    train, test = divided(paths, labels, arguments)
    network = FineTunedCNN(arguments.backbone, weights=arguments.weights, **settings(arguments))
    network.set_params(random_state=arguments.seed)
    begun, busy = time.perf_counter(), time.process_time()
    with progress.report_to(Lines()):
        network.fit([paths[i] for i in train], labels[train])
    seconds, busy = time.perf_counter() - begun, time.process_time() - busy
    print(network.history_.round(4).to_string(index=False))
    if arguments.save:
        save_model(network, arguments.save, overwrite=True)
    unseen = [paths[i] for i in test]
    return {
        "train_images": len(train),
        "test_images": len(test),
        "best_epoch": network.best_epoch_,
        "epochs_run": len(network.history_) - 1,
        **{f"orientations_{n}": scored(network, unseen, labels[test], n) for n in (1, 8)},
        "fit_seconds": round(seconds, 1),
        "fit_cpu_seconds": round(busy, 1),
        "waiting_share": round(network.waiting_share_, 5),
        "temperature": round(network.temperature_, 3),
        "precision": network.precision_,
        "image_size": network.image_size_,
        "weights": network.weights_description_,
    }


def inner(arguments) -> dict:
    """Score a recipe on images of the training 80 % alone: what settings are chosen by."""
    manifest = Manifest.from_folder(arguments.images)
    labels = np.asarray(manifest.labels)
    train, _ = hold_out(labels, fraction=0.2, random_state=0)
    np.random.default_rng(1).shuffle(train)
    by_class = [train[labels[train] == name] for name in np.unique(labels)]
    learned = np.concatenate([rows[: arguments.inner] for rows in by_class])
    rest = np.concatenate([rows[60:100] for rows in by_class])
    found = {}
    for seed in (0, 1):
        network = FineTunedCNN(arguments.backbone, weights=arguments.weights, **settings(arguments))
        network.set_params(random_state=seed, validation_fraction=0)
        network.fit([manifest.paths[i] for i in learned], labels[learned])
        found[f"seed_{seed}"] = scored(network, [manifest.paths[i] for i in rest], labels[rest], 1)
    return found


def curve(arguments) -> dict:
    """Score fine-tuning and hybrid+svm, learned from few to many images, on the same test part."""
    paths, labels = part_of(arguments.images, arguments.per_class, arguments.seed)
    train, test = divided(paths, labels, arguments)
    order = np.random.default_rng(arguments.seed).permutation(train)
    found = {}
    for n in arguments.curve:
        rows = np.concatenate([order[labels[order] == name][:n] for name in np.unique(labels)])
        for candidate in arguments.candidate or ("finetuned", "hybrid+svm"):
            model = make_candidate(
                candidate,
                finetuning=settings(arguments),
                weights=arguments.weights,
                backbone=arguments.backbone,
                cache=arguments.cache,
                random_state=arguments.seed,
            )
            busy = time.process_time()
            model.fit([paths[i] for i in rows], labels[rows])
            busy = time.process_time() - busy
            hits = model.predict([paths[i] for i in test]) == labels[test]
            share = round(float(hits.mean()), 4)
            found[f"{candidate}, {n} per class"] = {"accuracy": share, "fit_cpu_s": round(busy)}
            print(candidate, n, found[f"{candidate}, {n} per class"], flush=True)
    return found


def scored(network, images, labels, orientations: int) -> dict:
    """Score a network on images it never saw, with and without its temperature."""
    network.set_params(orientations=orientations)
    begun = time.process_time()
    probabilities = network.predict_proba(images)
    per_image = (time.process_time() - begun) / len(images)
    codes = np.searchsorted(network.classes_, labels)
    hits = probabilities.argmax(axis=1) == codes
    recalls = [hits[codes == code].mean() for code in np.unique(codes)]
    return {
        "accuracy": round(float(hits.mean()), 4),
        "balanced_accuracy": round(float(np.mean(recalls)), 4),
        "log_loss": round(float(log_loss(codes, probabilities)), 4),
        "ece": round(calibration_error(hits, probabilities.max(axis=1)), 4),
        "cpu_ms_per_image": round(1000 * per_image, 2),
    }


def calibration_error(hits, confidence, bins: int = 15) -> float:
    """Expected calibration error of the top probability, equal bins."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [np.abs((hits - confidence)[place == k].sum()) for k in range(bins)]
    return float(np.sum(gaps) / len(hits))


def settings(arguments) -> dict:
    pairs = (pair.split("=", 1) for pair in arguments.set)
    return {name: ast.literal_eval(value) for name, value in pairs}


class PlainImages(torch.utils.data.Dataset):
    def __init__(self, paths, codes, size):
        self.paths, self.codes = paths, codes
        self.transform = Compose(
            [
                Resize((size, size)),
                RandomHorizontalFlip(),
                RandomAffine(180, (0.05, 0.05), (0.9, 1.1)),
                ColorJitter(0.1, 0.1, 0.1),
                ToTensor(),
                Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        with Image.open(self.paths[i]) as picture:
            return self.transform(picture.convert("RGB")), int(self.codes[i])


def plain_epochs(paths, codes, arguments, size: int, epochs: int) -> None:
    """Train the plainest way."""
    network = load_network(backbone(arguments.backbone), arguments.weights).network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    loader = torch.utils.data.DataLoader(PlainImages(paths, codes, size), 32, shuffle=True)
    for _ in range(epochs):
        for images, targets in loader:
            loss = torch.nn.functional.cross_entropy(network(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def throughput(arguments) -> dict:
    """Images per second of CPU time, taking turns; the median of three."""
    paths, labels = part_of(arguments.images, arguments.per_class, arguments.seed)
    codes = np.unique(labels, return_inverse=True)[1]
    options = {"validation_fraction": 0, "epochs": 4, **settings(arguments)}
    rates: dict[str, list[float]] = {"plain": [], "hybridleuk": [], "ratio": []}
    for _ in range(3):
        network = FineTunedCNN(arguments.backbone, weights=arguments.weights, **options)
        busy = time.process_time()
        network.fit(paths, labels)
        rates["hybridleuk"].append(options["epochs"] * len(paths) / (time.process_time() - busy))
        busy = time.process_time()
        plain_epochs(paths, codes, arguments, network.image_size_, options["epochs"])
        rates["plain"].append(options["epochs"] * len(paths) / (time.process_time() - busy))
        rates["ratio"].append(rates["hybridleuk"][-1] / rates["plain"][-1])
        print({name: round(values[-1], 2) for name, values in rates.items()}, flush=True)
    median = {name: round(float(np.median(values)), 2) for name, values in rates.items()}
    return {**median, "waiting_share": round(network.waiting_share_, 5)}


class Counting(progress.Listener):
    """Writes down the batches that are done, for whoever watches from outside."""

    def __init__(self, done) -> None:
        self.done = done

    def advanced(self, task) -> None:
        if task.unit == "batches":
            self.done.value = task.done


def train_once(arguments, checkpoint, done, answer) -> None:
    paths, labels = part_of(arguments.images, arguments.per_class, arguments.seed)
    train, test = hold_out(labels, fraction=0.2, random_state=arguments.seed)
    torch.set_num_threads(1)
    network = FineTunedCNN(
        arguments.backbone,
        weights=arguments.weights,
        checkpoint=checkpoint,
        random_state=arguments.seed,
        **settings(arguments),
    )
    with progress.report_to(Counting(done)):
        network.fit([paths[i] for i in train], labels[train])
    probabilities = network.predict_proba([paths[i] for i in test])
    hits = network.classes_[probabilities.argmax(axis=1)] == labels[test]
    answer.put(
        {
            "accuracy": float(hits.mean()),
            "history": network.history_.drop(columns="seconds").to_dict("list"),
            "probabilities": probabilities.tolist(),
        }
    )


def in_a_process(arguments, checkpoint: Path, limit: float) -> tuple[int, dict | None]:
    """Train in a process of its own, killed after `limit` batches; return batches and answer."""
    spawn = multiprocessing.get_context("spawn")
    answer, done = spawn.Queue(), spawn.Value("i", 0)
    child = spawn.Process(target=train_once, args=(arguments, checkpoint, done, answer))
    child.start()
    while child.is_alive() and answer.empty() and done.value < limit:
        time.sleep(0.01)
    if done.value >= limit:
        child.kill()
    found = None if done.value >= limit else answer.get()
    child.join()
    return done.value, found


def interrupted(arguments) -> dict:
    """Kill a training at three random batches, each time let it go on, and compare the ends."""
    with tempfile.TemporaryDirectory() as folder:
        total, whole = in_a_process(arguments, Path(folder, "whole"), np.inf)
        print(f"unbroken: {total} batches, accuracy {whole['accuracy']:.4f}", flush=True)
        killed = []
        for limit in sorted(points(arguments, total)):
            killed.append(in_a_process(arguments, Path(folder, "broken"), limit)[0])
            print(f"killed after {killed[-1]} batches", flush=True)
        _, found = in_a_process(arguments, Path(folder, "broken"), np.inf)
    return {
        "batches": total,
        "killed_after": killed,
        "accuracy": whole["accuracy"],
        "accuracy_resumed": found["accuracy"],
        "same_history": whole["history"] == found["history"],
        "same_probabilities": whole["probabilities"] == found["probabilities"],
    }


def points(arguments, total: int) -> list[int]:
    return np.random.default_rng(arguments.seed).choice(np.arange(1, total), 3, replace=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--backbone", default="squeezenet1_0")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--per-class", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--save", metavar="FILE", help="keep the fitted network")
    parser.add_argument("--curve", type=int, nargs="+", metavar="N", help="images per class")
    parser.add_argument("--inner", type=int, metavar="N", help="images per class, at most 60")
    parser.add_argument("--cache", default="default")
    parser.add_argument("--candidate", action="append", help="of --curve")
    parser.add_argument("--throughput", action="store_true")
    parser.add_argument("--interrupt", action="store_true")
    arguments = parser.parse_args()
    tasks = {"inner": inner, "curve": curve, "throughput": throughput, "interrupt": interrupted}
    asked = [task for name, task in tasks.items() if getattr(arguments, name)]
    measured = (asked or [accuracy])[0](arguments)
    print(json.dumps({"threads": torch.get_num_threads(), **measured}, indent=2))


if __name__ == "__main__":
    main()
