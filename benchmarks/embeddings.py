"""Images per second of the embeddings, from JPEG files to stored rows, beside the plain loop.

The plain loop is what most tools run: torchvision's network in float32 and NCHW order, fed by a
``DataLoader`` with its defaults. All contestants take turns over the same images, several times,
and the median is given, so that a machine with other work slows all of them alike; images per
second of CPU time (all threads) are given too. "Network alone" has its pictures in memory already.

    python benchmarks/embeddings.py IMAGES --weights FILE [--backbone squeezenet1_0] [--n 200]
    python benchmarks/embeddings.py IMAGES --weights FILE --backbone resnet50 --peers \
        --thingsvision PEER/bin/python
    python benchmarks/embeddings.py IMAGES --weights FILE --device cuda --n 4800
    python benchmarks/embeddings.py IMAGES --weights FILE --memory

On every device the network alone is also given as a share of what arithmetic and memory allow
(``embeddings_limit.py``). On a GPU files are read once more after the system was told to forget
them, which is what a disk costs, and nvJPEG is timed beside the decoder that is used.
``--peers`` (on a CPU) takes timm into the turns, as its documentation recommends, and thingsvision
from an environment of its own; each in a process that loads once (``embeddings_peers.py``). The
last form embeds a tenth of the images and all of them, each in a process of its own, and gives the
greatest memory both had.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torchvision
from embeddings_limit import limit
from PIL import Image
from torch import nn
from torchvision.transforms import Compose, Normalize, Resize, ToTensor

from hybridleuk import DeepEmbeddings, Manifest, read_image
from hybridleuk.embeddings.backbones import backbone, blocks_of
from hybridleuk.embeddings.network import FrozenBackbone
from hybridleuk.embeddings.preprocessing import view_pictures
from hybridleuk.embeddings.runtime import default_batch_size, default_workers, running_beside
from hybridleuk.embeddings.weights import load_network, resolve_weights, trunk_state


class PlainImages(torch.utils.data.Dataset):
    def __init__(self, paths, record):
        self.paths = paths
        size = (record.input_size, record.input_size)
        self.transform = Compose([Resize(size), ToTensor(), Normalize(record.mean, record.std)])

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def plain_loop(record, weights, device):
    network = load_network(record, weights).network.to(device)
    if hasattr(network, "features") and record.name.startswith(("squeezenet", "vgg")):
        network = nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        setattr(network, record.head[0], nn.Identity())

    def run(paths):
        loader = torch.utils.data.DataLoader(PlainImages(paths, record), batch_size=32)
        with torch.no_grad():
            return torch.cat([network(batch.to(device)).cpu() for batch in loader]).numpy()

    return run


def ours(name, weights, precision, device="cpu", *, from_disk=False):
    def run(paths):
        if from_disk:
            forget(paths)
        with tempfile.TemporaryDirectory() as folder:
            made = DeepEmbeddings(
                name, weights=weights, precision=precision, cache=folder, device=device
            )
            return made.fit_transform(paths)

    return run


def forget(paths):
    """Ask the system to drop files from its memory, so that they are read from the disk again."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def network_alone(network, precision, pictures):
    device = network.factor.device
    size = default_batch_size(device)
    batches = [pictures[i : i + size] for i in range(0, len(pictures), size)]

    def embed(batch):
        return network.embed(batch, precision=precision, batch_size=size)

    def run(_):
        with running_beside(device) as (pool, _):
            return np.concatenate(list(pool.map(embed, batches)))

    return run


def print_limit(network, record, seconds, n):
    """Say what share of the machine's limits the network alone reaches."""
    device = network.factor.device
    for precision in ("fp32", "bf16"):
        at_most, operations, bandwidth = limit(
            network, record, precision, default_batch_size(device)
        )
        wall = median(wall for wall, _ in seconds[f"network alone, {precision}"])
        print(
            f"{precision}: {n / wall:.3g} of at most {at_most:.3g} images/s "
            f"({n / wall / at_most:.0%}) at {operations / 1e12:.3g} TFLOP/s of a matrix product "
            f"and {bandwidth / 1e9:.0f} GB/s of a copy"
        )


def print_decoders(paths):
    """Decode JPEG files as the program does, in threads, and by nvJPEG, from memory."""
    contents = [Path(path).read_bytes() for path in paths]
    with ThreadPoolExecutor(default_workers()) as pool:
        begin = time.perf_counter()
        plain = list(pool.map(read_image, paths))
        rate = len(paths) / (time.perf_counter() - begin)
    print(f"decoded in {default_workers()} threads: {rate:.0f}/s")
    coded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    for _ in range(2):  # the first round warms up
        begin = time.perf_counter()
        made = [
            picture.cpu()
            for i in range(0, len(coded), 256)
            for picture in torchvision.io.decode_jpeg(coded[i : i + 256], device="cuda")
        ]
        rate = len(paths) / (time.perf_counter() - begin)
    most = max(
        int(np.abs(one.numpy().transpose(1, 2, 0).astype(int) - two).max())
        for one, two in zip(made, plain, strict=True)
    )
    print(f"decoded by nvJPEG: {rate:.0f}/s; pixels differ by up to {most} levels")


class Peer:
    """Another tool in a process of its own, which takes its turn when it is called."""

    def __init__(self, python, peer, name, paths):
        script = Path(__file__).with_name("embeddings_peers.py")
        self.process = subprocess.Popen(
            [python, str(script), peer, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.say("\n".join([str(len(paths)), *map(str, paths)]))
        self.problem = self.answer().get("problem")

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"problem": "it ended without a word"}

    def turn(self):
        self.say("again")
        spent = self.answer()
        if "problem" in spent:
            raise SystemExit(f"A peer stopped: {spent['problem']}")
        return spent["wall"], spent["cpu"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def peers(arguments, name, paths):
    """Start the peers that are there and know the backbone; say why another one is left out."""
    started = {}
    for peer, python in (("timm", sys.executable), ("thingsvision", arguments.thingsvision)):
        if python is None:
            print(f"{peer} left out: --thingsvision names the Python of its environment")
            continue
        made = Peer(python, peer, name, paths)
        if made.problem:
            print(f"{peer} left out: {made.problem}")
            made.end()
        else:
            started[f"{peer}, bf16" if peer == "timm" else peer] = made
    return started


def measure(contestants, paths, repeats, others=()):
    """Run all contestants in turn; return their rows, and seconds (wall, CPU) of every round."""
    others = dict(others)
    rows, seconds = {}, {name: [] for name in (*contestants, *others)}
    for run in contestants.values():
        run(paths[:32])
    for peer in others.values():
        peer.turn()
    for _ in range(repeats):
        for name, run in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            rows[name] = run(paths)
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        for name, peer in others.items():
            seconds[name].append(peer.turn())
    for peer in others.values():
        peer.end()
    return rows, seconds


def second_run(name, weights, paths):
    with tempfile.TemporaryDirectory() as folder:
        made = DeepEmbeddings(name, weights=weights, cache=folder)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            made.fit_transform(paths)
            times.append(time.perf_counter() - start)
    return times


def embed_once(name, weights, paths):
    """Embed images in this process and print its greatest memory in MiB."""
    import resource

    ours(name, weights, "auto")(paths)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def print_memory(arguments, paths):
    """Compare the memory of a tenth of the images with that of all."""
    peaks = []
    for every in (10, 1):
        command = [sys.executable, __file__, arguments.images, "--weights", arguments.weights]
        command += ["--backbone", arguments.backbone, "--memory-of-every", str(every)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(int(done.stdout.split()[-1]))
        print(f"{len(paths[::every])} images: at most {peaks[-1]} MiB", flush=True)
    print(f"{100 * (peaks[1] / peaks[0] - 1):+.1f} %")


def cosine(one, two):
    return (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--backbone", default="squeezenet1_0")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peers", action="store_true", help="take other tools into the turns")
    parser.add_argument("--thingsvision", help="Python of an environment with thingsvision")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-of-every", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory or arguments.memory_of_every:
        paths = Manifest.from_source(arguments.images).paths
        if arguments.memory:
            print_memory(arguments, paths)
        else:
            few = paths[:: arguments.memory_of_every]
            embed_once(arguments.backbone, arguments.weights, few)
        return
    record, weights = backbone(arguments.backbone), arguments.weights
    manifest = Manifest.from_source(arguments.images)
    paths = manifest.sample(-(-arguments.n // len(set(manifest.labels)))).paths[: arguments.n]
    pictures = np.concatenate([view_pictures("image", read_image(p), None, record) for p in paths])
    device = torch.device(arguments.device)
    state = trunk_state(resolve_weights(record, weights))
    network = FrozenBackbone(record, state, blocks_of(record)).to(device)
    contestants = {
        "plain loop, float32": plain_loop(record, weights, device),
        "fp32": ours(record.name, weights, "fp32", device),
        "bf16": ours(record.name, weights, "bf16", device),
        "network alone, fp32": network_alone(network, "fp32", pictures),
        "network alone, bf16": network_alone(network, "bf16", pictures),
    }
    if device.type == "cuda":
        from_disk = ours(record.name, weights, "bf16", device, from_disk=True)
        contestants["bf16, from disk"] = from_disk
    others = peers(arguments, record.name, paths) if arguments.peers else {}
    rows, seconds = measure(contestants, paths, arguments.repeats, others)
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(
        f"{record.name}, {len(paths)} images, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}, {platform.machine()}, {load}"
    )
    plain = rows["plain loop, float32"]
    reference = [wall for wall, _ in seconds["plain loop, float32"]]
    print(f"{'':22s} images/s  times plain  images/CPU-s  cosine to plain, worst")
    for name, times in seconds.items():
        wall, cpu = (median(column) for column in zip(*times, strict=True))
        ratio = median(r / w for r, (w, _) in zip(reference, times, strict=True))
        worst = f"{cosine(rows[name], plain).min():.6f}" if name in rows else "its own pictures"
        rates = f"{len(paths) / wall:8.1f}  {ratio:11.2f}  {len(paths) / cpu:12.1f}"
        print(f"{name:22s} {rates}  {worst}")
    print_limit(network, record, seconds, len(paths))
    if device.type == "cuda":
        print_decoders(paths)
    largest = np.abs(rows["fp32"] - plain).max() / np.abs(plain).max()
    print(f"fp32 against the plain loop: largest difference {largest:.1e} of the largest value")
    first, second = second_run(record.name, weights, paths)
    print(f"first run {first:.2f} s, second run {second:.3f} s ({100 * second / first:.2f} %)")


if __name__ == "__main__":
    main()
