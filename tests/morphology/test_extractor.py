import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from hybridleuk import MorphologyFeatures, find_cells, progress
from hybridleuk.data.artificial import draw_cell, draw_field
from hybridleuk.exceptions import ImageError, InputError
from hybridleuk.morphology import measuring
from hybridleuk.morphology.catalogue import CATALOGUE, IMAGE_COLUMNS, select_features
from hybridleuk.morphology.extractor import CELL_COLUMNS, measure_cells

BLANK = np.full((64, 64, 3), 235, dtype=np.uint8)


@pytest.fixture(scope="module")
def images():
    kinds = ("lymphocyte", "neutrophil", "monocyte", "lymphoblast")
    return [draw_cell(kind, random_state=i, size=96).image for i, kind in enumerate(kinds)]


@pytest.fixture
def no_measuring(monkeypatch):
    """Make any further measurement an error."""

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(measuring, "measure_values", fail)


def test_columns_are_those_of_the_catalogue(images):
    table = measure_cells(images[0], find_cells(images[0]))
    names = [feature.name for feature in select_features()]
    assert table.columns.tolist() == [*CELL_COLUMNS, *names]
    morphology = MorphologyFeatures(aggregates=["mean"], cache=None)
    assert morphology.get_feature_names_out().tolist() == [
        *IMAGE_COLUMNS,
        *(f"{name}__mean" for name in names),
    ]


def test_a_drawn_cell_is_measured_as_it_was_drawn(as_cells):
    drawn = draw_cell("monocyte", random_state=4, size=160)
    truth = drawn.cells[0]
    cells = as_cells((truth.nucleus, truth.cytoplasm, [], True))
    row = measure_cells(drawn.image, cells, spacing=truth.spacing).iloc[0]
    assert row["nucleus_area"] == pytest.approx(truth.nucleus_area_px * truth.spacing**2)
    assert row["nc_ratio_cell"] == truth.nucleus.sum() / truth.mask.sum()
    assert row["nc_ratio_cytoplasm"] == truth.nucleus.sum() / truth.cytoplasm.sum()


@pytest.mark.parametrize("random_state", range(6))
def test_lobes_of_drawn_neutrophils_are_counted(as_cells, random_state):
    truth = draw_cell("neutrophil", random_state=random_state, size=160).cells[0]
    image = np.zeros((160, 160, 3), dtype=np.uint8)
    cells = as_cells((truth.nucleus, truth.cytoplasm, [], True))
    row = measure_cells(image, cells, families=["shape"]).iloc[0]
    assert abs(row["nucleus_lobe_count"] - truth.n_lobes) <= 1


def test_one_row_per_cell_from_masks_of_ones_own(drawn, as_cells):
    nucleus, cytoplasm, image = drawn
    cells = as_cells((nucleus, cytoplasm, ["clumped", "touches_border"], True))
    row = measure_cells(image, cells).iloc[0]
    assert row["flags"] == "clumped;touches_border"
    assert (row["number"], row["central"]) == (1, True)
    assert row["nucleus_area"] == nucleus.sum()
    assert tuple(row[["y0", "x0", "y1", "x1"]]) == cells.cells[0].box


def test_spacing_gives_physical_units(drawn, as_cells):
    nucleus, cytoplasm, image = drawn
    cells = as_cells((nucleus, cytoplasm, [], True))
    pixels, microns = (measure_cells(image, cells, spacing=s).iloc[0] for s in (None, 0.1))
    for name, factor in (
        ("nucleus_area", 0.01),
        ("cell_feret_max", 0.1),
        ("nc_ratio_cell", 1),
        ("nucleus_glcm_contrast_near", 1),
    ):
        assert microns[name] == pytest.approx(factor * pixels[name])


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), float("inf")])
def test_spacing_has_to_be_a_length(images, spacing):
    with pytest.raises(InputError, match="expected micrometres per pixel, above 0"):
        MorphologyFeatures(spacing=spacing).fit(images)


def test_the_background_enters_only_when_asked_for(images):
    cells = find_cells(images[0])
    table = measure_cells(images[0], cells, families=["background"])
    assert table["nucleus_od_green_over_background"].iloc[0] > 0.2


def test_an_image_without_cells_has_defined_values(images):
    morphology = MorphologyFeatures(cache=None).set_output(transform="pandas")
    table = morphology.fit_transform([images[0], BLANK])
    assert table["qc_no_cell"].tolist() == [0, 1]
    assert not table.iloc[1].drop("qc_no_cell").any()
    assert not table.isna().any(axis=None)


def test_aggregates_of_a_field_are_those_of_its_usable_cells():
    field = draw_field(("lymphocyte", "lymphocyte", "neutrophil"), size=(300, 400), random_state=1)
    cells = find_cells(field.image)
    table = measure_cells(field.image, cells)
    kept = table[table["number"].isin([cell.number for cell in cells.usable()])]
    assert len(kept) >= 2
    aggregates = ["mean", "std", "min", "max", "median"]
    morphology = MorphologyFeatures(["shape"], aggregates, cache=None)
    row = morphology.set_output(transform="pandas").fit_transform([field.image]).iloc[0]
    assert row["cell_count"] == len(table)
    for aggregate in aggregates:
        expected = getattr(np, aggregate)(kept["nucleus_area"].to_numpy())
        assert row[f"nucleus_area__{aggregate}"] == pytest.approx(expected)


def test_density_is_cells_per_area_of_a_field():
    field = draw_field(("lymphocyte", "neutrophil", "neutrophil"), size=(300, 400), random_state=1)
    count = len(find_cells(field.image))
    for spacing, area in ((None, 0.12), (0.1, 0.0012)):  # 10^6 px, mm2
        morphology = MorphologyFeatures(["shape"], ["mean"], spacing=spacing, cache=None)
        row = morphology.set_output(transform="pandas").fit_transform([field.image]).iloc[0]
        assert row["cell_density"] == pytest.approx(count / area)


def test_a_crop_around_one_cell_has_no_density(images):
    morphology = MorphologyFeatures(["shape"], ["mean"], cache=None).set_output(transform="pandas")
    table = morphology.fit_transform(images)
    assert all(find_cells(image).cells[0].central for image in images)
    assert table["cell_density"].tolist() == [0] * 4
    assert table["cell_count"].min() >= 1


def test_a_second_call_measures_nothing(images, no_measuring, monkeypatch):
    morphology = MorphologyFeatures()
    with pytest.raises(AssertionError, match="measured again"):
        morphology.fit_transform(images)
    monkeypatch.undo()
    first = morphology.transform(images)
    monkeypatch.setattr(measuring, "measure_values", lambda *_: pytest.fail("measured again"))
    np.testing.assert_array_equal(morphology.transform(images), first)
    in_microns = MorphologyFeatures(spacing=0.1).transform(images)
    assert not np.array_equal(in_microns, first)


def test_an_interrupted_run_keeps_what_it_measured(images, monkeypatch):
    monkeypatch.setattr(measuring, "IMAGES_PER_BATCH", 1)
    batch = measuring._measured_batch

    def interrupted(batch_images, *rest):
        if batch_images[0] is images[2]:
            raise KeyboardInterrupt
        return batch(batch_images, *rest)

    monkeypatch.setattr(measuring, "_measured_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        MorphologyFeatures().fit_transform(images)
    seen = []
    monkeypatch.setattr(
        measuring, "_measured_batch", lambda part, *rest: seen.extend(part) or batch(part, *rest)
    )
    MorphologyFeatures().fit_transform(images)
    assert len(seen) == 2


def test_the_same_image_twice_is_two_equal_rows(images):
    rows = MorphologyFeatures().fit_transform([images[0], images[1], images[0]])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert not np.array_equal(rows[0], rows[1])


def test_processes_do_not_change_the_result(images):
    one = MorphologyFeatures(["shape"], cache=None, n_jobs=1).fit_transform(images[:2])
    two = MorphologyFeatures(["shape"], cache=None, n_jobs=2).fit_transform(images[:2])
    np.testing.assert_array_equal(one, two)


def test_features_of_ones_own_see_the_mask_their_name_asks_for(images):
    def count(mask, image):
        assert image.shape[:2] == mask.shape
        return mask.sum()

    extra = {"nucleus_pixels": count, "cytoplasm_pixels": count, "pixels": count}
    cells = find_cells(images[1])
    row = measure_cells(images[1], cells, extra=extra).iloc[0]
    assert row["nucleus_pixels"] == row["nucleus_area"]
    assert row["cytoplasm_pixels"] == row["cytoplasm_area"]
    assert row["pixels"] == row["cell_area"]


def test_features_of_ones_own_are_computed_each_time(images):
    calls = []
    extra = {"nothing": lambda mask, image: calls.append(1) or float("nan")}
    morphology = MorphologyFeatures(["shape"], ["mean"], extra=extra).set_output(transform="pandas")
    for _ in range(2):
        assert morphology.fit_transform(images)["nothing__mean"].tolist() == [0] * 4
    assert len(calls) >= 8


def test_features_of_ones_own_that_fail_are_named(images):
    with pytest.raises(InputError, match=r"Your feature 'wrong' failed on cell 1.*division"):
        MorphologyFeatures(extra={"wrong": lambda m, i: 1 / 0}, cache=None).fit_transform(images)
    with pytest.raises(InputError, match="redefines 'nucleus_area'"):
        MorphologyFeatures(extra={"nucleus_area": np.mean}).fit(images)
    with pytest.raises(InputError, match="expected names with functions"):
        MorphologyFeatures(extra={"size": 3}).fit(images)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"families": ["colour"]}, "families holds 'colour'; expected some of shape"),
        ({"aggregates": ["sum"]}, r"aggregates are \['sum'\]; expected some of mean"),
        ({"aggregates": []}, "aggregates are"),
        ({"method": "otsu2"}, "method is 'otsu2'; expected one of otsu, hsv"),
        ({"require": ["size_free"]}, "require holds 'size_free'"),
    ],
)
def test_parameters_are_checked_in_fit(images, parameters, message):
    with pytest.raises(InputError, match=message):
        MorphologyFeatures(**parameters).fit(images)


def test_what_is_no_image_is_refused(tmp_path, images):
    with pytest.raises(InputError, match="got one array"):
        MorphologyFeatures().fit(images[0])
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.png"):
        MorphologyFeatures().fit_transform([tmp_path / "broken.png"])


def test_it_works_in_scikit_learn_tools(images):
    morphology = MorphologyFeatures(["shape"], require="scale_free")
    assert clone(morphology).get_params() == morphology.get_params()
    pipeline = make_pipeline(morphology, PCA(2), SVC())
    grid = GridSearchCV(
        pipeline,
        {"morphologyfeatures__families": [["shape"], ["color"]]},
        cv=2,
        error_score="raise",
    )
    paths = np.empty(4, dtype=object)
    paths[:] = images
    grid.fit(paths, [0, 1, 0, 1])
    assert grid.predict(paths).shape == (4,)


def test_progress_counts_images_once(images):
    opened = []

    class Listener(progress.Listener):
        def opened(self, task):
            opened.append(task)

    with progress.report_to(Listener()):
        MorphologyFeatures(cache=None).fit_transform(images)
    assert [(task.description, task.total, task.done) for task in opened] == [
        ("Measuring cells", 4, 4)
    ]


def test_catalogue_units_scale(images):
    table = measure_cells(images[0], find_cells(images[0]), spacing=2.0)
    plain = measure_cells(images[0], find_cells(images[0]))
    ratio = (table.iloc[0, len(CELL_COLUMNS) :] / plain.iloc[0, len(CELL_COLUMNS) :]).astype(float)
    expected = {"px": 2.0, "px2": 4.0}
    for name, value in ratio.items():
        assert np.isnan(value) or value == pytest.approx(expected.get(CATALOGUE[name].unit, 1.0))
    assert isinstance(table, pd.DataFrame)


def test_own_features_that_are_not_finite_are_told(images):
    class Notes(progress.Listener):
        def noted(self, text):
            told.append(text)

    extra = {"broken": lambda mask, image: float("inf"), "fine": lambda mask, image: 1.0}
    cells = find_cells(images[1])
    told = []
    with progress.report_to(Notes()):
        assert (measure_cells(images[1], cells, extra=extra)["broken"] == 0).all()
        MorphologyFeatures(["shape"], extra=extra, cache=None).fit_transform(images[:2])
    assert len(told) == 2
    assert all("'broken' was not finite in" in text for text in told)
    with pytest.raises(InputError, match="redefines 'flags'"):
        measure_cells(images[1], cells, extra={"flags": np.mean})
