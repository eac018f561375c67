import numpy as np
import pytest

from hybridleuk.evaluation.compare import compare_estimators
from hybridleuk.evaluation.costs import Costs, mean_cost, read_costs
from hybridleuk.evaluation.resampling import Resamples
from hybridleuk.exceptions import InputError


def written(tmp_path, text):
    path = tmp_path / "costs.csv"
    path.write_text(text)
    return path


def test_costs_are_read_by_the_names_of_rows_and_columns(tmp_path):
    path = written(tmp_path, "true,normal,blast\nblast,10,0\nnormal,0,1.5\n")
    costs = read_costs(path).ordered(["normal", "blast"])
    assert costs.classes == ("normal", "blast")
    assert costs.matrix.tolist() == [[0, 1.5], [10, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("true,a,b\na,0,1\n", "have the rows a and the columns a, b; expected the same classes"),
        ("true,a,b\na,0,1\na,1,0\n", "expected the same classes in both, each once"),
        ("true,a,b\na,0,-1\nb,1,0\n", "empty, no number or below zero"),
        ("true,a,b\na,0,much\nb,1,0\n", "empty, no number or below zero"),
        ("true,a,b\na,0,\nb,1,0\n", "empty, no number or below zero"),
        ("", "cannot be read from .*expected a CSV file"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_costs(written(tmp_path, text))


def test_a_missing_file_and_a_missing_class_are_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read from .*none.csv"):
        read_costs(tmp_path / "none.csv")
    with pytest.raises(InputError, match="say nothing of the class c; expected one row"):
        Costs(("a", "b"), np.zeros((2, 2))).ordered(["a", "b", "c"])
    with pytest.raises(InputError, match="a table of 2 x 3; expected one row and one column"):
        Costs(("a", "b"), np.zeros((2, 3)))


def test_costs_by_hand():
    codes = np.array([0, 0, 1])
    p = np.array([[[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]]])
    matrix = np.array([[0.0, 1.0], [10.0, 0.0]])
    drawn = Resamples.draw(codes, n_classes=2, n_draws=5)
    found = mean_cost(codes, p, matrix, drawn)
    assert found["as_called"][0] == pytest.approx(10 / 3)
    # Called the second class from 1 / 11 on: two false alarms, nothing missed.
    assert found["at_least_cost"][0] == pytest.approx(2 / 3)


def test_honest_probabilities_make_the_least_cost_the_least():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 20000)
    codes = (p.cumsum(axis=1) < rng.random((20000, 1))).sum(axis=1)
    matrix = rng.random((3, 3)) * (1 - np.eye(3)) * 10
    drawn = Resamples.draw(codes, n_classes=3, n_draws=1)
    found = mean_cost(codes, p[None], matrix, drawn)
    assert found["at_least_cost"][0] < found["as_called"][0]
    expected = (p @ matrix).min(axis=1).mean()
    assert found["at_least_cost"][0] == pytest.approx(expected, rel=0.03)


def test_a_comparison_tells_costs_where_they_are_given(make_study, candidates):
    manifest = make_study(n_groups=9, pure=False)
    costs = Costs(("lymphocyte", "blast"), np.array([[0.0, 1.0], [10.0, 0.0]]))
    options = {"folds": 3, "shortcuts": False, "cache": None, "n_draws": 100}
    result = compare_estimators(candidates, manifest, costs=costs, **options)
    section = result.document["costs"]
    assert section["classes"] == ["blast", "lymphocyte"]
    assert section["matrix"] == [[0, 10], [1, 0]]
    by_name = {entry["name"]: entry for entry in section["candidates"]}
    faultless = by_name["stripes"]["as_called"]
    assert faultless["mean"] == faultless["low"] == 0
    assert 0 < faultless["high"] < 10
    guessing = by_name["colors"]
    assert guessing["at_least_cost"]["mean"] < guessing["as_called"]["mean"]
    with pytest.raises(InputError, match="say nothing of the class lymphocyte"):
        compare_estimators(candidates, manifest, costs=Costs(("blast",), np.zeros((1, 1))))
