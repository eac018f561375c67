"""Files of boxes, centers and masks, each against numbers written down here."""

import json

import numpy as np
import pytest
from PIL import Image

from hybridleuk.counting import voc_document
from hybridleuk.data.annotations.masks import read_mask
from hybridleuk.data.annotations.reading import read_annotations
from hybridleuk.data.annotations.records import AnnotationError, counted_as
from hybridleuk.segmentation.fields import FieldCell, FieldCount

SIZE = (60, 80)
VOC = """<annotation><size><width>80</width><height>60</height><depth>3</depth></size>
<object><name>WBC</name><bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>50</ymax>
</bndbox></object>{more}</annotation>"""
OBJECT = (
    "<object><name>RBC</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
    "</bndbox></object>"
)


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def read(path, image="a.png", size=SIZE):
    return read_annotations(image, size, annotations=path)


def coco(**changed):
    document = {
        "images": [
            {"id": 1, "file_name": "a.png", "width": 80, "height": 60},
            {"id": 2, "file_name": "b.png"},
        ],
        "categories": [{"id": 7, "name": "WBC"}, {"id": 8, "name": "RBC"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [10, 20, 20, 30]},
            {"id": 2, "image_id": 2, "category_id": 8, "bbox": [1, 2, 3, 4]},
        ],
    }
    return document | changed


def test_corners_of_voc_count_from_one_and_are_part_of_the_box(tmp_path):
    found = read(write(tmp_path, "a.xml", VOC.format(more="")))
    (cell,) = found.cells
    assert (cell.kind, cell.box, cell.center) == ("WBC", (20, 10, 50, 30), (35, 20))
    assert found.mask is None


def test_what_count_writes_is_read_back(tmp_path):
    cells = (FieldCell("WBC", (0, 3, 20, 30), 0.9), FieldCell("Platelets", (50, 70, 60, 80), 0.8))
    image = np.zeros((*SIZE, 3), np.uint8)
    path = write(tmp_path, "a.xml", voc_document("a.png", image, FieldCount(cells, (), None)))
    found = read(path)
    assert [(cell.kind, cell.box) for cell in found.cells] == [(c.kind, c.box) for c in cells]


@pytest.mark.parametrize(
    ("corners", "said"),
    [
        ((30, 5, 10, 9), "is empty or has its corners exchanged"),
        ((1, 1, 200, 20), "reaches out of the image of 80 x 60 px"),
        (("x", 1, 20, 20), "is empty or has its corners exchanged"),
        (("nan", 1, 20, 20), "is empty or has its corners exchanged"),
    ],
)
def test_boxes_that_are_none_are_left_out_and_named(tmp_path, corners, said):
    found = read(write(tmp_path, "a.xml", VOC.format(more=OBJECT.format(*corners))))
    assert len(found.cells) == 1
    (problem,) = found.problems
    assert said in problem


def test_a_box_that_reaches_out_a_little_is_cut(tmp_path):
    found = read(write(tmp_path, "a.xml", VOC.format(more=OBJECT.format(0, 0, 81, 62))))
    assert found.cells[1].box == (0, 0, 60, 80)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<annotation>", "no XML that can be read"),
        ("<html></html>", "begins with <html>; expected <annotation>"),
        (VOC.replace("80", "90").format(more=""), "drawn on an image of 90 x 60 px"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares a document type"),
        ('<?xml version="1.0" encoding="nothing"?><annotation/>', "no XML that can be read"),
    ],
)
def test_files_that_are_no_voc(tmp_path, content, said):
    with pytest.raises(AnnotationError, match=said):
        read(write(tmp_path, "a.xml", content))


def test_coco_boxes_are_x_y_width_height_from_zero(tmp_path):
    (cell,) = read(write(tmp_path, "a.json", coco())).cells
    assert (cell.kind, cell.box) == ("WBC", (20, 10, 50, 30))


def test_coco_outlines_become_a_mask(tmp_path):
    square = [10, 20, 30, 20, 30, 50, 10, 50]
    marks = [{"id": 1, "image_id": 1, "category_id": 7, "segmentation": [square]}]
    found = read(write(tmp_path, "a.json", coco(annotations=marks)))
    assert found.cells[0].box == (20, 10, 50, 30)
    assert found.mask.nucleus is None
    inside = found.mask.numbers == 1
    assert inside[35, 20]
    assert not inside[5, 5]
    assert abs(inside.sum() - 20 * 30) <= 60


def test_coco_counts_run_down_the_columns(tmp_path):
    counts = [60 * 10 + 20, 30, 60 * 70 - 50]
    outline = {"size": [60, 80], "counts": counts}
    mark = {"image_id": 1, "category_id": 7, "bbox": [10, 20, 1, 30], "segmentation": outline}
    mask = read(write(tmp_path, "a.json", coco(annotations=[mark]))).mask
    expected = np.zeros(SIZE, bool)
    expected[20:50, 10] = True
    assert (mask.cell == expected).all()


def test_outlines_that_cannot_be_read_leave_the_boxes(tmp_path):
    mark = {"image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5]}
    for outline, said in (
        ({"size": [60, 80], "counts": "PPYo0"}, "an outline that is compressed"),
        ({"size": [60, 80], "counts": [1, 2]}, "do not add up to the image"),
        ([[1, 2, 3]], "a polygon of 3 numbers"),
    ):
        path = write(tmp_path, "a.json", coco(annotations=[mark | {"segmentation": outline}]))
        found = read(path)
        assert (len(found.cells), found.mask) == (1, None)
        assert said in found.problems[0]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "holds a list; expected COCO"),
        ({"images": []}, "has no list 'annotations'"),
        (coco(images=[{"id": 1}]), "an entry of 'images' has no 'file_name'"),
        (coco(images=[{"id": [1], "file_name": "a.png"}]), "is no number of an entry"),
        (coco(images=[{"id": 1, "file_name": "c.png"}]), "does not name the image a.png"),
        ("{", "no JSON that can be read"),
    ],
)
def test_files_that_are_no_coco(tmp_path, document, said):
    with pytest.raises(AnnotationError, match=said):
        read(write(tmp_path, "a.json", document))


def test_equal_names_in_coco_are_told_by_their_folders(tmp_path):
    images = [{"id": 1, "file_name": "train/a.png"}, {"id": 2, "file_name": "val/a.png"}]
    path = write(tmp_path, "a.json", coco(images=images))
    assert read(path, "/data/val/a.png").cells[0].kind == "RBC"
    with pytest.raises(AnnotationError, match="does not name"):
        read(path, "/data/test/a.png")


def test_centers_of_all_idb(tmp_path):
    found = read(write(tmp_path, "Im001_1.xyc", "12\t7\n\n30 40\n"))
    assert [cell.center for cell in found.cells] == [(7, 12), (40, 30)]
    assert {cell.kind for cell in found.cells} == {"lymphoblast"}
    assert read(write(tmp_path, "Im002_0.xyc", "")).cells == ()
    with pytest.raises(AnnotationError, match="the line '12' holds no x and y"):
        read(write(tmp_path, "Im003_1.xyc", "12\n"))


def test_centers_of_one_image_and_of_many(tmp_path):
    found = read(write(tmp_path, "a.csv", "x,y,kind\n12,7,NEU\n13,8,\n"))
    assert [(cell.kind, cell.center) for cell in found.cells] == [
        ("NEU", (7, 12)),
        ("leukocyte", (8, 13)),
    ]
    many = write(tmp_path, "m.csv", "image,X,Y\nq/a.png,1,2\nb.png,3,4\n")
    assert [cell.center for cell in read(many, "/data/q/a.png").cells] == [(2, 1)]
    with pytest.raises(AnnotationError, match="does not name the image"):
        read(many, "/data/p/a.png")
    assert "lies outside" in read(write(tmp_path, "c.csv", "x,y\n900,7\n")).problems[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2\n", "expected x and y"), ("x,y\n1,?\n", r"y '\?' in line 2"), ("", "a table")],
)
def test_tables_that_hold_no_centers(tmp_path, text, said):
    with pytest.raises(AnnotationError, match=said):
        read(write(tmp_path, "a.csv", text))


def save(tmp_path, values, name="m.png", **how):
    Image.fromarray(values, **how).save(tmp_path / name)
    return str(tmp_path / name)


def two_cells():
    values = np.zeros(SIZE, np.uint8)
    values[10:30, 10:30] = 128
    values[15:25, 15:25] = 255
    values[40:55, 50:70] = 128
    values[0, 0] = 128  # a speck
    return values


def test_a_mask_of_nuclei_and_cytoplasm(tmp_path):
    values = two_cells()
    found = read_annotations("a.png", SIZE, mask=save(tmp_path, values))
    assert [cell.box for cell in found.cells] == [(10, 10, 30, 30), (40, 50, 55, 70)]
    assert found.cells[0].center == (20, 20)
    assert found.mask.nucleus.sum() == 100
    assert found.mask.cell.sum() == 400 + 300 + 1
    assert found.mask.numbers.max() == 2


def test_numbers_one_bit_palettes_and_gray_in_three_channels(tmp_path):
    numbers = np.zeros(SIZE, np.uint16)
    numbers[:10, :10], numbers[:10, 10:20] = 300, 301
    assert len(np.unique(read_mask(save(tmp_path, numbers), SIZE).numbers)) == 3
    cell = two_cells() > 0
    Image.fromarray(cell).save(tmp_path / "b.png")
    assert (read_mask(str(tmp_path / "b.png"), SIZE).cell == cell).all()
    Image.fromarray(two_cells()).convert("P").save(tmp_path / "p.png")
    assert read_mask(str(tmp_path / "p.png"), SIZE).nucleus.sum() == 100
    gray = np.repeat(two_cells()[..., None], 3, axis=2)
    assert read_mask(save(tmp_path, gray, "g.bmp"), SIZE).nucleus.sum() == 100


def test_masks_that_cannot_be_used(tmp_path):
    color = np.zeros((*SIZE, 3), np.uint8)
    color[5:20, 5:20] = (255, 0, 0)
    for path, said in (
        (save(tmp_path, color), "in colors"),
        (save(tmp_path, two_cells(), "a.jpg"), "a JPEG, whose values are altered"),
        (
            save(tmp_path, two_cells()[:40], "small.png"),
            "a mask of 80 x 40 px for an image of",
        ),
        (write(tmp_path, "t.png", "text"), "no picture that can be read"),
        (str(tmp_path / "none.png"), "cannot be read"),
    ):
        with pytest.raises(AnnotationError, match=said):
            read_mask(path, SIZE)


def test_cells_of_a_file_count_and_the_mask_gives_outlines(tmp_path):
    path = write(tmp_path, "a.xml", VOC.format(more=""))
    found = read_annotations("a.png", SIZE, annotations=path, mask=save(tmp_path, two_cells()))
    assert len(found.cells) == 1
    assert found.mask.numbers.max() == 2


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("WBC", "WBC"),
        ("SNE", "WBC"),
        ("lymphoblast", "WBC"),
        ("NRBC", "WBC"),
        ("Platelets", "Platelets"),
        ("red blood cell", "RBC"),
        ("scale bar", None),
    ],
)
def test_as_what_a_kind_is_counted(kind, counted):
    assert counted_as(kind) == counted
