"""From another data set's words to one's own."""

import pytest

from hybridleuk.data.datasets.cards import find_card
from hybridleuk.data.datasets.mapping import map_labels, read_mapping, suggest_mapping
from hybridleuk.data.datasets.reading import read_dataset
from hybridleuk.exceptions import ManifestError


def table(tmp_path, text):
    path = tmp_path / "words.csv"
    path.write_text(text)
    return path


def test_a_table_of_words(tmp_path):
    path = table(tmp_path, "label,becomes\nNGS,neutrophil\nKSC,\n")
    assert read_mapping(path) == {"NGS": "neutrophil", "KSC": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "expected 'label'"),
        ("label,becomes\nx,y\nx,z\n", "stands there twice"),
        ("label,becomes\n,z\n", "label is empty"),
    ],
)
def test_a_table_that_is_none(tmp_path, text, said):
    with pytest.raises(ManifestError, match=said):
        read_mapping(table(tmp_path, text))


def test_a_finer_kind_becomes_the_wider_one_and_never_the_other_way():
    assert suggest_mapping(["SNE", "BNE"], ["neutrophil"]) == {
        "SNE": "neutrophil",
        "BNE": "neutrophil",
    }
    assert suggest_mapping(["neutrophil"], ["segmented neutrophil"]) == {"neutrophil": None}


def test_words_of_a_card_come_before_those_of_the_language():
    card = find_card("c-nmc")
    assert suggest_mapping(["all", "hem"], ["lymphoblast"], card) == {
        "all": "lymphoblast",
        "hem": None,
    }


def test_two_data_sets_in_the_same_words(draw):
    aml, wanted = read_dataset(draw("aml-matek")), ["neutrophil", "myeloblast"]
    mapped = map_labels(aml, suggest_mapping(aml.classes, wanted, find_card("aml-matek")))
    assert mapped.classes == sorted(wanted)
    assert len(mapped) == 3
    assert mapped.n_found == aml.n_found
    (reason,) = mapped.skipped["reason"]
    assert "class 'KSC' is left out by the mapping" in reason


def test_a_class_that_the_table_forgot(draw):
    with pytest.raises(ManifestError, match="does not name the class 'NGS'"):
        map_labels(read_dataset(draw("aml-matek")), {"MYO": "blast", "KSC": None})


def test_nothing_left(draw):
    aml = read_dataset(draw("aml-matek"))
    with pytest.raises(ManifestError, match="leaves out every image"):
        map_labels(aml, dict.fromkeys(aml.classes))


def test_no_labels(draw):
    with pytest.raises(ManifestError, match="nothing to rename"):
        map_labels(read_dataset(draw("bccd")), {})
