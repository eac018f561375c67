import json
import re
from html.parser import HTMLParser

import pytest

from hybridleuk.exceptions import InputError
from hybridleuk.report.html import comparison_report, report_from_folder

FIGURES = {
    "fig-candidates",
    "fig-differences",
    "fig-other-differences",
    "fig-leakage",
    "fig-external-1",
    "fig-confusion",
    "fig-roc",
    "fig-reliability",
    "fig-cost",
    "fig-errors",
}
VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """Collects elements and checks that they are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


@pytest.fixture
def page(document, predictions):
    return Page(comparison_report(document, predictions))


def test_every_figure_is_there_and_the_page_is_well_formed(page):
    assert page.open == []
    assert set(page.ids()) >= FIGURES
    assert len(page.ids()) == len(set(page.ids()))


def test_nothing_is_fetched_from_anywhere(document, predictions):
    text = comparison_report(document, predictions)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script", text)
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "srcset", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))


def test_pictures_can_be_read_aloud(page):
    for tag, attributes in page.elements:
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20
        if tag == "svg" and "viewBox" in attributes:
            assert attributes["role"] == "img"


def test_links_lead_somewhere(page):
    targets = {a["href"][1:] for tag, a in page.elements if tag == "a"}
    assert targets <= set(page.ids())
    assert targets >= {"results", "differences", "leakage", "external", "protocol"}


def test_notes_and_alarms_come_before_everything(page):
    note = page.text.index("RANDOM WEIGHTS: never trained.")
    alarm = page.text.index("The background color alone reaches it.")
    assert note < alarm < page.text.index("hybrid+svm is best.") < page.text.index("Results")
    assert page.text.count("The background color alone reaches it.") == 1
    assert "Only 9 groups." in page.text


def test_names_from_outside_are_escaped(document, predictions):
    text = comparison_report(document, predictions)
    assert "<b>late" not in text
    assert "<study>" not in text


def test_protocol_command_and_versions_are_told(page):
    for part in ("hybridleuk compare study -o out", "python 3.11", "HybridClassifier('deep+svm')"):
        assert part in page.text


def test_a_single_candidate_without_groups_or_shortcuts_is_enough(document, predictions):
    first = document["candidates"][0] | {"split": "random"}
    document |= {"candidates": [first], "pairs": [], "shortcuts": [], "leakage_gap": {}}
    document |= {"external": [], "alarms": [], "notes": [], "command": None}
    document["protocol"]["split"] = "random"
    document["dataset"] |= {"n_groups": 0, "group_kind": "none", "groups_per_class": {}}
    page = Page(comparison_report(document, predictions))
    assert {"fig-candidates", "fig-errors"} <= set(page.ids())
    assert not {"fig-differences", "fig-leakage"} & set(page.ids())
    assert "no groups known" in page.text


def test_images_that_are_gone_are_named(document, predictions):
    page = Page(comparison_report(document, predictions.assign(path="/nowhere/1.png")))
    assert "image not found" in page.text
    assert not [tag for tag, _ in page.elements if tag == "img"]


def test_a_faultless_candidate_has_no_gallery(document, predictions):
    right = predictions[predictions["predicted"] == predictions["label"]]
    assert "hybrid+svm called every image right" in Page(comparison_report(document, right)).text


def test_the_report_is_made_again_from_files(document, predictions, tmp_path):
    (tmp_path / "comparison.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="holds no finished comparison"):
        report_from_folder(tmp_path)
    predictions.to_parquet(tmp_path / "predictions.parquet")
    assert report_from_folder(tmp_path) == comparison_report(document, predictions)
