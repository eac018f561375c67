"""Tables of counts: boxes, crops for a differential count, totals of groups."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk import Manifest, counting
from hybridleuk.counting import count_images, crop_around, voc_document
from hybridleuk.data.artificial import draw_field
from hybridleuk.exceptions import InputError
from hybridleuk.segmentation.fields import FieldCell, FieldCount


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fields")
    rows = []
    for i, kinds in enumerate((("lymphocyte", "neutrophil"), (), ("monocyte",))):
        image = draw_field(kinds, size=(240, 320), random_state=30 + i).image
        Image.fromarray(image).save(folder / f"{i}.png")
        rows.append((f"{i}.png", "AB"[i // 2]))
    pd.DataFrame(rows, columns=["path", "group"]).to_csv(folder / "m.csv", index=False)
    return Manifest.from_source(folder / "m.csv")


def fake_model(monkeypatch, answers):
    """Stand in for prediction: the answers in the order of the crops; keep what was shown."""
    shown = []

    def predict(model, crops):
        shown.extend(np.asarray(Image.open(path)) for path in crops.paths)
        rows = [(p, *a) for p, a in zip(crops.paths, answers, strict=True)]
        return pd.DataFrame(rows, columns=["path", "label", "abstain"])

    monkeypatch.setattr(counting, "predict_images", predict)
    return SimpleNamespace(classes_=np.array(["blast", "normal"])), shown


def test_one_row_per_field_and_totals_of_groups(manifest):
    counts = count_images(manifest, cache=None)
    assert counts.table.columns.tolist() == ["path", "wbc", "rbc", "platelets", "flags"]
    assert counts.table["wbc"].tolist() == [2, 0, 1]
    assert counts.table["path"].tolist() == list(manifest.paths)
    assert counts.groups["group"].tolist() == ["A", "B"]
    assert counts.groups["fields"].tolist() == [2, 1]
    assert counts.groups["rbc"].sum() == counts.table["rbc"].sum() == counts.totals["rbc"]
    boxes = counts.boxes()
    assert len(boxes) == counts.table[["wbc", "rbc", "platelets"]].to_numpy().sum()
    assert set(boxes[0]) == {"path", "kind", "x0", "y0", "x1", "y1", "score"}


@pytest.mark.parametrize("differential", [False, True])
def test_a_group_that_cannot_be_read_stays_in_the_totals(tmp_path, differential, monkeypatch):
    image = Image.fromarray(draw_field(("monocyte",), size=(240, 320), random_state=30).image)
    for name in ("P1_a", "P1_b", "P2_a", "P3_a"):
        image.save(tmp_path / f"{name}.png")
    whole = (tmp_path / "P3_a.png").read_bytes()
    for name in ("P1_b", "P3_a"):  # found while decoding, not by their headers
        (tmp_path / f"{name}.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "P0_a.png").write_bytes(b"no image")
    manifest = Manifest.from_folder(tmp_path, group_regex=r"(P\d)_").checked(cache=None)
    model = fake_model(monkeypatch, [("blast", False)] * 2)[0] if differential else None
    groups = count_images(manifest, model=model, cache=None).groups.set_index("group")
    assert groups.index.tolist() == ["P0", "P1", "P2", "P3"]
    assert groups["fields"].tolist() == [0, 1, 1, 0]
    assert groups["unreadable"].tolist() == [1, 1, 0, 1]
    assert groups["flags"].tolist() == [
        "no_readable_field",
        "unreadable_fields",
        "",
        "no_readable_field",
    ]
    counts = groups.drop(columns=["fields", "unreadable", "flags"])
    assert counts.loc[["P0", "P3"]].isna().all(axis=None), "nobody looked, so it is not 0"
    assert counts.loc[["P1", "P2"]].notna().all(axis=None)
    assert groups["wbc"].tolist()[1:3] == [1, 1]
    groups.to_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[1].startswith("P0,0,1,,,")


def test_a_differential_adds_up_with_its_abstentions(manifest, monkeypatch):
    answers = [("blast", False), ("normal", True), ("normal", False)]
    model, shown = fake_model(monkeypatch, answers)
    counts = count_images(manifest, model=model, cache=None)
    table = counts.table
    names = ["diff_blast", "diff_normal", "diff_abstained"]
    assert table[names].to_numpy().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert (table[names].sum(axis=1) == table["wbc"]).all()
    assert table["diff_blast_share"][0] == 1.0
    assert np.isnan(table["diff_blast_share"][1])
    assert counts.groups["diff_blast_share"].tolist() == [1.0, 0.0]
    assert all(crop.shape[0] == crop.shape[1] for crop in shown)


def test_a_model_has_to_be_fitted_and_the_context_to_make_sense(manifest):
    with pytest.raises(InputError, match="not fitted"):
        count_images(manifest, model=SimpleNamespace(), cache=None)
    with pytest.raises(InputError, match="at least 1"):
        count_images(manifest, context=0.5, cache=None)


@pytest.mark.parametrize("box", [(40, 50, 70, 90), (0, 0, 30, 20), (80, 100, 100, 120)])
def test_the_cell_is_in_the_middle_of_its_crop_even_at_the_border(box):
    image = np.full((100, 120, 3), 220, np.uint8)
    y0, x0, y1, x1 = box
    image[y0:y1, x0:x1] = (90, 40, 130)
    crop = crop_around(image, FieldCell("WBC", box, 0.9), 2.0)
    side = 2 * max(y1 - y0, x1 - x0)
    assert crop.shape == (side, side, 3)
    y, x = np.nonzero(crop[..., 1] == 40)
    assert len(y) == (y1 - y0) * (x1 - x0)
    assert abs(y.mean() - (side - 1) / 2) <= 1
    assert abs(x.mean() - (side - 1) / 2) <= 1
    assert (crop[crop[..., 1] != 40] == 220).all()


def test_voc_counts_from_one_and_says_what_is_cut():
    cells = (FieldCell("WBC", (5, 6, 15, 26), 0.9), FieldCell("RBC", (0, 30, 10, 40), 0.5))
    image = np.zeros((50, 60, 3), np.uint8)
    root = ElementTree.fromstring(voc_document("a/b.png", image, FieldCount(cells, (), None)))
    assert root.findtext("filename") == "b.png"
    assert [root.findtext(f"size/{k}") for k in ("width", "height", "depth")] == ["60", "50", "3"]
    first, second = root.findall("object")
    corners = [int(first.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")]
    assert corners == [7, 6, 26, 15]
    assert (first.findtext("truncated"), second.findtext("truncated")) == ("0", "1")


@pytest.mark.parametrize("character", ["\x01", "\x1b", "\x7f", "\ufffe", "\udcff"])
def test_voc_is_well_formed_whatever_the_name(character):
    image = np.zeros((5, 6, 3), np.uint8)
    text = voc_document(f"a/b{character}<&>.png", image, FieldCount((), (), None))
    name = ElementTree.fromstring(text.encode("utf-8")).findtext("filename")
    kept = character if character == "\x7f" else "\ufffd"
    assert name == f"b{kept}<&>.png"
