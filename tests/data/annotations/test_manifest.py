"""Which file belongs to which image: named in a manifest, found by name, or of a known data set."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hybridleuk import Manifest
from hybridleuk.data.annotations.records import AnnotationError
from hybridleuk.exceptions import ManifestError

VOC = (
    "<annotation><object><name>{}</name><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>12</xmax>"
    "<ymax>9</ymax></bndbox></object></annotation>"
)


def picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 30, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def mask(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((20, 30), np.uint8)
    values[5:15, 5:15] = 128
    Image.fromarray(values).save(path)
    return path


@pytest.fixture
def images(tmp_path):
    """Draw two classes of two images each, with the same names."""
    root = tmp_path / "images"
    for seed, name in enumerate(("blast/1", "blast/2", "normal/1", "normal/2")):
        picture(root / f"{name}.png", seed)
    return root


def kinds(manifest):
    return [[cell.kind for cell in manifest.annotations(i).cells] for i in range(len(manifest))]


def test_without_annotations_nothing_changes(images):
    manifest = Manifest.from_folder(images)
    assert not manifest.annotated.any()
    assert list(manifest.frame) == ["image_id", "path", "label", "group", "split", "sha256"]
    assert kinds(manifest) == [[]] * 4


def test_a_manifest_names_files_relative_to_itself(images, tmp_path):
    (tmp_path / "drawn.xml").write_text(VOC.format("WBC"))
    mask(tmp_path / "drawn.png")
    table = "path,annotations,mask\nimages/blast/1.png,drawn.xml,\nimages/blast/2.png,,drawn.png\n"
    (tmp_path / "m.csv").write_text(table + "images/normal/1.png,,\n")
    manifest = Manifest.from_source(tmp_path / "m.csv")
    assert manifest.annotated.tolist() == [True, True, False]
    assert kinds(manifest) == [["WBC"], ["leukocyte"], []]
    assert manifest.annotations(1).mask.cell.sum() == 100


def test_they_are_written_and_read_again_and_follow_their_rows(images, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.xml").write_text(VOC.format("RBC"))
    shutil.copy(tmp_path / "b" / "2.xml", tmp_path / "b" / "2.csv")
    with pytest.raises(AnnotationError, match="both are called as"):
        Manifest.from_folder(images / "blast").with_annotations(tmp_path / "b")
    (tmp_path / "b" / "2.csv").unlink()
    manifest = Manifest.from_folder(images / "blast").with_annotations(tmp_path / "b")
    (tmp_path / "lists").mkdir()
    manifest.write(tmp_path / "lists" / "m.csv")
    again = Manifest.from_file(tmp_path / "lists" / "m.csv")
    assert kinds(again) == [[], ["RBC"]]
    assert "../b/2.xml" in (tmp_path / "lists" / "m.csv").read_text()
    assert kinds(again.subset([1])) == [["RBC"]]
    assert kinds(again.without({0: "it is bad"})) == [["RBC"]]


def test_a_file_that_is_not_there(images, tmp_path):
    (tmp_path / "m.csv").write_text("path,mask\nimages/blast/1.png,none.png\n")
    with pytest.raises(ManifestError, match=r"of the column 'mask' .* 1 of 1 files do not exist"):
        Manifest.from_file(tmp_path / "m.csv")


def test_equal_names_are_told_by_the_folders_around_them(images, tmp_path):
    for label, kind in (("blast", "lymphoblast"), ("normal", "lymphocyte")):
        folder = tmp_path / "drawn" / label
        folder.mkdir(parents=True)
        (folder / "1.xml").write_text(VOC.format(kind))
        mask(folder / "2_mask.png")
    manifest = Manifest.from_folder(images).with_annotations(tmp_path / "drawn")
    assert kinds(manifest) == [["lymphoblast"], ["leukocyte"], ["lymphocyte"], ["leukocyte"]]


def test_names_of_images_ids_are_found_too(images, tmp_path):
    mask(tmp_path / "regions" / "normal__1.png")
    manifest = Manifest.from_folder(images).with_annotations(tmp_path / "regions")
    assert manifest.annotated.tolist() == [False, False, True, False]


def test_a_coco_file_alone_in_a_folder_and_in_an_archive(images, tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "normal/2.png"}],
        "categories": [{"id": 1, "name": "WBC"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
    }
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco" / "_annotations.coco.json").write_text(json.dumps(document))
    (tmp_path / "coco" / "other.json").write_text("{}")
    archive = shutil.make_archive(str(tmp_path / "coco"), "zip", tmp_path / "coco")
    for source in (tmp_path / "coco" / "_annotations.coco.json", tmp_path / "coco", archive):
        # Of the two images of the name 2.png the file means the one in the folder normal.
        manifest = Manifest.from_folder(images / "normal").with_annotations(source)
        assert kinds(manifest) == [[], ["WBC"]]


def test_nothing_that_belongs_to_the_images(images, tmp_path):
    manifest = Manifest.from_folder(images)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="nothing in it is named like any of the 4 images"):
        manifest.with_annotations(tmp_path / "empty")
    with pytest.raises(AnnotationError, match="no such file or folder of annotations"):
        manifest.with_annotations(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("1 2")
    with pytest.raises(AnnotationError, match=r"no annotations by its name; expected \.xml"):
        manifest.with_annotations(tmp_path / "a.txt")


def test_features_have_the_same_columns_with_and_without(images, tmp_path):
    from hybridleuk.hybrid import HybridFeatures

    mask(tmp_path / "m" / "1.png")
    manifest = Manifest.from_folder(images / "blast").with_annotations(tmp_path / "m")
    table = HybridFeatures(features="morphology", cache=None).extract(manifest)
    assert list(table.identity) == ["image_id", "path", "label", "group", "split", "sha256"]


def test_real_zheng_and_bccd(real_data):
    zheng = Manifest.from_source(real_data / "wbc-zheng-1")
    assert zheng.annotated.all()
    drawn = zheng.annotations(41)
    assert len(drawn.cells) == 1
    assert drawn.mask.nucleus.sum() < drawn.mask.cell.sum()
    bccd = Manifest.from_source(real_data / "bccd-trainval")
    cells = [cell.kind for i in range(len(bccd)) for cell in bccd.annotations(i).cells]
    assert pd.Series(cells).value_counts().to_dict() == {"RBC": 3350, "WBC": 301, "Platelets": 292}
