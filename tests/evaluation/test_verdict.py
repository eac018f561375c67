import pytest

from hybridleuk.evaluation.verdict import alarms, shortcut_ratio, verdict, warnings_of


def estimate(mean, half=0.01):
    return {"mean": mean, "low": mean - half, "high": mean + half}


def pair(a, b, difference, p, split="group"):
    return {
        "a": a,
        "b": b,
        "split": split,
        "difference": difference,
        "low": difference - 0.01,
        "high": difference + 0.01,
        "p_value": p,
        "p_holm": p,
        "negligible": abs(difference) < 0.01,
        "test": "corrected resampled t-test",
    }


def shortcut(name, value, split="group"):
    low, high = value - 0.02, value + 0.02
    return {"name": name, "split": split, "balanced_accuracy": value, "low": low, "high": high}


def document(**changes):
    scores = {"hybrid+svm": 0.93, "deep+svm": 0.9, "morphology+svm": 0.8}
    made = {
        "dataset": {
            "n_groups": 40,
            "group_kind": "patient",
            "classes": ["a", "b", "c", "d"],
            "groups_per_class": dict.fromkeys("abcd", 10),
        },
        "protocol": {"split": "group"},
        "candidates": [
            {"name": name, "split": "group", "balanced_accuracy": estimate(value)}
            for name, value in scores.items()
        ],
        "pairs": [
            pair("deep+svm", "hybrid+svm", -0.03, 0.01),
            pair("hybrid+svm", "morphology+svm", 0.13, 0.001),
            pair("deep+svm", "morphology+svm", 0.1, 0.001),
        ],
        "shortcuts": [shortcut("background color", 0.28), shortcut("mean color", 0.3)],
        "leakage_gap": {},
        "external": [],
    }
    return {**made, **changes}


def said(**changes):
    return " ".join(verdict(document(**changes)))


def test_a_sound_comparison_raises_no_alarm():
    assert alarms(document()) == []
    text = said()
    assert text.startswith("hybrid+svm has the highest balanced accuracy, 0.930 (0.920 to 0.940)")
    assert "ahead of every other candidate" in text
    assert "No shortcut baseline comes near: the strongest, mean color, reaches 0.30" in text
    assert "hybrid+svm beats both of its blocks: +3.0 points against deep+svm" in text
    assert warnings_of(document()) == []


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("random", "on random folds"),
        ("logo", "each group left out in turn"),
        ("manifest", "on the test part of the manifest"),
    ],
)
def test_the_verdict_tells_the_folds_it_rests_on(split, words):
    (only,) = [c for c in document()["candidates"] if c["name"] == "deep+svm"]
    changes = {"protocol": {"split": split}, "candidates": [{**only, "split": split}], "pairs": []}
    assert said(**changes, shortcuts=[]) == (
        f"deep+svm reaches a balanced accuracy of 0.900 (0.890 to 0.910), {words}."
    )


def test_a_guessed_group_is_called_pseudo_wherever_it_stands():
    dataset = {**document()["dataset"], "group_kind": "pseudo", "n_groups": 12}
    gaps = {"hybrid+svm": {"mean": 0.05, "low": 0.01, "high": 0.09}}
    changes = {"dataset": dataset, "leakage_gap": gaps, "protocol": {"split": "both"}}
    text = said(**changes) + " ".join(warnings_of(document(**changes)))
    assert "on pseudo-groups kept apart" in text
    assert "when images of one pseudo-group may be" in text
    assert "Only 12 pseudo-groups" in text
    assert "pseudo" not in said()


def test_candidates_whose_interval_reaches_zero_are_not_told_apart():
    close = {**pair("deep+svm", "hybrid+svm", -0.03, 0.01), "high": 0.001}
    pairs = [close, *document()["pairs"][1:]]
    assert "this comparison cannot tell it from deep+svm" in said(pairs=pairs)


def test_a_background_that_reaches_the_best_is_said_first():
    text = said(shortcuts=[shortcut("mean color", 0.4), shortcut("background color", 0.92)])
    assert text.startswith(
        "The background color alone reaches 0.92 balanced accuracy of the best candidate's 0.93: "
        "this accuracy does not show that the cells were read."
    )


def test_other_shortcuts_are_alarming_only_when_they_reach_nearly_all():
    assert alarms(document(shortcuts=[shortcut("8 x 8 thumbnail", 0.84)])) == []
    text = said(shortcuts=[shortcut("8 x 8 thumbnail", 0.84)])
    assert "thumbnail alone reaches 0.84, 87 % of the best candidate's gain over chance" in text
    loud = [shortcut("8 x 8 thumbnail", 0.92), shortcut("background color", 0.9)]
    (alarm,) = alarms(document(shortcuts=loud))
    assert alarm.startswith("The background color alone reaches 0.90")
    assert alarm.endswith("Likewise reached alone: 8 x 8 thumbnail 0.92.")


def test_a_coarse_baseline_is_no_alarm_where_the_cells_alone_tell_as_much():
    cells = {**shortcut("cell only", 0.9), "kind": "contrast"}
    loud = {**shortcut("8 x 8 thumbnail", 0.92), "kind": "coarse"}
    assert alarms(document(shortcuts=[loud, {**cells, "balanced_accuracy": 0.5}]))
    assert alarms(document(shortcuts=[loud, cells])) == []
    text = said(shortcuts=[loud, cells])
    assert "needs no detail of a cell, but may come from the cells, which alone reach 0.90" in text
    around = {**shortcut("background only", 0.92), "kind": "around"}
    assert alarms(document(shortcuts=[around, cells])), "the cells do not explain the background"


def test_a_contrast_is_no_shortcut():
    cells = {**shortcut("cell only", 0.93), "kind": "contrast"}
    assert alarms(document(shortcuts=[cells, shortcut("mean color", 0.3)])) == []
    assert "the strongest, mean color, reaches 0.30" in said(
        shortcuts=[cells, shortcut("mean color", 0.3)]
    )


def counterfactuals(effect, loss=0.0, unchanged=0.93):
    changes = [
        {"name": name, "label": label, "description": "."}
        for name, label in {
            "background_of_other_class": "background of another class",
            "blur": "blurred",
        }.items()
    ]
    entry = {
        "name": "hybrid+svm",
        "split": "group",
        "unchanged": estimate(unchanged),
        "changes": {
            "background_of_other_class": {"loss": estimate(0.6)},
            "blur": {"loss": estimate(loss)},
        },
        "background_effect": effect,
    }
    return {"n_images": 200, "changes": changes, "candidates": [entry]}


def test_a_candidate_that_follows_the_background_is_an_alarm():
    (alarm,) = alarms(document(counterfactuals=counterfactuals(estimate(0.4, 0.05))))
    assert alarm == (
        "Exchanging the background for that of another class costs hybrid+svm 40 points more than "
        "exchanging it within the class (+35.0 to +45.0): it reads the background."
    )


def test_part_of_it_from_the_background_is_said_and_no_alarm():
    made = document(counterfactuals=counterfactuals(estimate(0.2, 0.05)))
    assert alarms(made) == []
    assert "costs hybrid+svm 20 points more" in " ".join(verdict(made))


@pytest.mark.parametrize("effect", [estimate(0.2, 0.25), estimate(0.05, 0.01), None])
def test_an_exchange_that_disturbs_either_way_is_not_held_against_it(effect):
    made = document(counterfactuals=counterfactuals(effect))
    assert alarms(made) == []
    assert "background" not in " ".join(verdict(made)).replace("background color", "")


def test_a_candidate_that_could_have_read_the_background_and_did_not_is_cleared():
    loud = {**shortcut("background only", 0.92), "kind": "around"}
    made = document(shortcuts=[loud], counterfactuals=counterfactuals(estimate(0.01, 0.04)))
    text = " ".join(verdict(made))
    assert "this accuracy does not show" in text
    assert "Yet hybrid+svm does not follow the background" in text
    assert "costs +1.0 points more than within the class (-3.0 to +5.0)" in text
    made["counterfactuals"]["candidates"][0]["background_effect"] = estimate(0.04, 0.1)
    assert "Yet hybrid+svm" not in " ".join(verdict(made)), "too wide to say so"


def test_others_that_read_the_background_are_named():
    made = document(counterfactuals=counterfactuals(estimate(0.01, 0.04)))
    first = made["counterfactuals"]["candidates"][0]
    effects = {"deep+svm": estimate(0.5, 0.1), "morphology+svm": estimate(0.02, 0.1)}
    made["counterfactuals"]["candidates"] += [
        {**first, "name": name, "background_effect": effect} for name, effect in effects.items()
    ]
    assert alarms(made) == []
    assert "By the same exchange, deep+svm (50 points) reads the background." in verdict(made)


def test_what_disturbs_is_listed_and_is_no_alarm():
    made = document(counterfactuals=counterfactuals(None, loss=0.31))
    assert alarms(made) == []
    assert "points of balanced accuracy lost on 200 changed images: blurred 31." in " ".join(
        verdict(made)
    )


def test_nothing_better_than_chance_is_called_that():
    low = [{"name": "deep+svm", "split": "group", "balanced_accuracy": estimate(0.26, 0.05)}]
    text = said(candidates=low, pairs=[])
    assert text.startswith("No candidate is clearly better than chance: the best, deep+svm")
    assert "No shortcut baseline comes near" not in text


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (0.03, 0.3, "is ahead of both of its blocks, but not by more than chance explains"),
        (-0.03, 0.01, "does not beat both of its blocks: -3.0 points against deep+svm"),
        (0.004, 0.4, "too little to matter"),
    ],
)
def test_a_hybrid_that_does_not_win_is_said_plainly(difference, p, expected):
    pairs = [
        pair("hybrid+svm", "deep+svm", difference, p),
        pair("hybrid+svm", "morphology+svm", 0.13, 0.001),
        pair("deep+svm", "morphology+svm", 0.1, 0.001),
    ]
    assert expected in said(pairs=pairs)


def test_the_leakage_gap_is_said_with_its_interval():
    protocol = {"split": "both"}
    gap = {"hybrid+svm": {"mean": 0.08, "low": 0.03, "high": 0.12}}
    assert "Random folds flatter: hybrid+svm gains 8.0 points (3.0 to 12.0)" in said(
        protocol=protocol, leakage_gap=gap
    )
    gap = {"hybrid+svm": {"mean": -0.0001, "low": -0.03, "high": 0.02}}
    assert "No leakage gap is shown: random folds give hybrid+svm 0.0 points" in said(
        protocol=protocol, leakage_gap=gap
    )


def test_external_images_are_said():
    entry = {
        "name": "hybrid+svm",
        "balanced_accuracy": estimate(0.4),
        "drop": {"mean": 0.53, "low": 0.5, "high": 0.56},
    }
    other = {"name": "wbc", "n_images": 9, "n_shared": 2, "candidates": [entry]}
    assert "tested on wbc, hybrid+svm reaches 0.400 (0.390 to 0.410): 53.0 points less" in said(
        external=[other]
    )
    (warning,) = warnings_of(document(external=[other]))
    assert warning.startswith("2 of the 9 images of wbc are byte for byte among those fitted on")


@pytest.mark.parametrize(
    ("dataset", "split", "expected"),
    [
        ({"n_groups": 0, "group_kind": "none"}, "random", "No groups are known"),
        ({"n_groups": 9}, "group", "Only 9 groups, 10 in the smallest class"),
        ({"groups_per_class": {"a": 2, "b": 38}}, "group", "Only 40 groups, 2 in the smallest"),
        ({"group_kind": "pseudo"}, "group", "pseudo-groups, guessed from the images"),
        ({}, "random", "on both sides of the folds"),
    ],
)
def test_weak_designs_are_warned_of(dataset, split, expected):
    made = document(protocol={"split": split})
    made["dataset"] |= dataset
    assert any(expected in warning for warning in warnings_of(made))


def test_ratio_is_the_share_of_the_gain():
    assert shortcut_ratio(0.4, 0.85, 0.25) == pytest.approx(0.25)
    assert shortcut_ratio(0.4, 0.2, 0.25) is None


def test_why_the_hybrid_is_not_better_is_counted():
    made = document()
    made["pairs"][0] |= {"difference": 0.03, "low": 0.02, "high": 0.04}
    made["pairs"][2]["only_right"] = [60, 14]
    text = " ".join(verdict(made))
    assert "Why: morphology+svm gets 14 images right that deep+svm gets wrong, but 60 wrong" in text
    made["pairs"][2]["only_right"] = [14, 60]
    assert "Why: deep+svm gets 14 images right" in " ".join(verdict(made))
    assert "Why" not in said()


def test_images_that_a_network_was_trained_on_are_said_first():
    found = {
        "set": "",
        "backbone": "smearnet",
        "candidates": ["deep+svm", "hybrid+svm"],
        "n_learned": 1200,
        "n_images": 2000,
    }
    text = said(contaminated=[found])
    assert text.startswith(
        "CONTAMINATED: the network smearnet was trained on 1,200 of the 2,000 images, so there the "
        "figures of deep+svm and hybrid+svm are too good"
    )
    elsewhere = alarms(document(contaminated=[{**found, "set": "hospital B"}]))
    assert "1,200 of the 2,000 images of hospital B, so" in elsewhere[0]


def test_a_training_that_gave_the_frozen_features_back_is_warned_of():
    folds = [{"best_epoch": epoch} for epoch in (3, 0, 7, 0, 2)]
    training = [
        {"candidate": "finetuned", "folds": folds},
        {"candidate": "two-channel", "folds": folds[::2][:2]},
    ]
    (warning,) = warnings_of(document(training=training))
    assert warning.startswith("In 2 of 5 folds the training of finetuned never beat the frozen")
    assert not warnings_of(document(training=None))


def test_the_p_value_beside_an_interval_is_named_as_corrected():
    pairs = [
        pair("hybrid+svm", "deep+svm", 0.03, 0.01),
        pair("hybrid+svm", "morphology+svm", 0.13, 0.001) | {"p_holm": 0.003},
    ]
    assert "(+12.0 to +14.0, p = 0.003 by Holm)" in said(pairs=pairs)
