"""Two views, measurements, own weights and large sets of images, as a user meets them."""

import copy
import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hybridleuk import DeepEmbeddings, FineTunedCNN, HybridFeatures, load_model, save_model
from hybridleuk.data.artificial import draw_cell
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.learned import n_learned
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import write_weights
from hybridleuk.exceptions import InputError
from hybridleuk.models import training_data
from hybridleuk.segmentation.hsv import purple

SMALL = {"weights": "random", "image_size": 32, "batch_size": 8, "workers": 1, "cache": None}
KINDS = ["lymphocyte", "neutrophil"] * 6


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cells():
    return [draw_cell(kind, random_state=i).image for i, kind in enumerate(KINDS)]


def test_the_second_channel_is_the_image_outside_of_what_is_purple_black(cells):
    fitted = FineTunedCNN(**{**SMALL, "image_size": 96}, second_view="hsv", epochs=1)
    pixels = fitted.fit(cells, KINDS).inputs(cells[:3]).pixels
    assert pixels.shape == (3, 96, 96, 6)
    whole, cut = pixels[..., :3], pixels[..., 3:]
    painted = (cut == 0).all(axis=3)
    assert 0.3 < painted.mean() < 0.98
    inside = ~painted & (np.abs(whole.astype(int) - cut).max(axis=3) <= 1)
    assert inside.sum() > 0.5 * (~painted).sum()
    assert purple(whole[0])[inside[0]].mean() > 0.6
    assert np.array_equal(fitted.pictures(cells[:3]), whole)


@pytest.mark.parametrize("extra", [{"second_view": "segmented"}, {"morphology": True}])
def test_saved_loaded_and_cloned_they_predict_the_same(cells, tmp_path, extra):
    fitted = FineTunedCNN(**SMALL, epochs=1, **extra).fit(cells, KINDS)
    expected = fitted.predict_proba(cells)
    save_model(fitted, tmp_path / "m.hleuk")
    assert np.array_equal(load_model(tmp_path / "m.hleuk").predict_proba(cells), expected)
    assert np.array_equal(copy.deepcopy(fitted).predict_proba(cells), expected)


def test_measurements_are_those_of_the_hybrid_scaled_by_what_is_learned_from(cells):
    fitted = FineTunedCNN(**SMALL, morphology=True, epochs=1).fit(cells, KINDS)
    learned = np.setdiff1d(np.arange(len(cells)), fitted.watched_)
    expected = HybridFeatures("morphology", cache=None, workers=1)
    expected.fit([cells[i] for i in learned])
    np.testing.assert_allclose(fitted.measure(cells), expected.transform(cells), atol=1e-6)
    scores = []
    for rows in (fitted.measure(cells), -fitted.measure(cells)):
        batch = next(iter(fitted.inputs(cells).in_order(torch.device("cpu"))))
        scores.append(fitted.network_(batch.images, torch.from_numpy(rows)).detach())
    assert (scores[0] - scores[1]).abs().max() > 0.1, "measurements count"


def test_weights_that_say_which_network_they_hold_are_trained_under_any_name(cells, tmp_path):
    record = backbone("squeezenet1_1")
    file = tmp_path / "own.safetensors"
    write_weights(file, random_network(record, 5).state_dict(), record)
    fitted = FineTunedCNN("ours", **{**SMALL, "weights": file}, epochs=1).fit(cells, KINDS)
    assert fitted.record_.architecture == "squeezenet1_1"
    expected = fitted.predict_proba(cells)
    save_model(fitted, tmp_path / "m.hleuk")
    file.unlink()  # the model file brings everything along
    assert np.array_equal(load_model(tmp_path / "m.hleuk").predict_proba(cells), expected)


def test_pictures_that_do_not_fit_in_memory_lie_in_a_file(cells, monkeypatch):
    expected = FineTunedCNN(**SMALL, epochs=1).fit(cells, KINDS)
    monkeypatch.setattr(training_data, "available_memory", lambda: 1000)
    fitted = FineTunedCNN(**SMALL, epochs=1).fit(cells, KINDS)
    assert isinstance(fitted.inputs(cells).pixels, np.memmap)
    assert np.array_equal(fitted.predict_proba(cells), expected.predict_proba(cells))
    monkeypatch.setattr(training_data.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"12 images take .* GB.*TMPDIR"):
        FineTunedCNN(**SMALL, epochs=1).fit(cells, KINDS)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"second_view": "cells"}, "second_view is 'cells'; expected one of None, 'segmented'"),
        ({"mixing": "cutout"}, "mixing is 'cutout'"),
        ({"orientations": 3}, "orientations is 3"),
        ({"averaging": 1}, "averaging is 1"),
        ({"accumulate": 9}, "accumulate is 9; expected at least 1 and at most 8"),
    ],
)
def test_parameters_that_cannot_be_meant(cells, parameters, message):
    with pytest.raises(InputError, match=message):
        FineTunedCNN(**{**SMALL, **parameters}).fit(cells, KINDS)


def test_its_backbone_becomes_weights_that_embed_as_it_does(cells, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(len(cells))]
    for path, cell in zip(paths, cells, strict=True):
        Image.fromarray(cell).save(path)
    fitted = FineTunedCNN(**{**SMALL, "image_size": 64}, epochs=1).fit(paths, KINDS)
    fitted.save_backbone(tmp_path / "own.safetensors")
    embeddings = DeepEmbeddings(
        "ours", weights=tmp_path / "own.safetensors", layers="default", pooling="avg", cache=None
    )
    batch = next(iter(fitted.inputs(cells).in_order(torch.device("cpu"))))
    with torch.no_grad():
        expected = fitted.network_.features(batch.images).numpy()
    np.testing.assert_allclose(embeddings.fit_transform(paths), expected, atol=1e-4)
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    assert n_learned("ours", tmp_path / "own.safetensors", [*digests, "0" * 64]) == len(paths)
    # What is trained from there on knows these images, too.
    again = FineTunedCNN("ours", **{**SMALL, "weights": tmp_path / "own.safetensors"}, epochs=1)
    again.fit(cells, KINDS)
    assert again.learned_from_ == fitted.learned_from_ == sorted(d[:12] for d in digests)
