"""Pretraining on drawn cells: it learns, resumes to the same result, and writes a usable file."""

import dataclasses

import numpy as np
import pytest
import torch

from hybridleuk import DeepEmbeddings, progress
from hybridleuk.data.artificial import draw_cell
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.learned import learned_from, n_learned
from hybridleuk.embeddings.weights import resolve_weights
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.models import pretraining_run
from hybridleuk.models.pretraining import PretrainingRecipe, pretrain
from hybridleuk.models.pretraining_methods import METHODS, Trunk, make_method

KINDS = ("lymphocyte", "eosinophil")
SMALL = {"weights": "random", "image_size": 32, "cache": None, "device": "cpu", "workers": 1}


@pytest.fixture(scope="module")
def cells():
    kinds = [KINDS[i % 2] for i in range(12)]
    return [draw_cell(kind, random_state=i).image for i, kind in enumerate(kinds)], kinds


def recipe(method="supervised", **others):
    if method != "supervised":
        pytest.importorskip("lightly")
    return PretrainingRecipe(method, **{"epochs": 2, "batch_size": 6, **others})


@pytest.mark.parametrize("method", METHODS)
def test_every_method_moves_the_backbone_and_says_how_it_went(method, cells):
    images, kinds = cells
    made = pretrain(images, kinds, recipe=recipe(method), **SMALL)
    assert [line["epoch"] for line in made.history] == [0, 1, 2]
    assert made.history[0]["loss"] is None
    assert all(np.isfinite(line["loss"]) for line in made.history[1:])
    assert all(0 <= line["probe"] <= 1 for line in made.history)
    again = pretrain(images, kinds, recipe=recipe(method, epochs=1), **SMALL)
    moved = [(made.state[k] - again.state[k]).abs().max() for k in made.state if "weight" in k]
    assert max(moved) > 0


def test_classes_are_learned():
    """Dark discs and light rings: what no change of stain, lamp or microscope makes alike."""
    y, x = np.mgrid[:48, :48] - 23.5
    radius, images = np.hypot(y, x), []
    for row in range(16):
        dark = radius < 14 if row % 2 else (radius > 12) & (radius < 16)
        images.append(np.where(dark[..., None], [110, 60, 150], [235, 225, 230]).astype(np.uint8))
    made = pretrain(images, ["ring", "disc"] * 8, recipe=recipe(epochs=12), **SMALL)
    losses = [line["loss"] for line in made.history[1:]]
    assert np.mean(losses[-3:]) < 0.8 * losses[0]


def test_without_labels_the_probe_asks_for_the_same_picture(cells):
    made = pretrain(cells[0], recipe=recipe("simclr", epochs=1), **SMALL)
    assert 0 <= made.history[-1]["probe"] <= 1


@pytest.mark.parametrize(("method", "stop"), [("supervised", 1), ("byol", 3), ("simclr", 2)])
def test_a_run_that_was_killed_ends_with_the_same_weights(
    method, stop, cells, tmp_path, monkeypatch
):
    """Killed after `stop` steps, in the middle of an epoch or at its end."""
    images, kinds = cells
    monkeypatch.setattr(pretraining_run, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole = pretrain(images, kinds, recipe=recipe(method), **SMALL)

    class Killed(Exception):
        pass

    step = pretraining_run.Run._step
    count = 0

    def counted(self, rows):
        nonlocal count
        if count == stop:
            raise Killed
        count += 1
        return step(self, rows)

    monkeypatch.setattr(pretraining_run.Run, "_step", counted)
    with pytest.raises(Killed):
        pretrain(images, kinds, recipe=recipe(method), checkpoint=tmp_path, **SMALL)
    monkeypatch.setattr(pretraining_run.Run, "_step", step)
    resumed = pretrain(images, kinds, recipe=recipe(method), checkpoint=tmp_path, **SMALL)
    for name, value in whole.state.items():
        torch.testing.assert_close(resumed.state[name], value, rtol=0, atol=0)
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_without_labels_color_changes_less():
    named, alone = recipe("supervised").microscope(), recipe("simclr").microscope()
    for change in ("stain", "tint", "hue", "lamp"):
        assert 0 < getattr(alone, change) < getattr(named, change)
    for change in ("field", "pixels", "focus", "surroundings"):
        assert getattr(alone, change) == getattr(named, change)


def test_other_settings_begin_anew_and_say_so(cells, tmp_path):
    told = []

    class Notes(progress.Listener):
        def noted(self, text):
            told.append(text)

    pretrain(*cells, recipe=recipe(epochs=1), checkpoint=tmp_path, **SMALL)
    with progress.report_to(Notes()):
        anew = pretrain(*cells, recipe=recipe(epochs=2), checkpoint=tmp_path, **SMALL)
    assert len(anew.history) == 3
    assert any(f"{tmp_path} holds the state of a training on other" in text for text in told)


def test_a_place_that_cannot_be_written_is_found_before_the_first_step(
    cells, tmp_path, monkeypatch
):
    place = tmp_path / "checkpoint"
    place.touch()
    monkeypatch.setattr(pretraining_run.Run, "_step", lambda *_: pytest.fail("a step was taken"))
    with pytest.raises(OutputError, match="Cannot write the checkpoint"):
        pretrain(*cells, recipe=recipe(epochs=1), checkpoint=place, **SMALL)


def test_the_file_is_taken_as_weights_and_tells_its_images(cells, tmp_path):
    images, kinds = cells
    digests = [f"{i:064x}" for i in range(1, 13)]
    made = pretrain(images, kinds, sha256=digests, recipe=recipe(epochs=1), **SMALL)
    file = tmp_path / "own.safetensors"
    made.write(file)
    record = backbone("smearnet", file)
    assert record.input_size == 32
    assert record.weights_tag.startswith("supervised, 1 epochs from RANDOM")
    assert len(learned_from(resolve_weights(record, file))) == 1  # digits beyond the twelfth differ
    assert n_learned("smearnet", file, digests) == 12
    assert n_learned("smearnet", file, ["f" * 64]) == 0
    rows = DeepEmbeddings("smearnet", weights=file, cache=None).fit_transform(images[:2])
    assert rows.shape == (2, record.width)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize("name", ["squeezenet1_1", "densenet121", "resnet18"])
def test_any_convolutional_backbone_ends_in_its_deepest_layer(name):
    from hybridleuk.embeddings.network import FrozenBackbone, random_network
    from hybridleuk.embeddings.records import blocks_of

    record = backbone(name)
    network = random_network(record, 0)
    trunk = {k: v for k, v in network.state_dict().items() if not record.in_head(k)}
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    expected = FrozenBackbone(record, trunk, blocks_of(record)).embed(pictures)
    light = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        found = Trunk(network, record).eval()(light).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_byol_follows_slowly():
    pytest.importorskip("lightly")
    from hybridleuk.embeddings.network import random_network

    record = backbone("smearnet")
    learner = make_method("byol", Trunk(random_network(record, 0), record), 0)
    with torch.no_grad():
        learner.trunk.network.stem[0].weight.add_(1.0)
    before = learner.slow_trunk.network.stem[0].weight.clone()
    learner.after_step(0.0)
    moved = learner.slow_trunk.network.stem[0].weight - before
    torch.testing.assert_close(moved, torch.full_like(moved, 0.01), rtol=1e-3, atol=1e-5)
    assert not any(p.requires_grad for p in learner.slow_trunk.parameters())


@pytest.mark.parametrize(
    ("change", "labels", "message"),
    [
        ({"method": "supervised"}, None, "'supervised' learns classes, but the images have 0"),
        ({"method": "dino"}, None, "method is 'dino'; expected one of simclr, byol, supervised"),
        ({"epochs": 0}, None, "epochs is 0; expected a whole number from 1 on"),
        ({"batch_size": 1}, None, "batch_size is 1; expected a whole number from 2 on"),
        ({"learning_rate": 2.0}, None, "learning_rate is 2.0; expected between 0 and 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change, labels, message, cells):
    asked = dataclasses.replace(PretrainingRecipe("supervised", epochs=1), **change)
    with pytest.raises(InputError, match=message):
        pretrain(cells[0], labels, recipe=asked, **SMALL)


def test_few_images_and_small_pictures_are_refused(cells):
    images, kinds = cells
    with pytest.raises(InputError, match="3 images to pretrain on; expected at least 4"):
        pretrain(images[:3], kinds[:3], recipe=recipe(), **SMALL)
    with pytest.raises(InputError, match="image_size is 16; expected at least 32 px for smearnet"):
        pretrain(images, kinds, recipe=recipe(), **{**SMALL, "image_size": 16})
    with pytest.raises(InputError, match="12 images but 2 labels"):
        pretrain(images, kinds[:2], recipe=recipe(), **SMALL)


def test_without_lightly_it_says_how_to_get_it(cells, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hybridleuk\[pretrain\]'"):
        pretrain(cells[0], recipe=PretrainingRecipe("simclr", epochs=1), **SMALL)
