"""What is watched during a training: groups whole, and nothing that the first weights know."""

import numpy as np
import pytest

from hybridleuk import FineTunedCNN, progress
from hybridleuk.data.artificial import draw_study
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.learned import learned_text
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import write_weights
from hybridleuk.exceptions import SplitError
from hybridleuk.models.training_split import inner_split

LABELS = np.array(["ALL", "normal"] * 60)
GROUPS = np.repeat(np.arange(24), 5)


class Notes(progress.Listener):
    def __init__(self):
        self.said = []

    def noted(self, text):
        self.said.append(text)


def known(count):
    return np.arange(len(LABELS)) < count


def split(*arguments):
    notes = Notes()
    with progress.report_to(notes):
        learned, watched = inner_split(LABELS, *arguments)
    assert sorted([*learned, *watched]) == list(range(len(LABELS)))
    return learned, watched, notes.said


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_what_the_first_weights_know_is_not_watched(groups):
    unaware = split(groups, 0.2, 0)[1]
    assert known(60)[unaware].any()
    _, watched, said = split(groups, 0.2, 0, known(60))
    assert 18 <= len(watched) <= 30
    assert set(LABELS[watched]) == {"ALL", "normal"}
    assert not known(60)[watched].any()
    assert not said


def test_nor_another_image_of_a_group_of_which_they_know_one():
    first_of_each = np.arange(len(LABELS)) % 5 == 0
    few = first_of_each & (GROUPS < 14)
    learned, watched, said = split(GROUPS, 0.2, 1, few)
    assert GROUPS[watched].min() >= 14
    assert not set(GROUPS[learned]) & set(GROUPS[watched])
    assert not said


@pytest.mark.parametrize(
    "mask", [known(110), known(120), LABELS == "ALL"], ids=["few left", "none left", "one class"]
)
def test_where_too_few_others_are_there_it_is_said(mask):
    _, watched, said = split(GROUPS, 0.2, 0, mask)
    assert np.array_equal(watched, split(GROUPS, 0.2, 0)[1])
    (note,) = said
    assert f"learned from {mask.sum()} of the 120 training images" in note


def test_weights_that_know_none_change_nothing():
    assert np.array_equal(split(None, 0.25, 3, known(0))[1], split(None, 0.25, 3)[1])


def test_nothing_is_watched_where_nothing_is_asked_for():
    assert len(split(GROUPS, 0, 0, known(60))[1]) == 0


def test_too_few_images_to_watch_are_refused_with_the_way_out():
    with pytest.raises(SplitError, match="set validation_fraction=0"):
        inner_split(np.array(["ALL", "normal", "normal"]), None, 0.2, 0)


def test_a_network_watches_none_of_the_images_that_its_weights_list(tmp_path):
    record = backbone("smearnet")
    study = draw_study(tmp_path, n_patients=8, images_per_patient_and_class=2, random_state=0)
    file = tmp_path / "own.safetensors"
    listed = study.frame["sha256"].to_numpy()[::3]
    write_weights(file, random_network(record, 0).state_dict(), record, learned_text(listed))
    network = FineTunedCNN("smearnet", weights=file, image_size=32, epochs=1, cache=None)
    network.fit(study.paths, study.labels)
    assert len(network.watched_) >= 4
    assert not set(study.frame["sha256"].to_numpy()[network.watched_]) & set(listed)
