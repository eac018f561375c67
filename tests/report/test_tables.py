import csv
import io
import re

import pytest

from hybridleuk.report.model_card import card_text
from hybridleuk.report.tables import csv_table, escape_latex, latex_table, markdown_table


def test_csv_has_every_candidate_and_shortcut_of_every_split(document):
    rows = list(csv.DictReader(io.StringIO(csv_table(document))))
    names = [(row["kind"], row["split"], row["name"]) for row in rows]
    assert len(names) == len(set(names)) == 2 * (3 + 2)
    best = rows[0]
    assert names[0] == ("candidate", "group", "hybrid+svm")
    assert float(best["balanced_accuracy"]) == 0.9
    assert float(best["balanced_accuracy_low"]) == pytest.approx(0.86)
    assert float(best["average_precision_high"]) == pytest.approx(0.94)
    (shortcut,) = [r for r in rows if r["name"] == "8 x 8 thumbnail" and r["split"] == "group"]
    assert (shortcut["balanced_accuracy"], shortcut["auroc"]) == ("0.5", "")


def test_markdown_is_one_table_best_first(document):
    table, caption = markdown_table(document).rstrip().split("\n\n")
    lines = table.splitlines()
    assert len({line.count(" | ") for line in lines}) == 1
    firsts = [line.split(" | ")[0].lstrip("| ") for line in lines]
    assert firsts[2:5] == ["hybrid+svm", "deep+svm", "morphology+svm"]
    assert firsts[5].startswith("shortcut: ")
    assert "0.900 (0.860–0.940)" in lines[2]
    assert "90 images from 9 groups, 3 classes; 5 folds, groups kept apart, seed 0" in caption


def test_names_cannot_break_a_table(document):
    for entry in document["candidates"]:
        if entry["name"] == "deep+svm":
            entry["name"] = "a|b_c & 5 % \\ {x} <i>"
    assert "a\\|b_c & 5 % \\\\ {x} &lt;i>" in markdown_table(document)
    row = next(line for line in latex_table(document).splitlines() if line.startswith("a"))
    assert row.startswith(
        r"a\textbar{}b\_c \& 5 \% \textbackslash{} \{x\} \textless{}i\textgreater{} &"
    )


def test_latex_has_as_many_cells_as_columns(document):
    text = latex_table(document)
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 3 + 2
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    assert "–" not in text
    assert text.count(r"\begin") == text.count(r"\end")


def test_every_letter_that_latex_takes_for_a_command_is_escaped():
    assert escape_latex("#$~^\"'") == r"\#\$\textasciitilde{}\textasciicircum{}\textquotedbl{}'"


@pytest.mark.parametrize("split", ["logo", "manifest"])
def test_other_splits_are_named(document, split):
    document["protocol"] |= {"split": split, "folds": 9}
    for entry in [*document["candidates"], *document["shortcuts"]]:
        entry["split"] = {"group": split}.get(entry["split"], entry["split"])
    words = {"logo": "each group left out in turn", "manifest": "as the manifest divides"}
    assert f"; {words[split]}, seed 0" in markdown_table(document)


def parts_of(card):
    return dict(zip(*[iter(re.split(r"^## (.*)$", card, flags=re.M)[1:])] * 2, strict=True))


def test_the_card_tells_figures_with_intervals_and_what_to_fear(complete):
    card = card_text(complete)
    parts = parts_of(card)
    assert card.startswith("# Model card: hybrid+svm\n")
    assert "**The background color alone reaches it.**" in card
    assert "Not a medical device." in parts["Not intended"]
    assert "- 90 images from 9 patients" in parts["Data"]
    assert "| Balanced accuracy | 0.900 (0.860–0.940) |" in parts["Results"]
    assert "| Balanced accuracy by patient | 0.900 (0.860–0.940) |" in parts["Results"]
    assert "90 % promised | 0.900" in parts["Results"]
    assert "30 % of the gain over guessing" in parts["Shortcuts"]
    assert "- blur: 22.5 points lost" in parts["Changed pictures"]
    assert "- clinic B, 12 images: balanced accuracy 0.400" in parts["Other images"]
    assert "Only 9 groups." in parts["Limits"]
    assert "RANDOM WEIGHTS" in parts["Limits"]
    assert "best of 3 settings" in parts["Protocol"]
    assert "    hybridleuk compare study -o out" in parts["To repeat it"]


def test_the_card_of_an_older_document_says_what_was_not_measured(document):
    document["dataset"] |= {"group_kind": "none", "n_groups": 0, "groups_per_class": {}}
    parts = parts_of(card_text(document | {"external": [], "shortcuts": [], "command": None}))
    assert "Patients are not known" in parts["Limits"]
    assert "not tested on images of another source" in parts["Limits"]
    assert not {"Shortcuts", "Changed pictures", "Other images"} & set(parts)


def test_names_of_classes_are_no_markup_in_the_card(document):
    card = card_text(document)
    assert "<b>" not in card
    assert "Early & &lt;b&gt;late&lt;/b&gt;" in card


def test_long_times_are_written_out(document):
    document["candidates"][0]["predict_ms_per_image"] = 2308.2
    assert "| 2308 |" in markdown_table(document)
    assert "e+" not in latex_table(document)
