"""Extraction that is killed, or runs beside itself, in children of one process that imports once.

Run as ``python resume_worker.py FOLDER kill N`` or ``... together N``; prints one JSON object.
Every child does all that ``extract`` does: it lists, hashes, decodes, measures and embeds
images through the cache, and writes one Parquet file. Only the network is a small stand-in.
"""

import gc
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from hybridleuk.data.cache import Cache
from hybridleuk.data.file_hashes import remembering_files
from hybridleuk.data.manifest import Manifest
from hybridleuk.embeddings.backbones import BACKBONES, Block
from hybridleuk.embeddings.extraction import Network, Recipe, extract_rows
from hybridleuk.features import FeatureTable
from hybridleuk.morphology.extractor import MorphologyFeatures

N_IMAGES = 4
BLOCKS = (Block("features.5", "avg", 6), Block("features.12", "avg", 10))
PROJECTION = np.random.default_rng(0).normal(size=(48, 16)).astype(np.float32)


def draw(folder):
    y, x = np.mgrid[:48, :48] - 24
    for number in range(N_IMAGES):
        image = np.full((48, 48, 3), 235, dtype=np.uint8)
        image[np.hypot(y, x) < 17] = (190, 170, 215)
        image[np.hypot(y, x - number % 3) < 9 + number / 2] = (95, 50, 140)
        place = folder / "images" / ("blast" if number % 2 else "other")
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{number}.png"
        Image.fromarray(image).save(path)
        os.utime(path, (1e9, 1e9))  # long ago, so that its hash may be remembered


def embed(pictures):
    means = pictures.reshape(len(pictures), -1, 48).mean(axis=1, dtype=np.float32)
    return means @ PROJECTION


def extract(folder, cache_folder, output):
    with remembering_files(cache_folder):
        manifest = Manifest.from_folder(folder / "images")
    manifest = manifest.checked(cache=cache_folder, n_jobs=1)
    paths = list(manifest.paths)
    recipe = Recipe(BACKBONES["squeezenet1_0"], BLOCKS, "image", "fp32", "a stand-in")
    with Cache(cache_folder) as cache:
        rows = extract_rows(
            paths,
            recipe,
            lambda: Network(embed, 1, torch.device("cpu")),
            cache=cache,
            workers=2,
            cache_folder=cache_folder,
        )
    measured = MorphologyFeatures(["shape"], ["mean"], cache=cache_folder, n_jobs=1)
    blocks = {
        "morphology": pd.DataFrame(measured.transform(paths)).rename(columns=str),
        "embedding__standin__image": pd.DataFrame(rows).rename(columns=str),
    }
    FeatureTable(manifest.frame.drop(columns="path"), blocks, {}).write_parquet(output)


def start(folder, cache_folder, output):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        extract(folder, cache_folder, output)
        status = 0
    finally:
        os._exit(status)


def content(output):
    table = FeatureTable.read_parquet(output)
    return table.identity.to_numpy().tolist(), table.matrix().tolist()


def rows_of(cache_folder):
    """Everything in a cache; the same key twice, or a row without a value, would show."""
    with Cache(cache_folder) as cache:
        assert cache.fetch("PRAGMA integrity_check") == [("ok",)]
        keys = [row[0] for row in cache.fetch("SELECT key FROM entries")]
        assert len(keys) == cache.fetch("SELECT COUNT(*) FROM contents")[0][0]
        found = cache.get_many(keys)
        assert cache.damaged == 0
        assert len(found) == len(keys)
        return {key: value.tobytes() for key, value in found.items()}


def timed(folder, number):
    began = time.monotonic()
    child = start(folder, folder / f"timed{number}", folder / f"timed{number}.parquet")
    assert os.waitpid(child, 0)[1] == 0
    return time.monotonic() - began


def killed_at_random(folder, kills):
    """Kill `kills` runs, each resumed by the next; whenever one gets to its end, begin anew."""
    duration = min(timed(folder, number) for number in range(3))
    truth, rows = content(folder / "whole.parquet"), rows_of(folder / "whole")
    moments = random.Random(0)
    killed = finished = 0
    kept = []
    cache_folder, output = folder / "cache-0", folder / "0.parquet"
    while killed < kills:
        child = start(folder, cache_folder, output)
        time.sleep(moments.uniform(0, duration))
        os.kill(child, signal.SIGKILL)  # a child that has ended waits to be asked for its status
        status = os.waitpid(child, 0)[1]
        partial = rows_of(cache_folder)
        assert partial.items() <= rows.items(), "a row differs from the unbroken run"
        assert len(partial) >= (kept[-1] if kept else 0), "a row was lost"
        kept.append(len(partial))
        if os.WIFSIGNALED(status):
            killed += 1
            assert not output.exists() or content(output) == truth
            continue
        assert status == 0
        assert content(output) == truth
        assert partial == rows
        finished += 1
        kept.append(0)
        cache_folder, output = folder / f"cache-{finished}", folder / f"{finished}.parquet"
    assert os.waitpid(start(folder, cache_folder, output), 0)[1] == 0
    assert content(output) == truth
    assert rows_of(cache_folder) == rows
    left = len(set(kept))
    return {
        "killed": killed,
        "finished": finished + 1,
        "states": left,
        "rows": len(rows),
        "duration": duration,
    }


def together(folder, processes):
    """Run several at once on one cache that is not there yet."""
    outputs = [folder / f"{number}.parquet" for number in range(processes)]
    children = [start(folder, folder / "shared", output) for output in outputs]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * processes
    truth = content(folder / "whole.parquet")
    assert all(content(output) == truth for output in outputs)
    assert rows_of(folder / "shared") == rows_of(folder / "whole")
    return {"processes": processes, "rows": len(rows_of(folder / "shared"))}


if __name__ == "__main__":
    place, what, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(1)
    draw(place)
    # What is imported on the way is imported here, not in every child.
    extract(place, place / "whole", place / "whole.parquet")
    gc.freeze()  # no child shall copy what it does not change
    gc.disable()
    print(json.dumps((killed_at_random if what == "kill" else together)(place, number)))
