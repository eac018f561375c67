"""The page of an audit, from plain data."""

import json
import re
from html.parser import HTMLParser

import pytest

from hybridleuk.report.audit import CONTENTS, IN_SET, PER_PROBLEM, ROWS, SETS, audit_report
from hybridleuk.report.findings import findings, is_alarming

FIGURES = {
    *("fig-duplicates", "fig-shortcuts", "fig-acquisition"),
    *("fig-labels", "fig-files", "fig-quality"),
}
VOID = {"meta", "link", "img"}


class Page(HTMLParser):
    """Collects elements and text, and checks that elements are closed in order."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.pieces = [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.pieces).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.pieces.append(data)

    def ids(self):
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    def pictures(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]


@pytest.fixture
def page(audited, left_out):
    return Page(audit_report(audited, left_out))


def test_every_section_is_there_and_the_page_is_well_formed(page):
    assert page.open == []
    sections = {section.id for part in CONTENTS for section in part.sections}
    assert set(page.ids()) >= FIGURES | sections | {part.id for part in CONTENTS}
    assert len(page.ids()) == len(set(page.ids()))
    targets = {a["href"][1:] for tag, a in page.elements if tag == "a"}
    assert targets <= set(page.ids())


def test_nothing_is_fetched_and_no_script_is_there(audited, left_out):
    text = audit_report(audited, left_out)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script", text)
    assert "default-src 'none'" in text
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:"))


def test_pictures_can_be_read_aloud(page):
    assert len(page.pictures()) >= 15
    for picture in page.pictures():
        assert len(picture["alt"]) > 10
    for _, attributes in page.elements:
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20


def test_names_from_outside_are_escaped(audited, left_out):
    text = audit_report(audited, left_out)
    for injected in ("<b>late", "<study>", "<i>drawn"):
        assert injected not in text


def test_duplicates_with_two_labels_come_first_and_few_of_a_set_are_shown(page):
    assert page.text.index("Two labels") < page.text.index("the same file, in several groups")
    alts = [p["alt"] for p in page.pictures() if "one of" in p["alt"]]
    assert [alt.split(": ")[1][:8] for alt in alts] == ["one of 6"] * IN_SET + ["one of 2"] * 2
    assert "and 2 more" in page.text
    assert "likeness 0.91" in page.text


def test_figures_are_told_in_words(page):
    for words in (
        "0.710 p = 0.002",
        "Normalised mutual information of cluster and class: 0.42 , by chance 0.01 (p = 0.005)",
        "Pro , more like Early & <b>late</b> by 0.83",
        "110 images are kept, 11 files are left out",
        "hybridleuk audit study -o out",
        "python 3.11",
        "at most 3, so that every class is in each",
    ):
        assert words.replace(" ,", ",") in page.text.replace(" ,", ","), words


def test_shares_of_clusters_are_right(audited, left_out):
    text = audit_report(audited, left_out)
    row = text[text.index("Cluster 1</th>") :]
    row = row[: row.index("</tr>")]
    assert re.findall(r"--share:([\d.]+)", row) == ["0.000", "0.000", "1.000"]
    assert ">30</td>" in row


def test_paths_are_shortened_but_told_in_full(audited, left_out, page):
    assert "One label is suspect, blast/8.png." in page.text
    assert "shows the same as blast/0.png, which is kept." in page.text
    titles = {attributes.get("title") for _, attributes in page.elements}
    assert audited["suspect_labels"][0]["path"] in titles


def test_what_was_not_found_or_not_looked_for_is_said(audited):
    audited |= {"files": [], "duplicates": [], "suspect_labels": []}
    audited |= {"quality": [], "verdict": ["Nothing was found."]}
    audited["shortcuts"] = audited["shortcuts"][1:]
    audited["balance"] |= {"warnings": []}
    page = Page(audit_report(audited))
    for words in ("No image is there twice", "No label is suspect", "Every file can be read"):
        assert words in page.text
    assert FIGURES & set(page.ids()) == {"fig-acquisition", "fig-shortcuts"}
    assert not is_alarming(audited)


def test_images_without_labels(audited):
    audited["dataset"] |= {"classes": [], "n_groups": 0, "group_kind": "none"}
    audited |= {"shortcuts": [], "suspect_labels": [], "duplicates": [], "label_test": None}
    empty = ("images_per_class", "groups_per_class", "images_per_group", "images_per_split")
    audited["balance"] |= {**{key: {} for key in empty}, "n_groups": 0, "most_folds": 0}
    unknown = ("nmi_with_class", "nmi_by_chance", "p_value", "classes")
    audited["acquisition"] |= dict.fromkeys(unknown)
    page = Page(audit_report(audited))
    for words in (
        "no labels",
        "no groups known",
        "Not looked for",
        "Not tested",
        "The images have no labels",
    ):
        assert words in page.text
    counts = {row.kind: row.count for row in findings(audited)}
    assert counts["suspect labels"] is None
    assert counts["shortcuts"] is None


def test_labels_that_cannot_be_told(audited):
    audited |= {"suspect_labels": []}
    audited["label_test"] |= {"told": False, "p_value": 0.4, "balanced_accuracy": 0.31}
    assert "no better than chance (balanced accuracy 0.31" in Page(audit_report(audited)).text
    row = next(row for row in findings(audited) if row.kind == "suspect labels")
    assert row.count is None
    assert "cannot be doubted" in row.words


def test_images_that_are_gone_are_named(audited):
    audited = json.loads(json.dumps(audited).replace("/blast/", "/gone/"))
    page = Page(audit_report(audited))
    assert "image not found" in page.text
    assert page.pictures() == []


def test_the_page_stays_small_however_much_is_found(audited, left_out):
    many = 40
    audited["duplicates"] *= many
    audited["cleaned"]["n_left_out"] = many * len(left_out)
    for key in ("suspect_labels", "quality", "files"):
        audited[key] *= 10 * many
    text = audit_report(audited, left_out * many)
    page = Page(text)
    assert len(page.pictures()) <= 240
    alts = [p["alt"] for p in page.pictures()]
    assert sum("one of" in alt for alt in alts) <= SETS * IN_SET
    assert sum(alt.endswith("blur") for alt in alts) == PER_PROBLEM
    assert f"The first {ROWS}; left_out.csv lists all" in page.text
    assert len(text) < 6e6


def test_findings_sum_up(audited):
    rows = {row.kind: row for row in findings(audited)}
    assert rows["sets of duplicates"].count == 2
    assert rows["sets of duplicates"].words == (
        "1 bytes, 1 near, 1 with two labels, 1 in several groups, 1 in several classes"
    )
    assert rows["shortcuts"].count == 1
    assert rows["remarks on files"].words == "truncated (1), scale bar (1)"
    assert is_alarming(audited)
