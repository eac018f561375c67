"""Pseudo-groups find sittings and copies that were drawn, the same ones every time."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import adjusted_rand_score, homogeneity_score

from hybridleuk import Manifest
from hybridleuk.data.near_duplicates import NearPair
from hybridleuk.evaluation.pseudo_groups import acquisition_clusters, pseudo_groups
from hybridleuk.exceptions import SplitError

KINDS = ("lymphocyte", "neutrophil")


def picture(rng, dark):
    """A cell of random place, shape and granules on an almost white ground."""
    y, x = np.mgrid[:64, :64]
    top, left, height, width = rng.uniform([24, 24, 9, 9], [40, 40, 16, 16])
    inside = ((y - top) / height) ** 2 + ((x - left) / width) ** 2 < 1
    granules = np.kron(rng.normal(0, 18, (16, 16)), np.ones((4, 4)))
    values = np.where(inside, dark + granules, 232) + rng.normal(0, 2, (64, 64))
    return np.clip(values, 0, 255)[..., None] * np.array([1, 0.97, 0.98])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Fourteen sittings of light and stain of their own, eight images each, and four copies."""
    folder = tmp_path_factory.mktemp("sittings")
    rng = np.random.default_rng(0)
    lights = rng.uniform(0.72, 1.0, (14, 3))
    paths, labels, sittings = [], [], []
    for sitting, light in enumerate(lights):
        for number in range(8):
            kind = KINDS[number % 2]
            image = picture(rng, dark=70 + 40 * (number % 2))
            path = folder / kind / f"{sitting:02d}_{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray((image * light).astype(np.uint8)).save(path)
            paths.append(path)
            labels.append(kind)
            sittings.append(sitting)
    for number in range(4):  # turned copies of images of one sitting, in another light
        with Image.open(paths[number]) as opened:
            turned = opened.rotate(90)
        path = folder / labels[number] / f"copy_{number}.png"
        Image.fromarray((np.asarray(turned) * 0.9).astype(np.uint8)).save(path)
        paths.append(path)
        labels.append(labels[number])
        sittings.append(0)
    return Manifest.from_paths(paths, labels), np.array(sittings)


@pytest.fixture(autouse=True)
def _copies_are_known(monkeypatch):
    """Finding copies is tested where it is done; here the planted ones are known."""

    def planted(images, **_):
        return [NearPair(place, 112 + place, 1.0) for place in range(max(0, len(images) - 112))]

    monkeypatch.setattr("hybridleuk.evaluation.pseudo_groups.near_duplicates", planted)


def test_sittings_and_copies_are_found(drawn):
    manifest, sittings = drawn
    grouped = pseudo_groups(manifest, cache=None, n_jobs=1)
    found = grouped.groups
    assert grouped.group_kind == "pseudo"
    assert all(name.startswith("pseudo-") for name in found)
    assert grouped.group_rule.startswith("pseudo: ")
    assert "4 copies" in grouped.group_rule
    assert list(found[-4:]) == list(found[:4]), "copies lie with what they show"
    assert adjusted_rand_score(sittings, found) > 0.8
    assert homogeneity_score(found, sittings) > 0.95, "a sitting is not torn apart"


def test_the_same_images_give_the_same_groups(drawn):
    manifest, _ = drawn
    some = manifest.subset(np.arange(40))
    first, again = (pseudo_groups(some, cache=None, n_jobs=1).groups for _ in range(2))
    assert list(first) == list(again)


def test_every_class_is_in_enough_groups():
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(0, 0.2, (300, 4)), rng.normal(9, 0.2, (300, 4))])
    labels = np.repeat(["a", "b"], 300)
    found = acquisition_clusters(features, labels, per_class=5)
    assert min(len(np.unique(found[labels == name])) for name in "ab") >= 5


def test_few_images_are_refused(drawn):
    with pytest.raises(SplitError, match="Pseudo-groups of 6 images; expected 20 at least"):
        pseudo_groups(drawn[0].subset(np.arange(6)), cache=None)
