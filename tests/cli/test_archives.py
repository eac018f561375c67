"""Packed images, as the commands take them: what comes out is what comes out of the folder."""

import json
import shutil
import zipfile

import pandas as pd
import pytest

from hybridleuk.data.artificial import draw_study


@pytest.fixture
def study(tmp_path):
    """Draw two classes, with one file that is cut off."""
    root = tmp_path / "packed" / "smears"
    drawn = draw_study(
        root, n_patients=2, images_per_patient_and_class=2, classes=("Benign", "Pro"), size=64
    )
    broken = root / "Pro" / "broken.png"
    with open(drawn.paths[0], "rb") as file:
        broken.write_bytes(file.read(900))
    return root


def extract(run, images, out):
    arguments = ("extract", images, "-o", out, "--features", "morphology", "--json")
    ended = run(*arguments, "--workers", 2)
    assert ended.status == 0, ended.err
    return json.loads(ended.out), pd.read_parquet(out)


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_features_and_skipped_files_are_those_of_the_folder(run, study, tmp_path, kind):
    archive = shutil.make_archive(str(tmp_path / "all"), kind, study.parent)
    told, packed = extract(run, archive, tmp_path / "out" / "packed.parquet")
    plain_told, plain = extract(run, study, tmp_path / "out" / "plain.parquet")
    assert packed.drop(columns="path").equals(plain.drop(columns="path"))
    assert packed["path"].str.startswith(archive + "/smears/").all()
    counts = ("n_found", "n_images", "n_skipped", "n_ignored")
    assert [told[name] for name in counts] == [plain_told[name] for name in counts]
    assert told["n_found"] == told["n_images"] + told["n_skipped"] == 6
    skipped = pd.read_csv(tmp_path / "out" / "skipped.csv").set_index("output")["path"]
    assert f"{archive}/smears/Pro/broken.png" in set(skipped["packed.parquet"])


def test_nothing_is_written_over_an_archive_or_into_it(run, study, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", study)
    before = zipfile.ZipFile(archive).namelist()
    for out in (archive, f"{archive}/Pro/f.parquet", f"{archive}/f.parquet"):
        ended = run("extract", archive, "-o", out, "--features", "morphology", "--overwrite")
        assert ended.status != 0
        assert len(ended.err.strip().splitlines()) <= 5
        assert "Traceback" not in ended.err
    assert zipfile.ZipFile(archive).namelist() == before


def test_segment_and_check_read_archives(run, study, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", study)
    ended = run("segment", archive, "-o", tmp_path / "masks", "--workers", 1, "--json")
    assert ended.status == 0, ended.err
    assert json.loads(ended.out)["n_images"] == 4
    ended = run("datasets", "check", archive)
    assert ended.status == 1
    assert "not recognised as one of the known data sets" in " ".join(ended.err.split())


def test_an_archive_among_several_images(run, study, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "all"), "zip", study)
    image = next(study.glob("*/*.png"))
    ended = run("count", image, archive, "-o", tmp_path / "c.csv")
    assert ended.status == 1
    assert "give one folder, archive or manifest alone" in " ".join(ended.err.split())
