"""Cards are whole, agree with the published counts, and their words for cells are known."""

import pytest

from hybridleuk.data.datasets.cards import CARDS, find_card
from hybridleuk.data.datasets.cell_names import CELL_NAMES, PARENTS, cell_name
from hybridleuk.exceptions import InputError

PUBLISHED = {
    "all": 3256,
    "c-nmc": 10_661,
    "all-idb1": 108,
    "all-idb2": 260,
    "aml-matek": 18_365,
    "pbc": 17_092,
    "bloodmnist": 17_092,
    "bccd": 364,
    "zheng-1": 300,
}


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_a_card_is_whole(card):
    for text in (card.title, card.licence, card.terms, card.citation, card.homepage):
        assert text.strip()
    assert card.defects
    assert card.image_parts
    assert len({part.name for part in card.parts}) == len(card.parts)
    assert set(card.cells.values()) <= set(CELL_NAMES)
    assert (card.groups is None) == (card.group_kind == "none")
    assert card.n_images == PUBLISHED.get(card.name, card.n_images)


def test_raabins_two_labelled_parts_hold_what_was_published():
    parts = find_card("raabin").parts
    assert sum(sum(part.counts.values()) for part in parts) == 14_514


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"No data set 'kaggle'; known are all, c-nmc, .*zheng-2"):
        find_card("kaggle")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("neutrophil", "neutrophil"),
        ("NEU", "neutrophil"),
        ("Neutrophils", "neutrophil"),
        ("segmented_neutrophil", "segmented neutrophil"),
        ("NGS", "segmented neutrophil"),
        ("Lymphocyte (typical)", "lymphocyte"),
        ("ig", "immature granulocyte"),
        ("RBC", "red cell"),
        ("Benign", None),
        ("", None),
    ],
)
def test_words_for_cells(said, meant):
    assert cell_name(said) == meant


def test_no_word_means_two_cells():
    words = [word for name, others in CELL_NAMES.items() for word in (name, *others)]
    assert len(words) == len(set(words))
    assert set(PARENTS) | set(PARENTS.values()) <= set(CELL_NAMES)
