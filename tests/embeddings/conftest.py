"""Small images and small weights that the tests of this folder share."""

import numpy as np
import pytest
import torch
from PIL import Image

from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.network import random_network


def pixels(seed=0, size=(48, 56)):
    """Draw a smooth colored image, so that resizing and JPEG leave it as it is."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


@pytest.fixture
def images():
    """Return five arrays, the last the same as the first."""
    return [*(pixels(seed) for seed in range(4)), pixels(0)]


@pytest.fixture
def files(tmp_path):
    """Return six PNG files of different content."""
    paths = [tmp_path / f"cell_{i}.png" for i in range(6)]
    for i, path in enumerate(paths):
        Image.fromarray(pixels(i)).save(path)
    return paths


@pytest.fixture(scope="session")
def squeezenet_state():
    """Return the state dict of an untrained squeezenet1_0, its head included."""
    return random_network(backbone("squeezenet1_0"), 7).state_dict()


@pytest.fixture
def squeezenet_file(tmp_path, squeezenet_state):
    path = tmp_path / "squeezenet.pth"
    torch.save(squeezenet_state, path)
    return path
