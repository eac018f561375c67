"""Train the network that counts the cells of a field, and write its weights.

Run as ``python benchmarks/train_detector.py --data FOLDER -o FILE.safetensors``. It learns from
three sources: fields of ``bccd-trainval`` that ``train.txt`` names (boxes of people, many cells
missing), drawn fields of many stains (every box known), and every other image of ``pbc-dev`` (only
what the middle shows is known). ``val.txt`` is never looked at. With ``--hold-out 5`` every fifth
field of ``train.txt`` is kept out and scored, which is how the thresholds were chosen.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import ndimage as ndi

from hybridleuk.data.annotations.voc import read_voc
from hybridleuk.data.artificial import LEUKOCYTES, draw_field, draw_patient
from hybridleuk.data.images import read_image
from hybridleuk.segmentation.detector import KINDS
from hybridleuk.segmentation.detector_network import FieldNetwork
from hybridleuk.segmentation.resample import resample
from hybridleuk.segmentation.stain import estimate_background, optical_density

STORED_RADIUS = 20.0
RADII = (9.5, 17.0)
BCCD_RADIUS, PBC_RADIUS = 51.5, 37.0
PBC_SIZES = {"platelet": 11.0}
PBC_LEUKOCYTE_SIZE = 27.0
N_DRAWN = 60


@dataclasses.dataclass
class Example:
    """A field at a red cell's radius of 20 px; `known` says which kinds were annotated."""

    source: str
    density: np.ndarray
    boxes: dict
    known: dict


def shrunk(image, radius):
    ratio = STORED_RADIUS / radius
    shape = tuple(round(side * ratio) for side in image.shape[:2])
    small = np.rint(resample(image, shape)).astype(np.uint8)
    return optical_density(small, estimate_background(small)), ratio


def from_bccd(folder, stem):
    image = read_image(folder / "JPEGImages" / f"{stem}.jpg")
    density, ratio = shrunk(image, BCCD_RADIUS)
    drawn = read_voc(str(folder / "Annotations" / f"{stem}.xml"), image.shape[:2])
    # The published weights were trained on the corners as the files have them, from 1.
    boxes = {k: [np.add(c.box, (1, 1, 0, 0)) for c in drawn.of_kind(k)] for k in KINDS}
    boxes = {kind: np.array(b, float).reshape(-1, 4) * ratio for kind, b in boxes.items()}
    known = {"WBC": 1.0, "Platelets": 1.0, "RBC": float(len(boxes["RBC"]) > 0)}
    return Example("bccd", density, boxes, known)


def from_drawing(seed):
    random = np.random.default_rng(seed + 1000)
    patient = dataclasses.replace(
        draw_patient(seed),
        red_cell_density=float(random.uniform(3, 11)),
        platelet_density=float(random.uniform(0.3, 2.5)),
    )
    kinds = list(random.choice(sorted(LEUKOCYTES), random.integers(0, 3)))
    spacing = 3.75 / STORED_RADIUS
    drawn = draw_field(kinds, size=(186, 246), spacing=spacing, patient=patient, random_state=seed)
    boxes = {
        "WBC": [cell.box for cell in drawn.cells],
        "RBC": drawn.red_cells,
        "Platelets": drawn.platelets,
    }
    density = optical_density(drawn.image, estimate_background(drawn.image))
    boxes = {kind: np.array(b, float).reshape(-1, 4) for kind, b in boxes.items()}
    return Example("drawn", density, boxes, dict.fromkeys(KINDS, 1.0))


def from_pbc(path):
    density, _ = shrunk(read_image(path), PBC_RADIUS)
    middle = np.tile(np.array(density.shape[:2]) / 2, 2)
    half = PBC_SIZES.get(path.parent.name, PBC_LEUKOCYTE_SIZE)
    boxes = {kind: np.zeros((0, 4)) for kind in KINDS}
    kind = "Platelets" if path.parent.name == "platelet" else "WBC"
    boxes[kind] = (middle + np.array([-half, -half, half, half]))[None]
    return Example("pbc", density, boxes, {})


def examples(data, stems):
    fields = [from_bccd(data / "bccd-trainval", stem) for stem in stems]
    drawn = [from_drawing(seed) for seed in range(N_DRAWN)]
    crops = []
    for folder in sorted(p for p in (data / "pbc-dev").iterdir() if p.is_dir()):
        paths = sorted(p for p in folder.glob("*.jpg") if not p.name.startswith("."))[::2]
        step = 4 if folder.name == "platelet" else 15
        crops += [from_pbc(path) for path in paths[::step]]
    return fields + drawn + crops


def stained_otherwise(density, random):
    """Another stain and camera: channels mixed and scaled, an offset, blur, noise."""
    mixing = np.eye(3) + random.normal(0, 0.05, (3, 3))
    strength = np.exp(random.normal(0, 0.2)) * np.exp(random.normal(0, 0.1, 3))
    changed = density @ mixing.T * strength + random.normal(0, 0.015, 3)
    if random.random() < 0.3:
        width = random.uniform(0.3, 1.0)
        changed = ndi.gaussian_filter(changed, (width, width, 0))
    return changed + random.normal(0, random.uniform(0, 0.02), changed.shape)


def batch(chosen, radius, random):
    """Examples at one scale, all turned alike, padded to one size; inputs and targets."""
    ratio = radius / STORED_RADIUS
    shape = np.max([np.ceil(np.array(e.density.shape[:2]) * ratio) for e in chosen], axis=0)
    transpose, pad = random.random() < 0.5, int(random.integers(0, 9))
    rows = [_prepared(e, ratio, shape.astype(int), transpose, pad, random) for e in chosen]
    inputs, boxes = zip(*rows, strict=True)
    targets = [
        target(b, e, i[..., 3], radius) for b, e, i in zip(boxes, chosen, inputs, strict=True)
    ]
    stacked = torch.from_numpy(np.stack(inputs).astype(np.float32)).permute(0, 3, 1, 2)
    return stacked, *(torch.from_numpy(np.stack(t)) for t in zip(*targets, strict=True))


def _prepared(example, ratio, shape, transpose, pad, random):
    size = np.rint(np.array(example.density.shape[:2]) * ratio).astype(int)
    density = stained_otherwise(resample(example.density, tuple(size)), random)
    inputs = np.zeros((*shape, 4))
    inputs[: size[0], : size[1], :3] = density[: shape[0], : shape[1]]
    inputs[: size[0], : size[1], 3] = 1
    scale = np.tile(size / np.array(example.density.shape[:2]), 2)
    boxes = {kind: b * scale for kind, b in example.boxes.items()}
    for axis in (0, 1):
        if random.random() < 0.5:
            inputs = np.flip(inputs, axis)
            boxes = {kind: _flipped(b, axis, shape[axis]) for kind, b in boxes.items()}
    if transpose:
        inputs = inputs.transpose(1, 0, 2)
        boxes = {kind: b[:, [1, 0, 3, 2]] for kind, b in boxes.items()}
    return np.pad(inputs, ((pad, pad), (pad, pad), (0, 0))), {k: b + pad for k, b in boxes.items()}


def _flipped(boxes, axis, side):
    flipped = boxes.copy()
    flipped[:, axis], flipped[:, axis + 2] = side - boxes[:, axis + 2], side - boxes[:, axis]
    return flipped


def target(boxes, example, inside, radius):
    """Maps of centers and logarithmic sizes at half the scale, and how much each place counts."""
    shape = tuple((side + 1) // 2 for side in inside.shape)
    y, x = np.mgrid[: shape[0], : shape[1]] * 2 + 0.5
    centers, counts = np.zeros((2, 3, *shape), np.float32)
    sizes, size_counts = np.zeros((2, 6, *shape), np.float32)
    for k, kind in enumerate(KINDS):
        counts[k] = example.known.get(kind, 0.0) * inside[::2, ::2]
        if example.source == "pbc" and kind != "RBC":
            (box,) = np.concatenate(list(boxes.values()))
            middle = (box[:2] + box[2:]) / 2 - 0.5
            counts[k] = np.hypot(y - middle[0], x - middle[1]) < 0.55 * radius
        for box in boxes[kind]:
            middle, size = (box[:2] + box[2:]) / 2 - 0.5, np.maximum(box[2:] - box[:2], 2.0)
            bell = ((y - middle[0]) / (0.16 * size[0] + 0.35)) ** 2
            bell = np.exp(-0.5 * (bell + ((x - middle[1]) / (0.16 * size[1] + 0.35)) ** 2))
            row, column = np.rint((middle - 0.5) / 2).astype(int)
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                bell[row, column] = 1.0
            mine = (bell > centers[k]) & (bell > 0.4)
            centers[k] = np.maximum(centers[k], bell)
            if example.source != "pbc":
                for axis in (0, 1):
                    sizes[2 * k + axis][mine] = np.log(size[axis] / radius)
                    size_counts[2 * k + axis][mine] = bell[mine]
    return centers, counts, sizes, size_counts


def loss_of(maps, centers, counts, sizes, size_counts):
    """Focal loss that forgives near a center, and absolute error of the logarithmic sizes."""
    p = torch.sigmoid(maps[:, :3]).clamp(1e-4, 1 - 1e-4)
    at_center = (centers >= 0.999) * counts
    elsewhere = (centers < 0.999) * counts * (1 - centers) ** 4
    focal = at_center * (1 - p) ** 2 * p.log() + elsewhere * p**2 * (1 - p).log()
    error = (size_counts * (maps[:, 3:] - sizes).abs()).sum() / size_counts.sum().clamp(min=1)
    return -focal.sum() / at_center.sum().clamp(min=1) + 0.5 * error


def batches(sources, random):
    for source, at_most in (("bccd", None), ("drawn", None), ("pbc", 48)):
        mine = sources[source]
        chosen = [mine[i] for i in random.permutation(len(mine))][:at_most]
        yield from (chosen[i : i + 4] for i in range(0, len(chosen) - 3, 4))


def train(items, epochs, seed):
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = FieldNetwork()
    network.head.bias.data[:3] = -3.0
    average, step = copy.deepcopy(network), 0
    sources = {name: [e for e in items if e.source == name] for name in ("bccd", "drawn", "pbc")}
    steps = epochs * len(list(batches(sources, random)))
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=steps + 1, pct_start=0.1
    )
    for epoch in range(epochs):
        began, losses = time.monotonic(), []
        listed = list(batches(sources, random))
        for i in random.permutation(len(listed)):
            radius = float(np.exp(random.uniform(*np.log(RADII))))
            inputs, *targets = batch(listed[i], radius, random)
            loss = loss_of(network.train()(inputs), *targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            step += 1
            follow(average, network, min(0.998, step / (step + 50)))
        print(f"{epoch} {np.mean(losses):.3f} {time.monotonic() - began:.0f} s", flush=True)
    return average.eval()


@torch.no_grad()
def follow(average, network, keep):
    for mean, value in zip(
        average.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if mean.dtype.is_floating_point:
            mean.mul_(keep).add_(value, alpha=1 - keep)
        else:
            mean.copy_(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the sources")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--hold-out", type=int, default=0, help="keep every n-th field out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stems = (options.data / "bccd-trainval" / "train.txt").read_text().split()
    kept_out = stems[:: options.hold_out] if options.hold_out else []
    items = examples(options.data, [stem for stem in stems if stem not in kept_out])
    network = train(items, options.epochs, options.seed)
    halves = {
        name: value.half() if value.dtype.is_floating_point else value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(halves, str(options.output), metadata={"trained_on": "bccd-trainval, pbc-dev, drawn"})
    print(f"{sum(v.numel() for v in halves.values()):,} parameters in {options.output}")


if __name__ == "__main__":
    main()
