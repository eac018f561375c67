"""What a folder becomes when its data set is recognised: what it was before, and what is told."""

import numpy as np
import pandas as pd
import pytest

from hybridleuk import Manifest
from hybridleuk.data.datasets.cards import CARDS
from hybridleuk.exceptions import InputError, ManifestError


def same_but_split(one, other):
    return one.frame.drop(columns="split").equals(other.frame.drop(columns="split"))


@pytest.mark.parametrize("name", CARDS)
def test_every_data_set_is_read_without_being_named(draw, name, notes):
    root = draw(name)
    manifest = Manifest.from_source(root)
    assert any(note.startswith("Recognised as") and f"({name}," in note for note in notes)
    assert any("--dataset none" in note for note in notes)
    assert manifest.n_found == len(manifest) + len(manifest.skipped)
    assert manifest.frame.equals(Manifest.from_source(root, dataset=name).frame)
    assert manifest.root in (root, root / "bloodmnist.npz")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("all", "Original"),
        ("pbc", "PBC_dataset_normal_DIB"),
        ("aml-matek", "AML-Cytomorphology"),
        ("raabin", "TestA"),
        ("lisc", "Main Dataset"),
    ],
)
def test_a_folder_of_class_folders_is_what_it_was(draw, name, folder, notes):
    root = draw(name) / folder
    known, plain = Manifest.from_source(root), Manifest.from_source(root, dataset="none")
    assert any(note.startswith("Recognised as") for note in notes)
    assert same_but_split(known, plain)
    assert known.skipped.equals(plain.skipped)
    assert known.ignored == plain.ignored
    assert plain.frame.equals(Manifest.from_folder(root).frame)


def test_names_of_class_folders_are_kept(draw):
    root = draw("pbc") / "PBC_dataset_normal_DIB"
    (root / "ig").rename(root / "immature")
    assert Manifest.from_source(root).classes == ["basophil", "immature", "neutrophil", "platelet"]


def test_a_cell_in_the_folder_of_another_class_stays_there(draw):
    root = draw("pbc") / "PBC_dataset_normal_DIB"
    (root / "ig" / "MMY_12.jpg").rename(root / "platelet" / "MMY_12.jpg")
    manifest = Manifest.from_source(root)
    assert same_but_split(manifest, Manifest.from_folder(root))


def test_own_images_in_class_folders_are_kept(draw, save, notes):
    root = draw("pbc") / "PBC_dataset_normal_DIB"
    save(root / "ig" / "patient7.png")
    manifest = Manifest.from_source(root)
    assert same_but_split(manifest, Manifest.from_folder(root))
    assert "ig__patient7" in manifest.image_ids
    assert any("1 images are named like no file of pbc" in note for note in notes)


def test_a_flat_folder_with_other_images_is_a_plain_one(draw, save, notes):
    root = draw("zheng-1") / "Dataset 1"
    save(root / "patient7.png")
    manifest = Manifest.from_source(root)
    assert len(manifest) == 7
    assert manifest.labels is None
    assert notes == []
    assert len(Manifest.from_source(root, dataset="zheng-1")) == 3


def test_other_images_beside_are_listed_as_skipped(draw, save):
    root = draw("all")
    save(root / "preview.png")
    manifest = Manifest.from_source(root)
    assert manifest.skipped["path"].tolist() == [str(root / "preview.png")]
    assert manifest.skipped["reason"].tolist() == ["named like no file of the data set all"]
    assert manifest.n_found == 9


def test_patients_of_a_data_set_and_how_they_came_to_be(draw):
    root = draw("c-nmc")
    broken = root / "C-NMC_training_data" / "fold_0" / "all" / "UID_1_1_2_all.bmp"
    broken.write_bytes(b"BM")
    manifest = Manifest.from_source(root)
    assert sorted(set(manifest.groups)) == ["1", "11", "57", "H24", "H49", "H6"]
    assert manifest.group_kind == "patient"
    assert "after UID_" in manifest.group_rule
    assert manifest.skipped["group"].tolist() == ["1"]


def test_a_group_regex_wins_over_the_card(draw):
    root = draw("c-nmc") / "C-NMC_training_data"
    manifest = Manifest.from_source(root, group_regex=r"(fold_\d)")
    assert sorted(set(manifest.groups)) == ["fold_0", "fold_1"]
    assert manifest.group_rule == ""
    assert manifest.classes == ["all", "hem"]


def test_patients_that_only_some_images_tell_are_not_used(draw, save, notes):
    root = draw("c-nmc") / "C-NMC_training_data" / "fold_0"
    (root / "hem").mkdir()
    save(root / "hem" / "mine.png")
    manifest = Manifest.from_source(root, dataset="c-nmc")
    assert manifest.groups is None
    assert any("1 of 4 images tell no patient" in note for note in notes)


def test_classes_that_only_some_images_have_are_not_used(draw, notes):
    root = draw("zheng-1")
    (root / "Class Labels of Dataset 1.csv").write_text("image ID,class label\n1,2\n2,1\n")
    assert Manifest.from_source(root).labels is None
    assert any("1 of 3 images have no class" in note for note in notes)


def test_a_part_by_name(draw):
    manifest = Manifest.from_source(draw("all"), dataset="all:segmented")
    assert len(manifest) == 8
    assert all("/Segmented/" in path for path in manifest.paths)


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("kaggle", "No data set 'kaggle'; known are all"),
        ("all:Masks", "no part 'Masks' here; there are Original, Segmented"),
        ("c-nmc", "no file is named like those of c-nmc"),
    ],
)
def test_names_that_are_wrong(draw, dataset, said):
    with pytest.raises(InputError, match=said):
        Manifest.from_source(draw("all"), dataset=dataset)


def test_a_data_set_is_a_folder(draw, tmp_path):
    root = draw("all")
    image = next(root.rglob("*.jpg"))
    pd.DataFrame({"path": [image]}).to_csv(tmp_path / "m.csv", index=False)
    for source in (tmp_path / "m.csv", image, [image], f"{root}/**/*.jpg"):
        with pytest.raises(ManifestError, match="read from its folder or archive"):
            Manifest.from_source(source, dataset="all")
        assert len(Manifest.from_source(source, dataset="none")) > 0


def test_anybodys_training_folder_is_not_raabins(save, tmp_path):
    for label in ("NEUTROPHIL", "LYMPHOCYTE"):
        for number in range(3):
            save(tmp_path / "images" / "TRAIN" / label / f"_0_{number}.jpeg")
    manifest = Manifest.from_source(tmp_path / "images")
    assert manifest.classes == ["TRAIN"]


def test_thousands_of_files_are_looked_at_once(tmp_path, monkeypatch):
    """Recognition asks each card about a sample, and only a likely card about every file."""
    from hybridleuk.data.datasets.card import Part

    folder = tmp_path / "mine"
    folder.mkdir()
    for number in range(600):
        (folder / f"slide-{number}.png").write_bytes(b"")
    asked = []
    monkeypatch.setattr(Part, "match", lambda self, path: asked.append(path))
    with pytest.raises(ManifestError, match="usable image"):
        Manifest.from_source(folder)
    assert len(set(asked)) == 256


def test_real_pbc_is_what_it_was(real_data):
    known = Manifest.from_source(real_data / "pbc-dev")
    plain = Manifest.from_source(real_data / "pbc-dev", dataset="none")
    assert known.frame.equals(plain.frame)
    assert len(known) == 4800


def test_real_zheng_and_bccd(real_data):
    zheng = Manifest.from_source(real_data / "wbc-zheng-1")
    assert dict(zip(*np.unique(zheng.labels, return_counts=True), strict=True)) == {
        "basophil": 1,
        "eosinophil": 22,
        "lymphocyte": 53,
        "monocyte": 48,
        "neutrophil": 176,
    }
    bccd = Manifest.from_source(real_data / "bccd-trainval")
    assert len(bccd) == 292
    assert set(bccd.frame["split"]) == {"train", "val"}
