"""Other tools that embed images, run as their documentation recommends, for ``embeddings.py``.

Imports nothing of hybridleuk, so that it runs in an environment of the peer's own:

    python benchmarks/embeddings_peers.py timm resnet50 < paths.txt
    PEER/bin/python benchmarks/embeddings_peers.py thingsvision squeezenet1_0 < paths.txt

The first line read is the number of paths that follow, one each; for every further line, all
images are embedded once, and seconds (wall clock, CPU) and the shape of the rows printed. Weights
are untrained, which does not change the time. Each peer reads and crops by its own transform.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path


def timm_loop(name, paths):
    """timm's model without its head, its own transform, channels-last, bf16 autocast."""
    import timm
    import torch
    from PIL import Image

    network = timm.create_model(name, pretrained=False, num_classes=0).eval()
    network = network.to(memory_format=torch.channels_last)
    settings = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**settings, is_training=False)

    class Images(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return transform(Image.open(paths[index]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Images(), batch_size=32, num_workers=os.cpu_count() or 1)

    def run():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            return torch.cat(
                [
                    network(batch.contiguous(memory_format=torch.channels_last)).float()
                    for batch in loader
                ]
            ).shape

    return run


_MODULES = {"squeezenet1_0": "features.12", "squeezenet1_1": "features.12"}


def thingsvision_loop(name, paths):
    """thingsvision's extractor over a folder, as in its README; the pooled last layer."""
    from thingsvision import get_extractor
    from thingsvision.utils.data import DataLoader, ImageDataset

    extractor = get_extractor(model_name=name, source="torchvision", device="cpu", pretrained=False)
    folder, out = Path(tempfile.mkdtemp()), tempfile.mkdtemp()
    for number, path in enumerate(paths):
        (folder / f"{number:06d}{Path(path).suffix}").symlink_to(Path(path).resolve())

    def run():
        images = ImageDataset(
            root=str(folder),
            out_path=out,
            backend=extractor.get_backend(),
            transforms=extractor.get_transformations(),
        )
        batches = DataLoader(dataset=images, batch_size=32, backend=extractor.get_backend())
        return extractor.extract_features(
            batches=batches,
            module_name=_MODULES.get(name, "avgpool"),
            flatten_acts=True,
            output_type="ndarray",
        ).shape

    return run


PEERS = {"timm": timm_loop, "thingsvision": thingsvision_loop}


def cpu_seconds():
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main() -> None:
    peer, name = sys.argv[1:3]
    out, sys.stdout = sys.stdout, sys.stderr  # what a peer prints is no answer
    count = int(sys.stdin.readline())
    paths = [sys.stdin.readline().rstrip("\n") for _ in range(count)]
    try:
        run = PEERS[peer](name, paths)
    except (ImportError, RuntimeError, ValueError) as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"}), file=out, flush=True)
        return
    print(json.dumps({"ready": peer}), file=out, flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), cpu_seconds()
        shape = list(run())
        spent = {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu, "shape": shape}
        print(json.dumps(spent), file=out, flush=True)


if __name__ == "__main__":
    main()
