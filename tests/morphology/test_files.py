import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk import Manifest
from hybridleuk.data.artificial import draw_cell
from hybridleuk.exceptions import InputError, OutputError
from hybridleuk.morphology import files, files_pictures
from hybridleuk.morphology.catalogue import select_features
from hybridleuk.morphology.extractor import CELL_COLUMNS
from hybridleuk.morphology.files import segment_images
from hybridleuk.segmentation.records import Cells


@pytest.fixture(scope="module")
def smears(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smears")
    for label, kind in (("a", "lymphocyte"), ("b", "neutrophil")):
        (folder / label).mkdir()
        for i in range(2):
            drawn = draw_cell(kind, random_state=i, size=96)
            Image.fromarray(drawn.image).save(folder / label / f"{i}.png")
    Image.new("RGB", (80, 70), (235, 235, 235)).save(folder / "b" / "blank.png")
    return folder


@pytest.fixture
def manifest(smears):
    return Manifest.from_folder(smears)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def times(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*.*") if p.parent != folder}


def test_the_folder_holds_what_the_index_says(manifest, out):
    result = segment_images(manifest, out)
    index = pd.read_csv(out / "index.csv", keep_default_na=False)
    assert index.columns.tolist() == [
        "path",
        "image_id",
        "n_cells",
        "regions",
        "instances",
        "overlay",
        "flags",
    ]
    assert index["image_id"].tolist() == manifest.image_ids.tolist()
    assert index["path"].tolist() == manifest.paths.tolist()
    pd.testing.assert_frame_equal(index, result.index, check_dtype=False)
    for row in index.itertuples():
        image, regions, instances, overlay = (
            opened(path)
            for path in (row.path, out / row.regions, out / row.instances, out / row.overlay)
        )
        assert regions.dtype == np.uint8
        assert set(np.unique(regions)) <= {0, 128, 255}
        assert instances.dtype == np.uint16
        assert regions.shape == instances.shape == image.shape[:2]
        np.testing.assert_array_equal(regions > 0, instances > 0)
        assert instances.max() == row.n_cells
        assert overlay.shape == image.shape
    blank = index[index["image_id"] == "b__blank"].iloc[0]
    assert blank["n_cells"] == 0
    assert "no_cell" in blank["flags"]
    assert sorted(p.name for p in out.iterdir()) == [
        "cells.parquet",
        "contact_sheet.jpg",
        "index.csv",
        "instances",
        "overlays",
        "regions",
        "segmentation.json",
    ]


def test_the_table_has_a_row_for_each_cell(manifest, out):
    result = segment_images(manifest, out, spacing=0.1)
    table = pd.read_parquet(out / "cells.parquet")
    names = [feature.name for feature in select_features()]
    assert table.columns.tolist() == [*manifest.frame.columns, *CELL_COLUMNS, *names]
    assert len(table) == result.n_cells == result.index["n_cells"].sum()
    assert not table[names].isna().any(axis=None)
    first = table.iloc[0]
    instances = opened(out / f"instances/{first['image_id']}.png")
    assert first["cell_area"] == pytest.approx(0.01 * (instances == first["number"]).sum())
    assert first["label"] == "a"


def test_the_contact_sheet_begins_with_the_most_doubtful(manifest, out, monkeypatch):
    captions = []

    def caught(pictures, count):
        captions.extend(caption for _, caption in pictures)
        return np.zeros((20, 20, 3), dtype=np.uint8)

    monkeypatch.setattr(files_pictures, "draw_contact_sheet", caught)
    segment_images(manifest, out)
    assert captions[0] == "b__blank"
    assert len(captions) == len(manifest)


def test_an_interrupted_run_is_resumed(manifest, out, monkeypatch):
    write = files.write_pictures

    def interrupted(folder, record, cells):
        if record["image_id"] == "b__0":
            raise KeyboardInterrupt
        return write(folder, record, cells)

    monkeypatch.setattr(files, "write_pictures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        segment_images(manifest, out)
    before = times(out)
    assert before
    assert not (out / "index.csv").exists()
    assert not [p for p in out.rglob(".*") if p.is_file()]
    monkeypatch.undo()
    segment_images(manifest, out)
    after = times(out)
    assert {path: after[path] for path in before} == before
    assert len(after) == 3 * len(manifest)


def test_the_same_call_again_keeps_every_picture(manifest, out):
    first = segment_images(manifest, out)
    before = times(out)
    again = segment_images(manifest, out)
    assert times(out) == before
    pd.testing.assert_frame_equal(first.index, again.index)


def test_other_results_are_replaced_only_when_asked(manifest, out):
    segment_images(manifest, out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds results of other images or settings"):
        segment_images(manifest, out, method="hsv")
    segment_images(manifest.subset([0, 1]), out, method="hsv", overwrite=True)
    assert len(list((out / "regions").iterdir())) == 2
    assert json.loads((out / "segmentation.json").read_text())["method"] == "hsv"
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_refused(manifest, out, overwrite):
    out.mkdir()
    (out / "thesis.doc").write_text("mine")
    (out / "zoo").mkdir()
    with pytest.raises(OutputError, match=r"holds thesis\.doc and 1 more, .* an empty folder\."):
        segment_images(manifest, out, overwrite=overwrite)
    assert sorted(p.name for p in out.iterdir()) == ["thesis.doc", "zoo"]
    file = out / "thesis.doc"
    with pytest.raises(OutputError, match="is a file; name a folder"):
        segment_images(manifest, file, overwrite=overwrite)


def test_images_that_cannot_be_read_are_listed(smears, out, tmp_path):
    whole = (smears / "a" / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "good.png").write_bytes(whole)
    listed = Manifest.from_paths([tmp_path / "cut.png", tmp_path / "good.png"])
    result = segment_images(listed, out)
    skipped = pd.read_csv(out / "skipped.csv")
    assert len(result.index) + len(skipped) == 2
    assert skipped["path"].iloc[0].endswith("cut.png")


def test_a_full_disk_is_told_in_one_sentence(manifest, out, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_pictures, "_save", full)
    with pytest.raises(OutputError, match="cannot be written .No space left on device."):
        segment_images(manifest, out)


def test_an_unknown_method_is_refused_before_anything_is_written(manifest, out):
    with pytest.raises(InputError, match="method is 'magic'"):
        segment_images(manifest, out, method="magic")
    assert not out.exists()


def test_images_without_a_single_cell_give_an_empty_table(smears, out):
    blank = Manifest.from_paths([smears / "b" / "blank.png"])
    assert segment_images(blank, out).n_cells == 0
    assert pd.read_parquet(out / "cells.parquet").empty


def test_files_of_other_origin_are_never_removed(manifest, out):
    (out / "regions").mkdir(parents=True)
    drawn_by_hand = out / "regions" / "mine.png"
    drawn_by_hand.write_bytes(b"mine")
    with pytest.raises(OutputError, match="regions, which no run of this command wrote"):
        segment_images(manifest, out, cache=None, overwrite=True)
    assert drawn_by_hand.read_bytes() == b"mine"


def test_overwriting_makes_every_picture_again(manifest, out):
    segment_images(manifest, out, cache=None)
    picture = next((out / "regions").glob("*.png"))
    sound = picture.read_bytes()
    picture.write_bytes(b"garbage")
    segment_images(manifest, out, cache=None, overwrite=True)
    assert picture.read_bytes() == sound


def test_hidden_files_are_no_content(manifest, out):
    out.mkdir(exist_ok=True)
    (out / ".DS_Store").write_bytes(b"x")
    assert segment_images(manifest, out, cache=None).n_cells >= 0


def test_only_listed_pictures_are_removed(manifest, out):
    segment_images(manifest, out)
    mine = [out / "regions" / "hand_drawn.png", out / "overlays" / "mine.jpg"]
    for path in mine:
        path.write_text("mine")
    segment_images(manifest.subset([0]), out, overwrite=True)
    assert all(path.read_text() == "mine" for path in mine)
    assert len(list((out / "instances").iterdir())) == 1
    theirs = out / "regions" / f"{manifest.image_ids[1]}.png"
    theirs.write_text("mine")
    with pytest.raises(OutputError, match="no run of this command wrote"):
        segment_images(manifest, out, overwrite=True)
    assert theirs.read_text() == "mine"


def test_a_damaged_picture_is_made_again_on_resuming(manifest, out):
    index = segment_images(manifest, out).index
    damaged = out / index["overlay"][0]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    (out / "index.csv").unlink()
    segment_images(manifest, out)
    assert damaged.read_bytes() == whole


def test_a_field_without_central_cell_is_not_doubtful():
    cells = Cells.__new__(Cells)
    object.__setattr__(cells, "flags", ("no_central_cell",))
    object.__setattr__(cells, "cells", ())
    assert files_pictures.doubtfulness(cells) == 0
