"""All cards, by name."""

from __future__ import annotations

from hybridleuk.data.datasets import cards_leukemia, cards_leukocytes
from hybridleuk.data.datasets.card import DatasetCard
from hybridleuk.exceptions import InputError

__all__ = ["CARDS", "find_card"]

CARDS: dict[str, DatasetCard] = {
    card.name: card for card in (*cards_leukemia.CARDS, *cards_leukocytes.CARDS)
}


def find_card(name: str) -> DatasetCard:
    """Return the card of a data set.

    Raises
    ------
    InputError
        There is none of this name.
    """
    if name not in CARDS:
        raise InputError(f"No data set {name!r}; known are {', '.join(CARDS)}.")
    return CARDS[name]
