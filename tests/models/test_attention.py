"""Heat lies where the signal was drawn, and follows the formula of Grad-CAM."""

import io
from base64 import b64decode
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hybridleuk import FineTunedCNN
from hybridleuk.evaluation.attention import attention_section
from hybridleuk.evaluation.probes import Answer
from hybridleuk.models.attention import AttentionProbe, draw_heat, grad_cam

SIDE, CELL = 128, 36
COLORS = ((150, 60, 60), (60, 60, 150))


def drawn(n, seed=0):
    """A cell somewhere on a noisy smear; its color alone tells the class."""
    rng = np.random.default_rng(seed)
    labels, corners, images = np.arange(n) % 2, [], []
    for label in labels:
        image = np.full((SIDE, SIDE, 3), 205.0) + rng.normal(0, 12, (SIDE, SIDE, 1))
        top, left = rng.integers(4, SIDE - CELL - 4, 2)
        image[top : top + CELL, left : left + CELL] = COLORS[label]
        corners.append((top, left))
        images.append(np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8))
    return images, np.array(["blast", "lymphocyte"])[labels], np.array(corners)


@pytest.fixture(scope="module")
def fitted():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    images, labels, _ = drawn(32)
    network = FineTunedCNN(
        weights="random", image_size=SIDE, epochs=6, batch_size=8, augment=False, workers=1,
        validation_fraction=0, learning_rate=1e-3,
    )  # fmt: skip
    yield network.fit(images, labels)
    torch.set_num_threads(before)


def test_the_heat_lies_on_the_cell(fitted):
    images, labels, corners = drawn(16, seed=1)
    assert (fitted.predict(images) == labels).mean() > 0.9
    codes = np.searchsorted(fitted.classes_, labels)
    heats = grad_cam(fitted, fitted.inputs(images), codes)
    on_cell = []
    for heat, (top, left) in zip(heats, corners, strict=True):
        on_cell.append(heat[top : top + CELL, left : left + CELL].mean() / heat.mean())
    assert np.median(on_cell) > 2.5, "times the mean heat of the whole picture"
    assert heats.min() >= 0
    assert np.allclose(heats.max(axis=(1, 2)), 1)


def test_before_the_last_layer_it_is_the_map_weighted_by_the_head(fitted):
    pictures = fitted.pictures(drawn(2, seed=2)[0])
    network = fitted.network_
    with torch.no_grad():
        maps = network.maps(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255)
        weights = network.head[-1].weight / network.spread
        expected = torch.einsum("k,nkyx->nyx", weights[1], maps).clamp(min=0)
    expected = expected / expected.amax(dim=(1, 2), keepdim=True)
    large = torch.nn.functional.interpolate(
        expected[:, None], size=(SIDE, SIDE), mode="bilinear", align_corners=False
    )[:, 0]
    heats = grad_cam(fitted, fitted.inputs(drawn(2, seed=2)[0]), [1, 1])
    assert np.allclose(heats, large / large.amax(dim=(1, 2), keepdim=True), atol=1e-4)


def test_what_is_asked_does_not_change_the_network(fitted):
    images = drawn(4, seed=3)[0]
    before = fitted.predict_proba(images)
    grad_cam(fitted, fitted.inputs(images), [0, 1, 0, 1])
    assert np.array_equal(fitted.predict_proba(images), before)
    assert grad_cam(fitted, replace(fitted.inputs(images), rows=np.arange(0)), []).shape == (
        0,
        SIDE,
        SIDE,
    )


def test_the_picture_shows_the_image_beside_it_under_heat():
    picture = np.full((4, 4, 3), 120, dtype=np.uint8)
    heat = np.zeros((4, 4))
    heat[1, 2] = 1
    drawn_heat = draw_heat(picture, heat)
    assert drawn_heat.shape == (4, 8, 3)
    assert np.array_equal(drawn_heat[:, :4], picture)
    changed = (drawn_heat[:, 4:] != picture).any(axis=2)
    assert np.argwhere(changed).tolist() == [[1, 2]]
    assert drawn_heat[1, 6].sum() > 3 * 120, "hot is bright"


class Sure:
    """A classifier that calls every image lymphocyte, the later ones with more certainty."""

    def __init__(self, network):
        self.network, self.classes_ = network, network.classes_

    def predict_proba(self, images):
        chance = np.linspace(0.6, 0.9, len(images))
        return np.column_stack([1 - chance, chance])

    def __getattr__(self, name):
        return getattr(self.network, name)


def test_the_most_certain_calls_right_and_wrong_are_drawn(fitted):
    images, labels, _ = drawn(12, seed=4)
    pixels = np.empty(12, dtype=object)
    pixels[:] = images
    study = SimpleNamespace(images=pixels, labels=labels, classes=["blast", "lymphocyte"])
    probe = AttentionProbe(pictures=2)
    assert probe.applies_to(FineTunedCNN())
    assert not probe.applies_to(object())
    answer = probe.ask(Sure(fitted), study, (None, np.arange(12)))
    assert answer["rows"].tolist() == [11, 9, 10, 8]
    assert answer["predicted"].tolist() == [1, 1, 1, 1]
    assert answer["pictures"].shape == (4, SIDE, 2 * SIDE, 3)

    identity = pd.DataFrame({"image_id": [f"i{k}" for k in range(12)]})
    context = SimpleNamespace(
        main_split="random",
        study=study,
        manifest=SimpleNamespace(frame=identity),
        results={
            "random": {
                "finetuned": SimpleNamespace(
                    answers={"attention": [Answer(np.arange(12), answer)]}
                ),
                "other": SimpleNamespace(answers={}),
            }
        },
    )
    found = attention_section(context)
    assert [entry["image_id"] for entry in found] == ["i11", "i9", "i10", "i8"]
    assert [entry["right"] for entry in found] == [True, True, False, False]
    assert {entry["predicted"] for entry in found} == {"lymphocyte"}
    head, _, content = found[0]["picture"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(b64decode(content))).size == (2 * SIDE, SIDE)
    context.results["random"].pop("finetuned")
    assert attention_section(context) is None
