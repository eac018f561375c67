"""Images that weights were learned from are found again, in files, bundles and comparisons."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from hybridleuk.candidates import make_candidates
from hybridleuk.data.artificial import draw_study
from hybridleuk.embeddings.backbones import backbone
from hybridleuk.embeddings.bundle import write_bundle
from hybridleuk.embeddings.learned import KEY, learned_from, learned_text, n_learned
from hybridleuk.embeddings.network import random_network
from hybridleuk.embeddings.states import write_weights
from hybridleuk.embeddings.weights import resolve_weights
from hybridleuk.exceptions import WeightsError
from hybridleuk.models.contamination import contaminated

RECORD = replace(backbone("resnet18"), hub="", url="", sha256="", weights_tag="own")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return draw_study(folder, n_patients=4, images_per_patient_and_class=1, random_state=0)


@pytest.fixture(scope="module")
def file(study, tmp_path_factory):
    """Weights that were learned from three of the study's images."""
    path = tmp_path_factory.mktemp("weights") / "own.safetensors"
    state = random_network(RECORD, 0).state_dict()
    write_weights(path, state, RECORD, learned_text(study.frame["sha256"][:3]))
    return path


def test_a_file_lists_its_images(study, file):
    digests = list(study.frame["sha256"])
    assert learned_from(resolve_weights(RECORD, file)) == {digest[:12] for digest in digests[:3]}
    assert n_learned("resnet18", file, digests) == 3
    assert n_learned("resnet18", file, digests[3:]) == 0
    assert n_learned("resnet18", "random", digests) == 0


def test_so_does_a_bundle_of_it(study, file, tmp_path):
    target = tmp_path / "bundle.zip"
    write_bundle(target, [(RECORD, file)])
    assert n_learned("resnet18", target, study.frame["sha256"]) == 3


def test_a_file_that_says_nothing_has_no_images(study, file, tmp_path):
    plain = tmp_path / "plain.safetensors"
    save_file(load_file(file), plain)
    assert n_learned("resnet18", plain, study.frame["sha256"]) == 0
    torch.save(load_file(file), tmp_path / "plain.pth")
    assert n_learned("resnet18", tmp_path / "plain.pth", study.frame["sha256"]) == 0


@pytest.mark.parametrize(
    "said", ["nonsense", '{"digits": 12}', '{"digits": 12, "images": "0123"}', "[]"]
)
def test_a_damaged_list_is_not_taken_for_none(said, file, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    save_file(load_file(file), damaged, metadata={KEY: said})
    with pytest.raises(WeightsError, match="list of the images it was trained on is damaged"):
        n_learned("resnet18", damaged, ["0" * 64])


def test_candidates_and_sets_that_share_images_are_named(study, file):
    estimators = make_candidates(
        ["morphology+svm", "deep+svm", "hybrid+svm", "finetuned"], backbone="resnet18", weights=file
    )
    rows = np.arange(len(study))
    found = contaminated(estimators, {"": study, "other": study.subset(rows[3:])})
    assert found == [
        {
            "set": "",
            "backbone": "resnet18",
            "candidates": ["deep+svm", "hybrid+svm", "finetuned"],
            "n_learned": 3,
            "n_images": len(study),
        }
    ]
    assert contaminated(make_candidates(["deep+svm"], weights="random"), {"": study}) == []
