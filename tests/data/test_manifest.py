import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk import Manifest, progress
from hybridleuk.data import scan
from hybridleuk.data.file_hashes import remembering_files
from hybridleuk.exceptions import ManifestError


def save(path, value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20, 3), value, np.uint8)).save(path)
    return path


@pytest.fixture
def study(tmp_path):
    for k, name in enumerate(
        ["blast/P1_a.png", "blast/P2_b.png", "other/P1_a.png", "other/P3.png"]
    ):
        save(tmp_path / "study" / name, 10 * k)
    return tmp_path / "study"


def test_folder_gives_one_row_per_image(study):
    manifest = Manifest.from_folder(study)
    assert manifest.labels.tolist() == ["blast", "blast", "other", "other"]
    assert manifest.classes == ["blast", "other"]
    assert manifest.groups is None
    assert manifest.group_kind == "none"
    first = (study / "blast" / "P1_a.png").read_bytes()
    assert manifest.frame["sha256"][0] == hashlib.sha256(first).hexdigest()


def test_equal_names_stay_two_images(study):
    manifest = Manifest.from_folder(study)
    assert manifest.image_ids.tolist() == [
        "blast__P1_a",
        "blast__P2_b",
        "other__P1_a",
        "other__P3",
    ]


def test_image_ids_are_unique_whatever_the_names(tmp_path):
    for name in ["a/x.png", "a/x.bmp", "a/X.png", "a__x.png", "a/b c.png", "a/b_c.png"]:
        save(tmp_path / name)
    paths = sorted(tmp_path.rglob("*.*"))
    ids = [name.casefold() for name in scan.make_image_ids(map(str, paths), tmp_path)]
    assert len(set(ids)) == len(paths)


@pytest.fixture
def no_text(study):
    """The study with a file and a folder whose names are Latin-1."""
    names = (b"blast/P4_gr\xfcn.png", b"other/\xe9t\xe9/P4.png")
    for name in names:
        path = Path(os.fsdecode(os.fsencode(study) + b"/" + name))
        try:
            save(path, 200)
        except OSError:
            pytest.skip("this file system takes no such names")
    return study


@pytest.mark.parametrize("cache", [True, False])
def test_names_that_are_no_text_are_skipped_files(no_text, tmp_path, cache):
    with remembering_files(str(tmp_path / "cache") if cache else None):
        manifest = Manifest.from_folder(no_text, group_regex=r"(P\d)")
    assert (len(manifest), len(manifest.skipped), manifest.n_found) == (4, 2, 6)
    assert manifest.skipped["path"].tolist() == [
        f"{no_text}/blast/P4_gr\ufffdn.png",
        f"{no_text}/other/\ufffdt\ufffd/P4.png",
    ]
    assert manifest.skipped["reason"].str.contains("not valid UTF-8; rename it").all()
    assert manifest.skipped["group"].tolist() == ["P4", "P4"]
    manifest.skipped.to_csv(tmp_path / "list.csv")
    assert len(manifest.checked(cache=str(tmp_path / "cache"))) == 4


def test_lists_of_names_that_are_no_text(no_text):
    found = sorted(os.path.join(folder, n) for folder, _, ns in os.walk(no_text) for n in ns)
    listed = Manifest.from_paths(found, groups=[str(k) for k in range(len(found))])
    matched = Manifest.from_source(f"{no_text}/**/*.png")
    for manifest in (listed, matched):
        assert (len(manifest), len(manifest.skipped)) == (4, 2)
    assert len(set(listed.groups) | set(listed.skipped["group"])) == 6
    (bad,) = [path for path in found if "P4_" in path]
    with pytest.raises(ManifestError, match="P4_gr\ufffdn.png: the name of the file"):
        Manifest.from_source(bad)


def test_files_that_cannot_be_read_are_no_conflict_of_labels(no_text, monkeypatch):
    notes = []
    monkeypatch.setattr(progress, "note", notes.append)
    Manifest.from_folder(no_text)
    assert notes == []


def test_groups_of_skipped_files(study):
    (study / "blast" / "P1_b.png").write_bytes(b"")
    (study / "blast" / "P7_a.png").write_bytes(b"")
    (study / "other" / "notes.txt").write_text("nobody's")
    whole = (study / "other" / "P3.png").read_bytes()
    (study / "other" / "P3.png").write_bytes(whole[:60])
    manifest = Manifest.from_folder(study, group_regex=r"(P\d)").checked(cache=None)
    groups = dict(zip(manifest.skipped["path"], manifest.skipped["group"], strict=True))
    named = {os.path.basename(path): group for path, group in groups.items()}
    assert named == {"P1_b.png": "P1", "P7_a.png": "P7", "notes.txt": None, "P3.png": "P3"}


def test_clutter_is_ignored_and_counted_the_rest_is_accounted_for(study):
    (study / "blast" / ".DS_169665.jpg").write_bytes(b"Bud1")
    (study / "blast" / "Thumbs.db").write_bytes(b"x")
    (study / "blast" / "zero.jpg").write_bytes(b"")
    (study / "other" / "notes.txt").write_text("not an image")
    save(study / "stray.png")
    manifest = Manifest.from_folder(study)
    assert manifest.ignored == 2
    assert len(manifest) == 4
    assert manifest.n_found == 7
    reasons = {os.path.basename(row.path): row.reason for row in manifest.skipped.itertuples()}
    assert "0 bytes" in reasons["zero.jpg"]
    assert "not an image" in reasons["notes.txt"]
    assert "no class" in reasons["stray.png"]


def test_truncated_image_is_found_when_decoding(study):
    path = save(study / "blast" / "cut.png")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-3000])
    manifest = Manifest.from_folder(study)
    assert len(manifest) == 5
    checked = manifest.checked()
    assert len(checked) == 4
    assert checked.n_found == 5
    assert "cut.png" in checked.skipped["reason"][0]


def test_second_check_decodes_nothing(study, monkeypatch):
    manifest = Manifest.from_folder(study).checked()
    monkeypatch.setattr(scan, "read_image", None)
    assert len(manifest.checked()) == 4


def test_flat_folder_has_no_labels(tmp_path):
    save(tmp_path / "a.png")
    assert Manifest.from_folder(tmp_path).labels is None


def test_linked_folders_are_followed_once(study, tmp_path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "blast").symlink_to(study / "blast")
    (study / "blast" / "loop").symlink_to(study / "blast")
    assert len(Manifest.from_folder(tmp_path / "linked")) == 2


def test_groups_from_regex(study):
    manifest = Manifest.from_source(study, group_regex=r"(P\d)")
    assert manifest.groups.tolist() == ["P1", "P2", "P1", "P3"]
    assert manifest.group_kind == "patient"
    named = Manifest.from_folder(study, group_regex=r"(x)?(?P<group>P\d)")
    assert named.groups.tolist() == ["P1", "P2", "P1", "P3"]


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        (r"(P1)", "does not match 2 of 4 files, first blast/P2_b.png"),
        (r"P\d", "no parentheses"),
        (r"(P\d", "malformed"),
    ],
)
def test_group_regex_that_cannot_work(study, regex, message):
    with pytest.raises(ManifestError, match=message):
        Manifest.from_folder(study, group_regex=regex)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_table_with_paths_relative_to_it(study, suffix):
    table = pd.DataFrame(
        {
            "path": ["blast/P1_a.png", "other/P3.png"],
            "label": ["1", "0"],
            "patient": ["01", "02"],
        }
    )
    source = study / f"m.{suffix}"
    table.to_csv(source, index=False) if suffix == "csv" else table.to_parquet(source)
    manifest = Manifest.from_source(source, group_column="patient")
    assert manifest.labels.tolist() == ["1", "0"]
    assert manifest.groups.tolist() == ["01", "02"]
    assert manifest.group_kind == "patient"


def test_written_manifest_reads_back(study, tmp_path):
    manifest = Manifest.from_folder(study, group_regex=r"(P\d)")
    manifest.write(tmp_path / "elsewhere.csv")
    back = Manifest.from_file(tmp_path / "elsewhere.csv")
    pd.testing.assert_frame_equal(back.frame, manifest.frame)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,x\n", "no column 'path'; found file, label"),
        ("path,label\nblast/P1_a.png,x\nnowhere.png,y\n", "1 of 2 files do not exist, first .*now"),
        ("path,label\nblast/P1_a.png,x\n./blast/P1_a.png,y\n", "listed twice"),
        ("path,label\nblast/P1_a.png,x\nblast/P2_b.png,\n", "1 images have no label, first in row"),
        ("path,label\n", "no rows"),
        ("path,label\n,x\n", "1 rows have no path"),
        ("", "cannot be read as a table"),
        ("path,image_id\nblast/P1_a.png,q\nblast/P2_b.png,Q\n", "'Q' is given twice"),
        ("path,image_id\nblast/P1_a.png,../q\n", "cannot be a file name"),
    ],
)
def test_table_that_cannot_be_used(study, text, message):
    (study / "m.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        Manifest.from_source(study / "m.csv")


def test_missing_group_column_is_named(study):
    (study / "m.csv").write_text("path,label\nblast/P1_a.png,x\n")
    with pytest.raises(ManifestError, match="no column 'who' for the groups; found path, label"):
        Manifest.from_source(study / "m.csv", group_column="who")
    with pytest.raises(ManifestError, match="needs a CSV or Parquet manifest"):
        Manifest.from_source(study, group_column="who")


def test_empty_and_missing_sources(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no files in it; expected images"):
        Manifest.from_source(tmp_path / "empty")
    (tmp_path / "empty" / ".hidden").write_text("x")
    with pytest.raises(ManifestError, match="no files in it but 1 hidden ones"):
        Manifest.from_source(tmp_path / "empty")
    with pytest.raises(ManifestError, match="no such file or folder"):
        Manifest.from_source(tmp_path / "nowhere")
    (tmp_path / "empty" / "a.png").write_text("x")
    with pytest.raises(ManifestError, match="None of the 1 files"):
        Manifest.from_source(tmp_path / "empty")


def test_glob_single_file_and_list(study):
    assert len(Manifest.from_source(f"{study}/*/P1*.png")) == 2
    assert len(Manifest.from_source(study / "other" / "P3.png")) == 1
    assert len(Manifest.from_source([study / "other" / "P3.png"])) == 1
    with pytest.raises(ManifestError, match="listed twice"):
        Manifest.from_paths([study / "other" / "P3.png"] * 2)


def test_sample_and_subset(study):
    manifest = Manifest.from_folder(study)
    assert manifest.sample(1).labels.tolist() == ["blast", "other"]
    assert manifest.subset(manifest.labels == "other").labels.tolist() == ["other", "other"]
    assert manifest.subset([3, 0]).labels.tolist() == ["other", "blast"]


def test_real_desktop_file_is_ignored(real_data):
    manifest = Manifest.from_folder(real_data / "pbc-dev")
    assert (len(manifest), len(manifest.skipped), manifest.ignored) == (4800, 0, 1)
    assert len(manifest.classes) == 8


def test_feature_file_serves_as_manifest(study):
    table = pd.DataFrame({"path": ["blast/P1_a.png", "other/P3.png"], "label": ["x", "y"]})
    table["embedding"] = [np.zeros(3), np.ones(3)]
    table.to_parquet(study / "f.parquet")
    assert Manifest.from_source(study / "f.parquet").labels.tolist() == ["x", "y"]


def test_what_the_user_should_know_is_said(study):
    notes = []

    class Listening(progress.Listener):
        def noted(self, text):
            notes.append(text)

    (study / "manifest.csv").write_text("path\n")
    (study / "other" / "copy.png").write_bytes((study / "blast" / "P2_b.png").read_bytes())
    with progress.report_to(Listening()):
        Manifest.from_folder(study)
    assert "manifest.csv was not used" in notes[0]
    assert "1 file(s) lie in the data under two labels" in notes[1]
