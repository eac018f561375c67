"""A data set is known again whole, renamed, nested and halved; nothing else is taken for one."""

import shutil

import pytest

from hybridleuk.data.datasets.cards import CARDS
from hybridleuk.data.datasets.checking import check_dataset
from hybridleuk.data.datasets.recognition import recognise
from hybridleuk.exceptions import ManifestError


@pytest.mark.parametrize("name", CARDS)
def test_each_is_recognised(draw, name):
    found = recognise(draw(name))
    assert found.card.name == name
    assert found.others == ()


@pytest.mark.parametrize("name", CARDS)
def test_nested_in_another_folder_and_its_own_folder_renamed(draw, name, tmp_path):
    other = tmp_path / "somewhere" / "my copy" / "data"
    other.parent.mkdir(parents=True)
    draw(name).rename(other)
    assert recognise(other.parent).card.name == name


@pytest.mark.parametrize("name", ["all", "pbc", "aml-matek", "bccd", "zheng-1", "c-nmc"])
def test_half_of_it(draw, name):
    root = draw(name)
    files = sorted(path for path in root.rglob("*") if path.suffix in {".jpg", ".bmp", ".tiff"})
    for path in files[::2]:
        path.unlink()
    assert recognise(root).card.name == name


def test_class_folders_renamed(draw):
    root = draw("pbc")
    (root / "PBC_dataset_normal_DIB" / "ig").rename(root / "PBC_dataset_normal_DIB" / "immature")
    found = recognise(root)
    labels = {f.path.name: f.label for f in found.files}
    assert labels["PMY_2.jpg"] == labels["MMY_12.jpg"] == "ig"


def test_the_folder_of_one_part_is_enough(draw):
    root = draw("raabin")
    found = recognise(root / "TestB")
    assert found.card.name == "raabin"
    assert {f.split for f in found.files} == {"test-b"}


@pytest.mark.parametrize(("folder", "part"), [("Original", "Original"), ("Segmented", "Segmented")])
def test_images_on_black_are_told_from_the_original_ones_when_renamed(draw, tmp_path, folder, part):
    other = shutil.copytree(draw("all") / folder, tmp_path / "copy")
    found = recognise(other)
    assert {f.part.name for f in found.files} == {part}


def test_pictures_named_by_numbers_are_not_taken_for_zhengs(save, tmp_path):
    for number in (1, 2, 3):
        save(tmp_path / "mine" / f"{number:03d}.bmp", (200, 210))
    assert recognise(tmp_path / "mine") is None


def test_a_folder_of_something_else(save, tmp_path):
    save(tmp_path / "blast" / "a.png")
    save(tmp_path / "normal" / "b.png")
    assert recognise(tmp_path) is None


def test_images_that_do_not_belong_to_it_are_named(draw, save):
    root = draw("pbc")
    extra = save(root / "PBC_dataset_normal_DIB" / "basophil" / "holiday.jpg")
    found = recognise(root)
    assert found.card.name == "pbc"
    assert found.others == (extra,)


def test_the_name_of_another_data_set(draw):
    with pytest.raises(ManifestError, match=r"no file is named like those of c-nmc"):
        recognise(draw("pbc"), "c-nmc")


def test_no_folder(tmp_path):
    with pytest.raises(ManifestError, match="no such folder"):
        recognise(tmp_path / "none")


def test_hidden_files_are_counted_and_not_read(draw):
    assert recognise(draw("pbc")).ignored == 1


def test_check_counts_by_class_and_names_contradictions(draw):
    root = draw("pbc") / "PBC_dataset_normal_DIB"
    (root / "basophil" / "BA_1.jpg").rename(root / "platelet" / "BA_1.jpg")
    (part,) = check_dataset(recognise(root))
    assert part.n_found == 5
    assert part.n_expected == 17_092
    assert part.classes["ig"] == (2, 2895)
    assert part.classes["eosinophil"] == (0, 3117)
    assert part.other_sizes == 1
    assert part.contradictions == [str(root / "platelet" / "BA_1.jpg")]
    assert part.share == pytest.approx(5 / 17_092)


def test_check_reads_labels_from_the_table_beside(draw):
    images, masks, labels = check_dataset(recognise(draw("zheng-1")))
    assert images.classes["lymphocyte"] == (1, 53)
    assert images.classes["basophil"] == (1, 1)
    assert (masks.n_found, labels.n_found) == (3, 1)
