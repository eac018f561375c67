"""What a known data set becomes as a manifest: classes, patients, splits, and what lies beside."""

from pathlib import Path

import pytest

from hybridleuk import Manifest
from hybridleuk.data.datasets.reading import read_dataset
from hybridleuk.exceptions import ManifestError


def by_name(manifest, column):
    return {Path(row.path).name: getattr(row, column) for row in manifest.frame.itertuples()}


def test_all_reads_the_original_images_and_says_what_lies_beside(draw, notes):
    manifest = read_dataset(draw("all"))
    assert len(manifest) == 8
    assert manifest.classes == ["Benign", "Early", "Pre", "Pro"]
    assert manifest.groups is None
    assert all("/Original/" in path for path in manifest.paths)
    assert any("8 images of the part 'Segmented'" in note for note in notes)


def test_another_part(draw):
    manifest = read_dataset(draw("all"), part="segmented")
    assert all("/Segmented/" in path for path in manifest.paths)


def test_patients_of_cnmc(draw):
    manifest = read_dataset(draw("c-nmc"))
    assert by_name(manifest, "group") == {
        "UID_1_1_1_all.bmp": "1",
        "UID_1_1_2_all.bmp": "1",
        "UID_11_8_2_all.bmp": "11",
        "UID_H6_12_1_hem.bmp": "H6",
        "UID_H24_2_1_hem.bmp": "H24",
        "1.bmp": "57",
        "2.bmp": "H49",
    }
    assert manifest.group_kind == "patient"
    assert by_name(manifest, "label")["1.bmp"] == "all"
    assert by_name(manifest, "label")["2.bmp"] == "hem"
    assert by_name(manifest, "split")["2.bmp"] == "test"
    assert by_name(manifest, "split")["UID_1_1_1_all.bmp"] == "train"


def test_cells_without_a_class_are_read_when_asked_for(draw):
    manifest = read_dataset(draw("c-nmc"), part="C-NMC_test_final_phase_data")
    assert len(manifest) == 3
    assert manifest.labels is None


def test_zhengs_classes_come_from_the_table(draw):
    manifest = read_dataset(draw("zheng-1"))
    expected = {"001.bmp": "lymphocyte", "002.bmp": "neutrophil", "003.bmp": "basophil"}
    assert by_name(manifest, "label") == expected


def test_two_zhengs_in_one_folder(draw):
    draw("zheng-1")
    root = draw("zheng-2")
    manifest = read_dataset(root, "zheng-2")
    assert len(manifest) == 3


def test_bccds_lists_become_the_split(draw):
    manifest = read_dataset(draw("bccd"))
    assert manifest.labels is None
    assert sorted(by_name(manifest, "split").values()) == ["train", "train", "val"]


def test_raabin_with_its_three_parts(draw):
    manifest = read_dataset(draw("raabin"))
    assert manifest.classes == ["Basophil", "Neutrophil"]
    assert sorted(set(by_name(manifest, "split").values())) == ["test", "test-b", "train"]


def test_lisc_keeps_fields_of_several_kinds_apart(draw):
    assert read_dataset(draw("lisc")).classes == ["Basophil", "Eosinophil", "Mixed"]


def test_not_recognised(save, tmp_path):
    save(tmp_path / "blast" / "a.png")
    with pytest.raises(ManifestError, match="not recognised as a known data set; name it"):
        read_dataset(tmp_path)


def test_a_part_that_is_not_there(draw):
    with pytest.raises(ManifestError, match=r"no part 'Masks' here; there are Original, Segmented"):
        read_dataset(draw("all"), part="Masks")


def test_a_table_of_labels_that_is_none(draw):
    root = draw("zheng-1")
    (root / "Class Labels of Dataset 1.csv").write_text("only one column\n1\n")
    with pytest.raises(ManifestError, match=r"1 column\(s\); expected 2"):
        read_dataset(root)


def drawn_names(manifest, column):
    paths = zip(manifest.paths, manifest.frame[column], strict=True)
    return {Path(image).name: Path(drawn).name for image, drawn in paths}


@pytest.mark.parametrize(
    ("name", "column", "stems", "suffixes"),
    [
        ("bccd", "annotations", [f"BloodImage_0000{i}" for i in range(3)], (".jpg", ".xml")),
        ("all-idb1", "annotations", ["Im001_1", "Im002_1", "Im034_0"], (".jpg", ".xyc")),
        ("zheng-1", "mask", ["001", "002", "003"], (".bmp", ".png")),
        ("zheng-2", "mask", ["001", "002", "003"], (".bmp", ".png")),
    ],
)
def test_what_is_drawn_on_images_comes_along(draw, name, column, stems, suffixes):
    manifest = read_dataset(draw(name))
    image, drawn = suffixes
    assert drawn_names(manifest, column) == {stem + image: stem + drawn for stem in stems}
    assert manifest.annotated.all()
    manifest.write(Path(manifest.root) / "list.csv")
    assert Manifest.from_file(Path(manifest.root) / "list.csv").frame.equals(manifest.frame)


def test_lisc_has_fields_of_one_number_and_masks_in_folders_of_kinds(draw):
    frame = read_dataset(draw("lisc")).frame
    pairs = zip(map(Path, frame["path"]), map(Path, frame["mask"]), strict=True)
    folders = {image.parent.name: mask.parents[1].name for image, mask in pairs}
    assert folders == {"Baso": "Baso", "eosi": "eosi", "mixt": "mixt"}


def test_centers_of_lymphoblasts_of_all_idb1(draw):
    manifest = read_dataset(draw("all-idb1"))
    cells = [manifest.annotations(row).cells for row in range(3)]
    assert [len(found) for found in cells] == [1, 1, 0]
    assert cells[0][0].center == (7, 12)
