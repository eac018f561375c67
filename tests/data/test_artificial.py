import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from hybridleuk import Manifest, progress
from hybridleuk.data.artificial import (
    KINDS,
    LEUKOCYTES,
    STAGES,
    Patient,
    draw_cell,
    draw_field,
    draw_patient,
    draw_study,
    kind_traits,
    shortcut_tint,
)
from hybridleuk.exceptions import InputError, OutputError

# Areas in px and mean levels, drawn once; another machine must draw the same.
PINNED = {"cell": (1775, 703), "areas": [5769, 4424], "mean": [202.06, 175.28, 183.57]}


def background_color(image, instances):
    return np.median(image[instances == 0].astype(float), axis=0)


def nearest_class_accuracy(values, labels, groups):
    """Share of images whose class has the nearest mean, each patient judged by the others."""
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    right = []
    for group in np.unique(groups):
        rest = groups != group
        names = np.unique(labels[rest])
        means = np.stack([values[rest & (labels == name)].mean(axis=0) for name in names])
        for value, label in zip(values[~rest], labels[~rest], strict=True):
            right.append(names[np.argmin(((means - value) ** 2).sum(axis=1))] == label)
    return float(np.mean(right))


@pytest.mark.parametrize("kind", list(KINDS))
def test_masks_agree_with_each_other_and_with_the_traits(kind):
    drawn = draw_cell(kind, size=160, random_state=4)
    [cell] = drawn.cells
    regions = drawn.regions
    assert drawn.image.shape == (160, 160, 3)
    assert drawn.image.dtype == np.uint8
    assert not (cell.nucleus & cell.cytoplasm).any()
    np.testing.assert_array_equal(drawn.instances == 1, cell.mask)
    np.testing.assert_array_equal(regions == 255, cell.nucleus)
    np.testing.assert_array_equal(regions == 128, cell.cytoplasm)
    # The contour is scaled to the area of a disc of the diameter that was drawn from.
    assert cell.area_um2 == pytest.approx(np.pi / 4 * cell.traits.diameter**2, rel=0.02)
    assert ndimage.label(cell.mask)[1] == 1


@pytest.mark.parametrize("kind", ["lymphocyte", "Early", "Pro"])
def test_a_round_nucleus_has_the_area_its_traits_say(kind):
    fractions, wanted = [], []
    for seed in range(6):
        [cell] = draw_cell(kind, size=160, random_state=seed).cells
        fractions.append(cell.nucleus_fraction)
        wanted.append(cell.traits.nucleus_fraction)
    # The membrane clips nuclei that lie against it, so a little less is drawn, never more.
    difference = np.array(fractions) - wanted
    assert difference.max() < 0.02
    assert difference.mean() > -0.08


def test_nc_ratio_is_the_ratio_of_the_masks():
    drawn = draw_cell("monocyte", random_state=8)
    [cell] = drawn.cells
    counts = {value: int((drawn.regions == value).sum()) for value in (128, 255)}
    assert cell.nc_ratio == counts[255] / counts[128]
    assert cell.nucleus_fraction == counts[255] / (counts[255] + counts[128])
    assert cell.area_px == counts[255] + counts[128]


def test_the_nucleus_in_the_picture_lies_where_its_mask_says():
    for seed in range(4):
        drawn = draw_cell("Early", size=160, random_state=seed)
        green = drawn.image[:, :, 1].astype(float)
        [cell] = drawn.cells
        inside = ndimage.binary_erosion(cell.nucleus, iterations=2)
        rim = cell.mask & ~ndimage.binary_dilation(cell.nucleus, iterations=2)
        threshold = (np.median(green[inside]) + np.median(green[rim])) / 2
        near = ndimage.binary_dilation(cell.mask, iterations=1)
        found = ndimage.binary_fill_holes(near & (green < threshold))
        dice = 2 * (found & cell.nucleus).sum() / (found.sum() + cell.nucleus.sum())
        assert dice > 0.95


@pytest.mark.parametrize("kind", ["neutrophil", "eosinophil", "basophil", "monocyte"])
def test_lobes_are_the_parts_left_when_strands_are_eroded(kind):
    agree, counts = 0, set()
    for seed in range(20):
        [cell] = draw_cell(kind, size=200, random_state=seed).cells
        deep = ndimage.distance_transform_edt(cell.nucleus) * cell.spacing > 0.6
        agree += ndimage.label(deep, np.ones((3, 3)))[1] == cell.n_lobes
        counts.add(cell.n_lobes)
    # Once in a while a strand is as thick as a small lobe.
    assert agree >= 18
    assert counts == {"neutrophil": {2, 3, 4, 5}, "monocyte": {1}}.get(kind, counts)
    assert len(counts) > 1 or kind == "monocyte"


def test_kinds_differ_as_in_the_textbook():
    cells = {
        kind: [draw_cell(kind, size=96, random_state=seed).cells[0] for seed in range(8)]
        for kind in KINDS
    }
    area = {kind: np.mean([cell.area_um2 for cell in drawn]) for kind, drawn in cells.items()}
    ratio = {kind: np.mean([cell.nc_ratio for cell in drawn]) for kind, drawn in cells.items()}
    assert area["lymphocyte"] < area["neutrophil"] < area["monocyte"]
    assert area["Benign"] < area["Early"] < area["Pre"] < area["Pro"]
    assert ratio["neutrophil"] < ratio["monocyte"] < ratio["lymphoblast"]
    assert ratio["Pro"] < ratio["Pre"] < ratio["Early"]


def test_an_eosinophil_is_pinker_and_a_blast_bluer_than_a_neutrophil():
    def redness(kind):
        drawn = draw_cell(kind, random_state=2)
        red, _, blue = drawn.image[drawn.cells[0].cytoplasm].mean(axis=0)
        return red / blue

    assert redness("eosinophil") > 1.05 * redness("neutrophil") > 1.2 * redness("lymphoblast")


def test_the_same_seed_draws_the_same_bytes_and_another_seed_does_not():
    patient = draw_patient(5)
    first = draw_cell("Pre", patient=patient, random_state=3)
    again = draw_cell("Pre", patient=draw_patient(5), random_state=3)
    other = draw_cell("Pre", patient=patient, random_state=4)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.instances, again.instances)
    assert (first.image != other.image).any()
    assert first.nucleus.sum() != other.nucleus.sum()


def test_pictures_are_the_same_on_every_machine():
    [cell] = draw_cell("Pre", random_state=3).cells
    drawn = draw_field(["monocyte", "neutrophil"], size=(160, 200), random_state=1)
    assert (cell.nucleus_area_px, cell.cytoplasm_area_px) == PINNED["cell"]
    assert [one.area_px for one in drawn.cells] == PINNED["areas"]
    np.testing.assert_allclose(drawn.image.mean(axis=(0, 1)), PINNED["mean"], atol=0.005)


def test_a_patient_has_a_stain_and_a_light_of_their_own():
    colors, lights = [], []
    for number in range(6):
        patient = draw_patient(number)
        own = []
        for seed in (1, 2):
            drawn = draw_cell("lymphoblast", patient=patient, random_state=seed)
            light = background_color(drawn.image, drawn.instances)
            own.append(np.log(light / drawn.image[drawn.nucleus].mean(axis=0)))
            lights.append(light)
        colors.append(own)
    colors, lights = np.array(colors), np.array(lights).reshape(6, 2, 3)
    for values in (colors, lights):
        between = values.mean(axis=1).std(axis=0).mean()
        within = np.abs(values[:, 0] - values[:, 1]).mean() / np.sqrt(2)
        assert between > 1.3 * within


def test_light_falls_off_as_the_patients_illumination_says():
    patient = Patient(vignette=0.3, bright_point=(0.0, 0.0), noise=0.0, softness=0.0)
    drawn = draw_field([], size=(120, 120), patient=patient, random_state=0)
    empty = ndimage.maximum_filter(drawn.image[:, :, 1].astype(float), 41)
    light = patient.illumination((120, 120))
    assert light.max() == 1
    assert light[-1, -1] == pytest.approx(0.7)
    assert empty[-1, -1] / empty[0, 0] == pytest.approx(0.75, abs=0.06)


def test_noise_and_softness_change_the_picture_but_not_the_truth():
    still = Patient(noise=0.0, softness=0.0)
    loud = Patient(noise=6.0, softness=1.0)
    quiet, noisy = (draw_cell("Pro", patient=p, random_state=1) for p in (still, loud))
    np.testing.assert_array_equal(quiet.regions, noisy.regions)
    difference = quiet.image.astype(float) - noisy.image
    assert 1.0 < difference.std() < 12
    assert abs(difference.mean()) < 1.0


def test_a_shortcut_tints_everything_but_the_leukocyte():
    plain = draw_cell("Early", random_state=6)
    tinted = draw_cell("Early", random_state=6, background_shortcut=(-30, 0, -10))
    np.testing.assert_array_equal(plain.regions, tinted.regions)
    change = tinted.image.astype(float) - plain.image
    away = ~ndimage.binary_dilation(plain.instances > 0, iterations=6)
    inside = ndimage.binary_erosion(plain.instances > 0, iterations=4)
    np.testing.assert_allclose(np.median(change[away], axis=0), (-30, 0, -10), atol=3)
    assert np.abs(change[inside]).mean() < 1.0


def test_a_field_holds_the_leukocytes_asked_for():
    kinds = ["neutrophil", "lymphocyte", "monocyte", "basophil"]
    drawn = draw_field(kinds, size=(300, 400), patient=draw_patient(1), random_state=5)
    assert [cell.kind for cell in drawn.cells] == kinds
    assert [cell.number for cell in drawn.cells] == [1, 2, 3, 4]
    np.testing.assert_array_equal(np.unique(drawn.instances), np.arange(5))
    np.testing.assert_array_equal(drawn.nucleus, sum(cell.nucleus for cell in drawn.cells) == 1)
    assert sum(cell.area_px for cell in drawn.cells) == (drawn.instances > 0).sum()
    apart = ndimage.label(drawn.instances > 0)[1]
    assert apart == 4
    for cell, found in zip(drawn.cells, ndimage.find_objects(drawn.instances), strict=True):
        assert cell.box == (found[0].start, found[1].start, found[0].stop, found[1].stop)
        assert not cell.at_border


def test_boxes_of_red_cells_and_platelets_hold_them():
    patient = Patient(platelet_density=4.0, red_cell_density=8.0, crenation=0.0)
    drawn = draw_field([], size=(300, 400), patient=patient, random_state=2)
    background = np.percentile(drawn.image[:, :, 1], 90)
    assert len(drawn.red_cells) > 10
    assert len(drawn.platelets) > 4
    for boxes, darker in ((drawn.red_cells, 15), (drawn.platelets, 40)):
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= (300, 400)).all()
        for y0, x0, y1, x1 in boxes:
            assert background - np.percentile(drawn.image[y0:y1, x0:x1, 1], 20) > darker
    whole = (drawn.red_cells[:, :2] > 0).all(axis=1) & (drawn.red_cells[:, 2:] < (300, 400)).all(
        axis=1
    )
    sides = (drawn.red_cells[:, 2:] - drawn.red_cells[:, :2])[whole] * drawn.spacing
    assert 6.5 < sides.mean() < 8.5
    covered = np.zeros((300, 400), dtype=bool)
    for y0, x0, y1, x1 in np.concatenate([drawn.red_cells, drawn.platelets]):
        covered[y0:y1, x0:x1] = True
    outside = drawn.image[:, :, 1][~ndimage.binary_dilation(covered, iterations=3)]
    # Only cells whose centre lies outside reach in from the edges without a box.
    assert np.mean(outside < background - 15) < 0.06


def test_touching_leukocytes_form_one_clump_and_share_no_pixel():
    drawn = draw_field(["Pro"] * 4, size=(320, 320), random_state=3, touching=True)
    assert ndimage.label(drawn.instances > 0, np.ones((3, 3)))[1] < 4
    assert sum(cell.area_px for cell in drawn.cells) == (drawn.instances > 0).sum()
    for cell in drawn.cells:
        expected = np.pi / 4 * cell.traits.diameter**2
        assert cell.area_um2 == pytest.approx(expected, rel=0.12)


def test_leukocytes_may_be_cut_by_the_edge():
    cut = [
        cell.at_border
        for seed in range(5)
        for cell in draw_field(
            ["Pre"] * 3, size=200, spacing=0.25, random_state=seed, at_border=True
        ).cells
    ]
    assert 0 < sum(cut) < len(cut)


@pytest.mark.parametrize("family", [STAGES, LEUKOCYTES])
def test_separation_moves_kinds_apart(family):
    def distance(separation):
        return np.std([kind_traits(kind, separation).diameter for kind in family])

    assert distance(0) == pytest.approx(0, abs=1e-12)
    assert distance(0.5) == pytest.approx(distance(1) / 2)
    assert distance(1) < distance(1.5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: draw_cell("blast"), "Unknown kind of cell 'blast'; expected one of neutrophil"),
        (lambda: draw_cell(size=16), "size is 16; expected px"),
        (lambda: draw_cell(spacing=0.0), "spacing is 0.0; expected 0.02 to 2"),
        (lambda: draw_cell(separation=-1), "separation is -1; expected a number of at least 0"),
        (lambda: draw_field("Pro"), "expected a list such as"),
        (lambda: draw_field(["Pro"] * 9, size=120), "No place for 9 leukocytes"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return a study with all classes per patient and no shortcut, and the folder of its truth."""
    folder = tmp_path_factory.mktemp("study")
    manifest = draw_study(
        folder / "images",
        n_patients=4,
        images_per_patient_and_class=3,
        size=80,
        all_classes_per_patient=True,
        truth_directory=folder / "truth",
    )
    return manifest, folder


def test_a_study_is_files_and_a_manifest(study):
    manifest, folder = study
    assert len(manifest) == 48
    assert manifest.classes == ["Benign", "Early", "Pre", "Pro"]
    assert manifest.group_kind == "patient"
    assert sorted(set(manifest.groups)) == ["P01", "P02", "P03", "P04"]
    table = pd.read_csv(folder / "images" / "manifest.csv")
    assert list(table) == ["path", "label", "group"]
    for path, label, group in table.itertuples(index=False):
        assert path.startswith(f"{label}/{group}_")
    names = [path.rsplit("/", 1)[1] for path in table["path"]]
    assert len(set(names)) == 48


def test_the_groups_of_a_study_can_be_read_from_the_file_names(study):
    manifest, folder = study
    again = Manifest.from_folder(folder / "images", group_regex=r"(P\d+)_\d+\.png")
    assert len(again) == len(manifest)
    assert sorted(again.groups) == sorted(manifest.groups)


def test_the_truth_of_a_study_belongs_to_its_images(study):
    manifest, folder = study
    cells = pd.read_csv(folder / "truth" / "cells.csv").set_index("image_id")
    assert sorted(cells.index) == sorted(manifest.image_ids)
    for image_id, path in zip(manifest.image_ids[::7], manifest.paths[::7], strict=True):
        regions = np.asarray(Image.open(folder / "truth" / "regions" / f"{image_id}.png"))
        instances = np.asarray(Image.open(folder / "truth" / "instances" / f"{image_id}.png"))
        image = np.asarray(Image.open(path)).astype(float)
        assert instances.dtype == np.uint16
        assert (regions == 255).sum() == cells.loc[image_id, "nucleus_area_px"]
        assert (instances == 1).sum() == cells.loc[image_id, "area_px"]
        assert image[regions == 255].mean() < image[regions == 0].mean() - 60
    assert (cells["kind"] == [name.split("__")[0] for name in cells.index]).all()


def study_background(manifest):
    colors = []
    for path in manifest.paths:
        image = np.asarray(Image.open(path))
        edge = np.concatenate([image[:6].reshape(-1, 3), image[-6:].reshape(-1, 3)])
        colors.append(np.percentile(edge, 70, axis=0))
    return np.array(colors)


def test_without_a_shortcut_the_background_tells_nothing(study):
    manifest, _ = study
    accuracy = nearest_class_accuracy(study_background(manifest), manifest.labels, manifest.groups)
    assert accuracy < 0.45


def test_with_a_shortcut_the_background_tells_the_class(tmp_path):
    manifest = draw_study(
        tmp_path,
        n_patients=4,
        images_per_patient_and_class=3,
        size=80,
        all_classes_per_patient=True,
        shortcut=True,
    )
    accuracy = nearest_class_accuracy(study_background(manifest), manifest.labels, manifest.groups)
    assert accuracy > 0.85


def test_cells_tell_the_class_but_not_perfectly(study):
    manifest, folder = study
    cells = pd.read_csv(folder / "truth" / "cells.csv").set_index("image_id")
    measured = cells.loc[manifest.image_ids, ["area_px", "nucleus_area_px"]].to_numpy(float)
    accuracy = nearest_class_accuracy(measured, manifest.labels, manifest.groups)
    assert 0.6 < accuracy < 1


def test_without_a_morphology_signal_cells_do_not_know_their_label(tmp_path):
    manifest = draw_study(
        tmp_path / "images",
        n_patients=2,
        images_per_patient_and_class=15,
        classes=["lymphocyte", "monocyte"],
        size=48,
        morphology_signal=False,
        truth_directory=tmp_path / "truth",
    )
    cells = pd.read_csv(tmp_path / "truth" / "cells.csv").set_index("image_id")
    kinds = cells.loc[manifest.image_ids, "kind"].to_numpy()
    assert 0.25 < np.mean(kinds == manifest.labels) < 0.75


def test_a_patient_has_one_diagnosis_unless_told_otherwise(tmp_path):
    manifest = draw_study(tmp_path, n_patients=6, images_per_patient_and_class=2, size=40)
    diagnoses = manifest.frame.groupby("group")["label"].unique()
    assert all(len(labels) == 1 for labels in diagnoses)
    assert len(manifest) == 12
    assert len(manifest.classes) == 4


def test_a_study_of_fields_in_jpeg(tmp_path):
    manifest = draw_study(
        tmp_path / "images",
        n_patients=4,
        images_per_patient_and_class=1,
        kind="field",
        size=160,
        cells_per_field=(2, 3),
        file_format="jpg",
        truth_directory=tmp_path / "truth",
    )
    assert all(path.endswith(".jpg") for path in manifest.paths)
    with Image.open(manifest.paths[0]) as picture:
        assert picture.format == "JPEG"
    cells = pd.read_csv(tmp_path / "truth" / "cells.csv")
    assert set(cells.groupby("image_id").size()) <= {2, 3}
    first = cells.groupby("image_id")["kind"].first()
    assert list(first) == [name.split("__")[0] for name in first.index]


def test_a_study_is_the_same_when_drawn_again(tmp_path):
    options = {"n_patients": 4, "images_per_patient_and_class": 1, "size": 40}
    first = draw_study(tmp_path / "a", random_state=7, **options)
    again = draw_study(tmp_path / "b", random_state=7, **options)
    other = draw_study(tmp_path / "c", random_state=8, **options)
    assert list(first.frame["sha256"]) == list(again.frame["sha256"])
    assert not set(first.frame["sha256"]) & set(other.frame["sha256"])


def test_drawing_a_study_tells_its_progress(tmp_path):
    seen = []

    class Watching(progress.Listener):
        def closed(self, task):
            seen.append((task.description, task.done, task.total))

    with progress.report_to(Watching()):
        draw_study(tmp_path, n_patients=4, images_per_patient_and_class=1, size=40)
    assert ("Drawing smears", 4, 4) in seen


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": ["Benign", "blast"]}, "Unknown class 'blast'; expected some of"),
        ({"classes": ["Pro", "Pro"]}, "expected different names"),
        ({"n_patients": 3}, "n_patients is 3; expected at least 4, one per class"),
        ({"images_per_patient_and_class": 0}, "expected at least 1"),
        ({"kind": "slide"}, "expected 'cell' or 'field'"),
        ({"file_format": "gif"}, "expected 'png' or 'jpg'"),
        ({"purity": 1.5}, "purity is 1.5; expected 0 to 1"),
        ({"cells_per_field": (4, 2)}, "expected \\(low, high\\)"),
        ({"shortcut_strength": -1.0}, "expected at least 0"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_before_anything_is_written(tmp_path, options, says):
    with pytest.raises(InputError, match=says):
        draw_study(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_study_is_never_written_over_another(study):
    _, folder = study
    before = (folder / "images" / "manifest.csv").read_bytes()
    with pytest.raises(OutputError, match=r"already holds manifest\.csv"):
        draw_study(folder / "images", n_patients=4, images_per_patient_and_class=1, size=40)
    assert (folder / "images" / "manifest.csv").read_bytes() == before


def test_shortcut_tints_of_classes_differ():
    tints = np.array([shortcut_tint(index, 4) for index in range(4)])
    apart = np.linalg.norm(tints[:, None] - tints[None], axis=2)[~np.eye(4, dtype=bool)]
    assert apart.min() > 15
    assert (tints <= 0).all()
    assert shortcut_tint(1, 4, strength=0.0) == (0, 0, 0)
