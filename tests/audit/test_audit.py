import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk import Manifest
from hybridleuk.audit import survey as survey_module
from hybridleuk.audit.audit import audit
from hybridleuk.audit.record import Record
from hybridleuk.data.cache import Cache
from hybridleuk.exceptions import InputError, ManifestError


def of(entries, problem):
    return {entry["path"] for entry in entries if entry["problem"] == problem}


def cluster_with(audited, name):
    found = [c for c in audited.audit.document["duplicates"] if any(name in i for i in c["images"])]
    return {cluster["kind"]: cluster for cluster in found}


def test_files(planted, audited):
    files = audited.audit.document["files"]
    assert of(files, "truncated") == {str(planted.extra / "cut.png")}
    assert of(files, "wrong extension") == {str(planted.paths[6])}
    assert of(files, "odd size") == {str(planted.paths[7])}
    assert of(files, "odd mode") == {str(planted.paths[8])}
    assert of(files, "EXIF rotation") == {str(planted.paths[9])}
    assert of(files, "scale bar") == {str(planted.paths[10])}
    assert of(files, "text") == {str(planted.paths[11])}
    assert files[0]["problem"] == "truncated", "what cannot be read comes first"


def test_copy_of_bytes(planted, audited):
    cluster = cluster_with(audited, "bytes.png")["bytes"]
    assert set(cluster["images"]) == {str(planted.paths[0]), str(planted.extra / "bytes.png")}
    assert (cluster["across"], cluster["conflict"]) == ("none", False)
    assert len(cluster["labels"]) == len(cluster["groups"]) == len(cluster["splits"]) == 2


def test_copy_with_another_label_is_an_error_of_the_data(audited):
    cluster = cluster_with(audited, "label.png")["bytes"]
    assert (cluster["across"], cluster["conflict"]) == ("class", True)
    assert set(cluster["labels"]) == {"Benign", "Pro"}


def test_copy_of_pixels_across_split_and_group(planted, audited):
    found = cluster_with(audited, "pixels.bmp")
    assert list(found) == ["pixels"]
    assert found["pixels"]["across"] == "split", "more serious than across groups"
    assert set(found["pixels"]["images"]) == {
        str(planted.paths[2]),
        str(planted.extra / "pixels.bmp"),
    }


def test_turned_and_compressed_copy(planted, audited):
    cluster = cluster_with(audited, "near.jpg")["near"]
    assert set(cluster["images"]) == {str(planted.paths[3]), str(planted.extra / "near.jpg")}
    assert cluster["score"] >= 0.9


def test_no_other_duplicates(audited):
    assert len(audited.audit.document["duplicates"]) == 4
    assert audited.audit.document["duplicates"][0]["across"] == "split", "the most serious first"


def test_dark_image(planted, audited):
    assert of(audited.audit.document["quality"], "too dark") == {str(planted.paths[12])}


def test_cleaned_manifest(planted, audited):
    cleaned = audited.audit.cleaned
    names = {str(path) for path in cleaned.paths}
    reasons = dict(zip(cleaned.skipped["path"], cleaned.skipped["reason"], strict=True))
    assert len(cleaned) + len(reasons) == audited.manifest.n_found
    assert {str(planted.paths[1]), str(planted.extra / "label.png")} <= set(reasons)
    assert "contradict" in reasons[str(planted.paths[1])]
    assert str(planted.extra / "pixels.bmp") in names, "the copy in the test part is kept"
    assert "which is kept" in reasons[str(planted.paths[2])]
    assert str(planted.paths[0]) in names
    assert all(path.is_file() for path in planted.paths), "nothing is deleted"


def test_written_files(audited, tmp_path):
    target = audited.audit.write(tmp_path / "out")
    read = json.loads(target.read_text())
    assert read == audited.audit.document
    written = {path.name for path in target.parent.iterdir()}
    assert {"audit.json", "cleaned.csv", "left_out.csv"} <= written
    again = Manifest.from_file(target.parent / "cleaned.csv", group_column="pseudo_group")
    assert len(again) == len(audited.audit.cleaned)
    assert set(again.groups) == set(audited.audit.pseudo_groups)
    left_out = pd.read_csv(target.parent / "left_out.csv")
    assert len(left_out) == len(audited.audit.cleaned.skipped)


def test_contract_of_the_document(audited):
    document = audited.audit.document
    assert {
        "dataset",
        "files",
        "duplicates",
        "shortcuts",
        "acquisition",
        "suspect_labels",
        "quality",
        "balance",
        "verdict",
        "versions",
        "command",
    } <= set(document)
    assert document["dataset"]["n_images"] == len(audited.manifest) - 1
    assert {"name", "balanced_accuracy", "chance", "p_value"} <= set(document["shortcuts"][0])
    assert {"n_clusters", "nmi_with_class"} <= set(document["acquisition"])
    assert len(document["acquisition"]["clusters"]) == document["dataset"]["n_images"]


def test_verdict_begins_with_leakage(audited):
    first, second = audited.audit.verdict[:2]
    assert "several parts of the split" in first
    assert any("different labels" in text for text in audited.audit.verdict[:3]), second


def test_fails(audited):
    assert audited.audit.fails(["leakage", "duplicates", "files", "labels"]) == [
        "leakage",
        "duplicates",
        "files",
        "labels",
    ]
    with pytest.raises(InputError, match="Cannot fail on 'leaks'; choose of leakage, duplicates"):
        audited.audit.fails(["leaks"])


def test_second_run_measures_nothing_and_says_the_same(planted, audited, monkeypatch):
    look, looked_at = survey_module._look, []
    monkeypatch.setattr(survey_module, "_look", lambda job: looked_at.append(job.path) or look(job))
    again = audit(audited.manifest, cache=audited.cache, workers=1, command="test")
    assert again.document == audited.audit.document
    assert looked_at == [str(planted.extra / "cut.png")], "what cannot be read is tried again"


def test_survey_feeds_the_caches_of_others(audited, monkeypatch):
    """What the audit measured is found where everyone looks for it."""
    from hybridleuk import MorphologyFeatures
    from hybridleuk.data import fingerprints as fingerprints_module
    from hybridleuk.evaluation import shortcuts as shortcuts_module
    from hybridleuk.morphology import measuring
    from hybridleuk.segmentation import cells as cells_module

    images = list(audited.audit.cleaned.paths[:5])
    for module, name in (
        (cells_module, "_packed"),
        (fingerprints_module, "fingerprint"),
        (shortcuts_module, "_measure"),
        (measuring, "_measured_batch"),
    ):
        monkeypatch.setattr(module, name, None)
    assert len(list(cells_module.iter_cells(images, cache=audited.cache))) == 5
    assert len(fingerprints_module.fingerprints(images, cache=audited.cache)[0]) == 5
    assert shortcuts_module.shortcut_features(images, ["background only"], cache=audited.cache)
    assert len(MorphologyFeatures(cache=audited.cache).fit_transform(images)) == 5


def test_survey_is_the_same_in_parallel(planted, tmp_path):
    paths = [str(path) for path in planted.paths[20:24]]
    hashes = [f"{k:064x}" for k in range(4)]
    with Cache(tmp_path / "a") as first, Cache(tmp_path / "b") as second:
        alone = survey_module.survey(paths, hashes, first, workers=1)
        survey_module._WORTH_WORKERS, kept = 1, survey_module._WORTH_WORKERS
        try:
            together = survey_module.survey(paths, hashes, second, workers=2)
        finally:
            survey_module._WORTH_WORKERS = kept
    assert alone == together
    assert all(isinstance(record, Record) for record in alone)


def test_features_of_ones_own(audited):
    """Labels are doubted by the table that is given."""
    rng = np.random.default_rng(0)
    labels = (audited.manifest.labels == "Pro").astype(int)
    table = rng.normal(size=(len(labels), 3))
    table[:, 0] += 8 * labels
    wrong = int(np.flatnonzero(labels == 1)[5])
    table[wrong, 0] -= 8
    found = audit(audited.manifest, cache=audited.cache, workers=1, features=table)
    suspects = found.document["suspect_labels"]
    assert suspects[0]["path"] == str(audited.manifest.paths[wrong])
    assert (suspects[0]["label"], suspects[0]["suggested"]) == ("Pro", "Benign")


def test_features_of_another_length(audited):
    with pytest.raises(InputError, match=r"features has the shape \(3, 2\); expected finite"):
        audit(audited.manifest, cache=None, features=np.zeros((3, 2)))


def test_without_labels_and_with_few_images(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(3):
        noise = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    found = audit(Manifest.from_folder(tmp_path), cache=None, workers=1)
    document = found.document
    assert document["shortcuts"] == document["suspect_labels"] == []
    assert document["acquisition"]["n_clusters"] == 1
    assert document["acquisition"]["nmi_with_class"] is None
    assert found.pseudo_groups is None
    assert found.verdict


def test_nothing_is_left_where_every_label_is_contradicted(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for name in ("A/0", "A/1", "B/0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    found = audit(Manifest.from_folder(tmp_path), cache=None, workers=1)
    assert len(found.cleaned) == 0
    assert "and no image is left" in " ".join(found.verdict)
    (reason,) = [r for r in found.cleaned.skipped["reason"] if "A/1.png: shows" in r]
    assert "the same as" in reason
    assert "B/0.png, and their labels contradict each other (A, B)" in reason
    found.write(tmp_path / "out")
    assert (tmp_path / "out" / "cleaned.csv").read_text().startswith("image_id,path,label")
    assert len(pd.read_csv(tmp_path / "out" / "left_out.csv")) == 3


def test_a_size_that_differs_little_is_not_odd(tmp_path):
    rng = np.random.default_rng(0)
    for number, side in enumerate([40] * 12 + [41, 48]):
        noise = rng.integers(0, 255, (side, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.png")
    found = audit(Manifest.from_folder(tmp_path), cache=None, workers=1)
    assert of(found.document["files"], "odd size") == {str(tmp_path / "13.png")}


def test_nothing_readable(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ManifestError, match="None of the 1 files"):
        audit(Manifest.from_paths([path]), cache=None, workers=1)
