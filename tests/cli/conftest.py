"""A small study on disk, and the program run inside the test's process."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hybridleuk_cli.app import run as run_program


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys, monkeypatch) -> Callable[..., Ended]:
    """Run ``hybridleuk ARGUMENTS`` and return exit status, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "100")

    def run_arguments(*arguments: object) -> Ended:
        capsys.readouterr()
        status = run_program([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Ended(status, captured.out, captured.err)

    return run_arguments


def draw(path, *, radius: int, seed: int) -> None:
    """Draw a dark nucleus in a pale cell on an almost white smear."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (64, 64), (236, 226, 226))
    pen = ImageDraw.Draw(image)
    x, y = rng.integers(28, 36, 2)
    outer = radius + 6
    pen.ellipse((x - outer, y - outer, x + outer, y + outer), fill=(190, 170, 215))
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(95, 50, 140))
    noisy = np.asarray(image, dtype=float) + rng.normal(0, 3, (64, 64, 3))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def smears(tmp_path):
    """Two classes of eight images from four patients each: P0_..., P1_..., ..."""
    root = tmp_path / "smears"
    for k, (name, radius) in enumerate((("blast", 15), ("lymphocyte", 8))):
        (root / name).mkdir(parents=True)
        for i in range(8):
            draw(root / name / f"P{k}{i % 4}_{i}.png", radius=radius + i % 2, seed=10 * k + i)
    return root
