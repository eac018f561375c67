"""Train the backbone that comes in the package, and write its weights.

    python benchmarks/train_smearnet.py --data DATA --teacher squeezenet1_0-imagenet.pth -o FILE

It learns to name the eight classes of PBC's training part (``smearnet_images.py``), whole images
and each cell alone on white, as other microscopes would show them, and to say what SqueezeNet says
of the unchanged picture (distillation), of the leukocytes of BCCD too, which have no labels. The
mean of the weights over the last steps is written. ``--log`` gets one line for each epoch: losses,
and the accuracy of a nearest-neighbor vote for images that are only watched, as they are and under
artificial microscopes.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from carry_over import shifted
from PIL import Image
from safetensors.torch import save_file
from smearnet_images import CLASSES, fields, parts, pictures, taught
from torch import nn
from torch.nn import functional
from train_detector import follow

from hybridleuk.data.images import image_sha256
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.described import metadata_for
from hybridleuk.embeddings.learned import learned_text
from hybridleuk.embeddings.smearnet import SmearNet
from hybridleuk.models.microscopes import CELL_ALONE, OtherMicroscope

INPUT, COARSE = 128, 96  # px
KEPT = 160  # px of the pictures that views are made of
TAUGHT = 128  # values that the teacher says of a picture
BATCH = 64
MEAN, STD = torch.tensor([0.75, 0.65, 0.75]), torch.tensor([0.2, 0.2, 0.2])


class Student(nn.Module):
    """SmearNet with what is needed only while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmearNet(len(CLASSES))
        self.classes = nn.Linear(2 * 192, len(CLASSES))
        self.classes_early = nn.Linear(2 * 96, len(CLASSES))
        self.taught = nn.Linear(2 * (96 + 192), TAUGHT)

    def forward(self, light):
        network = self.network
        values = ((light - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)).contiguous(
            memory_format=torch.channels_last
        )
        middle = network.stage2(network.stage1(network.stem(values)))
        early, late = _pooled(middle), _pooled(network.stage3(middle))
        return (
            self.classes(late),
            self.classes_early(early),
            self.taught(torch.cat([early, late], 1)),
        )


def _pooled(maps):
    side = maps.shape[-1]
    middle = slice(side // 3, side - side // 3)
    means = [maps.float().mean((2, 3)), maps[:, :, middle, middle].float().mean((2, 3))]
    return torch.cat(means, 1)


def prepared(data: Path, teacher: str, keep: Path, cache: str) -> dict:
    """Cut all pictures and ask the teacher, or read what an earlier run kept."""
    if keep.is_file():
        return smaller(torch.load(keep, weights_only=True))
    listed = parts(data)
    trained = [*listed["train"], *fields(data)]
    number = [CLASSES.index(p.parent.name) if p.parent.name in CLASSES else -1 for p in trained]
    found = pictures(trained, number, cache)
    watch = listed["watch"]
    found["watch"] = pictures(watch, [CLASSES.index(p.parent.name) for p in watch], cache)
    found["trained on"] = torch.from_numpy(
        np.array([list(bytes.fromhex(image_sha256(path))) for path in trained], np.uint8)
    )
    both = torch.cat([found["image"], found["cell"]])
    found["taught"] = taught(both, teacher, TAUGHT).view(2, len(found["label"]), TAUGHT)
    torch.save(found, keep)
    return smaller(found)


def smaller(found: dict) -> dict:
    """Bring the pictures that views are made of to one size, little above the network's input."""
    for name in ("image", "cell", "mask"):
        levels = found[name] if found[name].ndim == 4 else found[name][..., None]
        parts = [
            functional.interpolate(
                part.permute(0, 3, 1, 2).float(), (KEPT, KEPT), mode="bilinear", antialias=True
            )
            for part in levels.split(64)
        ]
        found[name] = torch.cat([p.round().to(torch.uint8) for p in parts])
    return found


def light(levels):
    """Bring levels, uint8, to light between 0 and 1."""
    return levels.float() / 255


def shown(found, rows, alone, side):
    """Show pictures under other microscopes: whole ones, or cells alone on white."""
    if alone:
        everywhere, white = torch.ones(len(rows), 1, KEPT, KEPT), torch.ones(len(rows), 3)
        return CELL_ALONE(light(found["cell"][rows]), everywhere, white, side=side)
    mask, smear = light(found["mask"][rows]), found["smear"][rows].float()
    return OtherMicroscope()(light(found["image"][rows]), mask, smear, side=side)


def loss_of(student, inputs, label, taught_values):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        late, early, said = student(inputs)
    known = label >= 0
    named = functional.cross_entropy(late.float()[known], label[known], label_smoothing=0.1)
    named_early = functional.cross_entropy(early.float()[known], label[known], label_smoothing=0.1)
    apart = 1 - functional.cosine_similarity(said.float(), taught_values, dim=1).mean()
    return named + 0.4 * named_early + 2.0 * apart, named, apart


@torch.no_grad()
def embedded(student, whole):
    """Embed pictures (n, 3, side, side) as they are."""
    rows = []
    for part in whole.split(64):
        small = functional.interpolate(light(part), (INPUT, INPUT), mode="bilinear", antialias=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows.append(student(small)[2].float())
    return functional.normalize(torch.cat(rows), dim=1)


def watched_as(levels):
    """Show the images that are only watched as they are and under artificial microscopes."""
    listed = {"as it is": levels}
    for name, kind in (("other stain", "s"), ("both", "sf")):
        rng = np.random.default_rng(0)
        changed = (Image.fromarray(shifted(picture.numpy(), kind, rng)) for picture in levels)
        listed[name] = torch.from_numpy(np.stack([c.resize((INPUT, INPUT)) for c in changed]))
    return {name: pictures.permute(0, 3, 1, 2) for name, pictures in listed.items()}


def watched(student, found, listed):
    """Accuracy of the nearest 10 for images that are only watched."""
    label = found["label"]
    some = torch.nonzero(label >= 0).flatten()[::2]
    memory = embedded(student, found["image"][some])
    figures = {}
    for name, levels in listed.items():
        near = (embedded(student, levels) @ memory.T).topk(10).indices
        votes = functional.one_hot(label[some][near], len(CLASSES)).sum(1).argmax(1)
        figures[name] = round(float((votes == found["watch"]["label"]).float().mean()), 4)
    return figures


def train(found, options):
    torch.manual_seed(options.seed)
    student = Student().to(memory_format=torch.channels_last)
    average = copy.deepcopy(student).eval()
    n, step = len(found["label"]), 0
    per_epoch = 2 * n // BATCH
    decayed = [p for p in student.parameters() if p.ndim > 1]
    others = [p for p in student.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        options.rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.epochs * per_epoch, pct_start=0.1
    )
    listed = watched_as(found["watch"]["image"])
    with_cell = torch.nonzero(found["has"]).flatten()
    for epoch in range(options.epochs):
        began, sums = time.process_time(), np.zeros(3)
        side = COARSE if epoch < options.coarse else INPUT
        student.train()
        whole = torch.randperm(n)
        cells = with_cell[torch.randperm(len(with_cell))].repeat(2)
        for i in range(per_epoch):
            half = BATCH // 2
            first = whole[i * half : (i + 1) * half]
            second = cells[i * half : (i + 1) * half]
            inputs = torch.cat([shown(found, first, False, side), shown(found, second, True, side)])
            label = found["label"][torch.cat([first, second])]
            said = torch.cat([found["taught"][0][first], found["taught"][1][second]])
            losses = loss_of(student, inputs, label, said)
            optimizer.zero_grad()
            losses[0].backward()
            optimizer.step()
            schedule.step()
            step += 1
            follow(average, student, min(0.995, step / (step + 50)))
            sums += [float(value.detach()) for value in losses]
        total, named, apart = (sums / per_epoch).round(4).tolist()
        line = {"epoch": epoch + 1, "loss": total, "classes": named, "teacher": apart}
        if (epoch + 1) % options.every == 0 or epoch + 1 == options.epochs:
            line |= watched(average, found, listed)
            torch.save(average.state_dict(), options.output.with_suffix(".state"))
        line["cpu_seconds"] = round(time.process_time() - began, 1)
        with options.log.open("a") as log:
            log.write(json.dumps(line) + "\n")
        print(line, flush=True)
    return average


def write(average, trained_on, target):
    """Write the network in half precision, with its record and the images it was trained on."""
    record = replace(backbone("smearnet"), sha256="", note="")
    halves = {
        name: value.half().contiguous()
        for name, value in average.network.state_dict().items()
        if not record.in_head(name) and value.dtype.is_floating_point
    }
    digests = [bytes(row.tolist()).hex() for row in trained_on]
    save_file(halves, str(target), metadata_for(record) | learned_text(digests))
    print(f"{sum(value.numel() for value in halves.values()):,} values in {target}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the sources")
    parser.add_argument("--teacher", required=True, help="ImageNet weights of SqueezeNet 1.0")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--keep", type=Path, default=Path("smearnet-pictures.pt"))
    parser.add_argument("--cache", default="default", help="of the cells found")
    parser.add_argument("--log", type=Path, default=Path("train_smearnet.jsonl"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--coarse", type=int, default=30, help="epochs of 96 px, the first ones")
    parser.add_argument("--rate", type=float, default=2.5e-3, help="the highest")
    parser.add_argument("--every", type=int, default=2, help="epochs between looks")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = prepared(options.data, options.teacher, options.keep, options.cache)
    print(f"{len(found['label'])} pictures of {len(found['trained on'])} images")
    write(train(found, options), found["trained on"], options.output)


if __name__ == "__main__":
    main()
