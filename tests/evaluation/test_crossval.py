import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from hybridleuk.evaluation.checkpoints import Checkpoints
from hybridleuk.evaluation.crossval import Study, check_disjoint, cross_validate, draw_folds
from hybridleuk.exceptions import InputError, SplitError

LABELS = np.array(["blast", "lymphocyte"] * 20, dtype=object)
GROUPS = np.array([f"P{i // 4}" for i in range(40)], dtype=object)


class Plain(ClassifierMixin, BaseEstimator):
    """Gives the class shares it was trained on; notes rows and groups."""

    log: tuple = ()

    def __init__(self, checkpoint=None):
        self.checkpoint = checkpoint

    def fit(self, X, y, groups=None):
        Plain.log = (*Plain.log, (X.ravel().astype(int), groups, self.checkpoint))
        self.classes_ = np.unique(y)[::-1]
        self.shares_ = np.array([np.mean(y == name) for name in self.classes_])
        return self

    def predict_proba(self, X):
        return np.tile(self.shares_, (len(X), 1))


@pytest.fixture(autouse=True)
def _fresh_log():
    Plain.log = ()


def study(groups=GROUPS, labels=LABELS):
    rows = np.arange(len(labels), dtype=float)[:, None]
    return Study(rows, labels, groups, [str(i) for i in range(len(labels))])


def run(estimator, *, split="group", folds=4, repeats=1, **options):
    given = study()
    plan = draw_folds(LABELS, GROUPS, split=split, folds=folds, repeats=repeats)
    return cross_validate("c", estimator, given, plan, split=split, **options), plan


def test_every_image_is_tested_once_per_repeat_on_the_folds_drawn():
    result, plan = run(Plain(), repeats=2)
    assert result.probabilities.shape == (2, 40, 2)
    assert len(result.fit_seconds) == 8
    drawn = [fold for parts in plan for fold in parts]
    for (train, _), (rows, groups, _) in zip(drawn, Plain.log, strict=True):
        np.testing.assert_array_equal(rows, train)
        assert list(groups) == list(GROUPS[train])


def test_folds_are_the_same_for_a_seed_and_differ_between_repeats():
    first, second = draw_folds(LABELS, GROUPS, split="group", folds=4, repeats=2)
    again = draw_folds(LABELS, GROUPS, split="group", folds=4, repeats=2)[0]
    assert all((a[1] == b[1]).all() for a, b in zip(first, again, strict=True))
    assert any(list(a[1]) != list(b[1]) for a, b in zip(first, second, strict=True))


def test_random_folds_hand_no_groups_on():
    run(Plain(), split="random")
    assert all(groups is None for _, groups, _ in Plain.log)


def test_a_group_planted_on_both_sides_is_an_error():
    plan = draw_folds(LABELS, GROUPS, split="group", folds=4)
    train, test = plan[0][0]
    plan[0][0] = (np.append(train, test[0]), test[1:])
    with pytest.raises(SplitError, match=r"Group P\d is in both the training and the test part"):
        cross_validate("c", Plain(), study(), plan, split="group")
    assert not Plain.log


def test_an_image_planted_on_both_sides_is_an_error():
    with pytest.raises(SplitError, match=r"1 image\(s\) are in both"):
        check_disjoint((np.array([0, 1, 2]), np.array([2, 3])), None)


def test_an_image_never_tested_is_an_error():
    plan = draw_folds(LABELS, None, split="random", folds=4)
    with pytest.raises(SplitError, match="leave some images untested"):
        cross_validate("c", Plain(), study(), [plan[0][:3]], split="random")


def test_columns_follow_the_names_of_the_classes():
    labels = np.array(["a"] * 30 + ["b"] * 10, dtype=object)
    plan = draw_folds(labels, None, split="random", folds=5)
    given = study(None, labels)
    result = cross_validate("c", Plain(), given, plan, split="random")
    np.testing.assert_allclose(result.probabilities[0, 0], [0.75, 0.25])


def test_a_candidate_that_finds_too_little_in_a_fold_is_named():
    class Needing(Plain):
        def fit(self, X, y, groups=None):
            raise SplitError("Class ALL has 1 group.")

    with pytest.raises(SplitError, match=r"'c' needs more than a fold .*: Class ALL .* more folds"):
        run(Needing())


def test_groups_reach_the_last_step_of_a_pipeline_and_an_inner_search():
    run(make_pipeline(FunctionTransformer(), Plain()))
    assert all(groups is not None for _, groups, _ in Plain.log)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LinearSVC()), {"linearsvc__C": [0.1]}, cv=GroupKFold(2)
    )
    with pytest.raises(InputError, match="gives no probabilities"):
        run(search)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda p: np.full_like(p, np.nan), "not numbers"),
        (lambda p: 3 * p, "that sum to 3 for one image"),
        (lambda p: np.column_stack([1.2 - 0 * p[:, 0], -0.2 - 0 * p[:, 1]]), "from -0.2 to 1.2"),
        (lambda p: np.asarray(["many"] * len(p)), "failed while it was asked .ValueError: could"),
    ],
)
def test_probabilities_that_are_none_are_refused(given, message, monkeypatch):
    proper = Plain.predict_proba
    monkeypatch.setattr(Plain, "predict_proba", lambda self, X: given(proper(self, X)))
    with pytest.raises(InputError, match=f"The candidate 'c' .*{message}"):
        run(Plain())


def test_training_state_gets_a_folder_of_its_own_that_goes_when_the_fold_is_done(tmp_path):
    run(Plain(), checkpoints=Checkpoints(tmp_path))
    folders = [folder for *_, folder in Plain.log]
    assert len(set(folders)) == 4
    assert all(folder.parent == tmp_path and not folder.exists() for folder in folders)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "group", "groups": None}, "A split by group needs groups and none are known"),
        (
            {"split": "patient"},
            "split is 'patient'; expected 'group', 'random', 'logo' or 'manifest'",
        ),
        ({"split": "group", "folds": 11}, "has 10 groups, fewer than 11 folds"),
        ({"split": "random", "repeats": 0}, "0 repeats; at least 1"),
    ],
)
def test_impossible_splits_say_why(options, message):
    settings = {"groups": GROUPS, **options}
    with pytest.raises((SplitError, InputError), match=message):
        draw_folds(LABELS, **settings)
