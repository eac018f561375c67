"""Kill the real command ``hybridleuk extract`` at random moments, resume it, and time a second run.

    python benchmarks/cache.py DATA/pbc-dev --weights WEIGHTS --per-class 8 --kills 20

After every kill the cache must hold only rows of an unbroken run, and none fewer than before; the
file that is written at last must equal that of an unbroken run in every bit.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hybridleuk import Manifest
from hybridleuk.data.cache import Cache
from hybridleuk.data.cache_care import verify
from hybridleuk.features import FeatureTable


def main() -> None:
    """Read the arguments and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--per-class", type=int, default=8)
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder, "manifest.csv")
        Manifest.from_source(arguments.images).sample(arguments.per_class).write(manifest)
        kill_and_resume(Path(folder), manifest, arguments.weights, arguments.kills)


def kill_and_resume(folder: Path, manifest: Path, weights: str, kills: int) -> None:
    """Compare runs that are killed with one that is not."""
    whole = folder / "whole.parquet"
    timed(command(manifest, weights, folder / "warm", folder / "warm.parquet"))  # compiles
    first = timed(command(manifest, weights, folder / "whole", whole))
    second = timed(command(manifest, weights, folder / "whole", whole))
    truth, expected = rows_of(folder / "whole"), FeatureTable.read_parquet(whole)
    print(f"{len(expected)} images: first run {first:.1f} s, second {second:.1f} s")
    moments = random.Random(0)
    killed = rounds = least = 0
    counts: set[int] = set()
    while killed < kills:
        cache, output = folder / f"cache-{rounds}", folder / f"{rounds}.parquet"
        running = subprocess.Popen(command(manifest, weights, cache, output))
        try:
            running.wait(moments.uniform(0, first))
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
        ended = running.wait()
        partial = rows_of(cache)
        assert partial.items() <= truth.items(), "a row differs from the unbroken run"
        assert len(partial) >= least, "a row was lost"
        least = len(partial)
        counts.add(least)
        if ended == -signal.SIGKILL:
            killed += 1
            if killed % 10 == 0:
                print(f"{killed} of {kills} kills, {rounds} runs to the end", flush=True)
            continue
        assert ended == 0
        compare(output, expected, cache, truth)
        rounds, least = rounds + 1, 0
    print(f"{killed} kills, {rounds} runs that got to their end, all as the unbroken one;")
    print(f"rows in the cache after a kill: {', '.join(map(str, sorted(counts)))}")


def command(manifest: Path, weights: str, cache: Path, output: Path) -> list[str]:
    """Return the command under test."""
    program = [sys.executable, "-m", "hybridleuk_cli", "extract", str(manifest), "--quiet"]
    options = ["--weights", weights, "--cache", str(cache), "-o", str(output), "--overwrite"]
    return program + options


def timed(program: list[str]) -> float:
    """Return the seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(program, check=True)
    return time.monotonic() - began


def rows_of(cache: Path) -> dict[str, bytes]:
    """Return all results of a cache, which must be sound."""
    assert verify(cache).sound
    with Cache(cache) as store:
        keys = [row[0] for row in store.fetch("SELECT key FROM entries")]
        return {key: value.tobytes() for key, value in store.get_many(keys).items()}


def compare(output: Path, expected: FeatureTable, cache: Path, truth: dict[str, bytes]) -> None:
    """Check a run that got to its end against the unbroken one."""
    np.testing.assert_array_equal(FeatureTable.read_parquet(output).matrix(), expected.matrix())
    assert rows_of(cache) == truth


if __name__ == "__main__":
    main()
