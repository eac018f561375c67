import itertools

import pytest

from hybridleuk.report.svg import Scale, element, number, picture, ticks


def test_text_and_attributes_are_escaped():
    made = element("text", "<script>", title='"quoted"', x=None)
    assert str(made) == '<text title="&#34;quoted&#34;">&lt;script&gt;</text>'
    assert str(element("g", element("a", "&"))) == "<g><a>&amp;</a></g>"


def test_pictures_are_read_aloud():
    assert 'role="img" aria-label="ROC of A&amp;B"' in picture(label="ROC of A&B")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1.0, "1"), (0.126, "0.13"), (-0.5, "-0.5"), (10.0, "10")]
)
def test_coordinates_are_short(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.1, 1), (-0.7, 0.7), (0.93, 0.99), (0, 1e-3)])
def test_ticks_are_few_round_and_inside(low, high):
    values = ticks(low, high)
    assert 2 <= len(values) <= 9
    assert low <= values[0] < values[-1] <= high
    steps = {f"{b - a:.9g}" for a, b in itertools.pairwise(values)}
    assert len(steps) == 1
    assert steps.pop().lstrip("0.").rstrip("0").split("e")[0] in {"1", "2", "5"}


def test_scale_is_in_percent_and_held_to_the_track():
    scale = Scale(0.5, 1.0)
    assert [scale(value) for value in (0.5, 0.75, 1.0, 0.2, 1.2)] == [
        "0%",
        "50%",
        "100%",
        "0%",
        "100%",
    ]
