import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from hybridleuk import FineTunedCNN, HybridClassifier, load_model, save_model
from hybridleuk.data.artificial import draw_cell
from hybridleuk.exceptions import InputError, ModelFileError, OutputError
from hybridleuk.features import FeatureTable
from hybridleuk.persistence import FORMAT, model_card, seal

OLDER = Path(__file__).parent / "models_of_older_formats"


@pytest.fixture(scope="module")
def cells():
    kinds = ["lymphocyte", "neutrophil"] * 6
    return [draw_cell(k, size=64, random_state=i).image for i, k in enumerate(kinds)], kinds


@pytest.fixture(scope="module")
def saved(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m.hleuk"
    model = HybridClassifier(weights="random", cache=None, alpha=0.2).fit(*cells)
    save_model(model, path, notes=["drawn cells"])
    return model, path


def test_hybrid_predicts_the_same_after_loading(saved, cells):
    model, path = saved
    loaded = load_model(path)
    assert np.array_equal(loaded.predict(cells[0]), model.predict(cells[0]))
    assert np.allclose(loaded.predict_proba(cells[0]), model.predict_proba(cells[0]), atol=1e-6)
    assert np.array_equal(loaded.prediction_sets_.thresholds_, model.prediction_sets_.thresholds_)
    assert loaded.device == "auto"


def test_trees_predict_the_same_after_loading(cells, tmp_path):
    model = HybridClassifier("xgboost", "morphology", alpha=0.2).fit(*cells)
    save_model(model, tmp_path / "m.hleuk")
    loaded = load_model(tmp_path / "m.hleuk")
    assert np.allclose(loaded.predict_proba(cells[0]), model.predict_proba(cells[0]))
    assert hasattr(model.head_, "booster_")


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_numbers_predict_the_same_after_loading(name, cells, tmp_path):
    model = HybridClassifier(name, "morphology", alpha=0.2).fit(*cells)
    save_model(model, tmp_path / "m.hleuk")
    loaded = load_model(tmp_path / "m.hleuk")
    np.testing.assert_array_equal(loaded.predict_proba(cells[0]), model.predict_proba(cells[0]))


def test_an_own_classifier_is_not_saved(cells, tmp_path):
    model = HybridClassifier(LinearDiscriminantAnalysis(), "morphology").fit(*cells)
    with pytest.raises(InputError, match="LinearDiscriminantAnalysis is one's own"):
        save_model(model, tmp_path / "m.hleuk")
    assert not list(tmp_path.iterdir())


def test_network_predicts_the_same_after_loading(cells, tmp_path):
    model = FineTunedCNN(
        "squeezenet1_0", weights="random", image_size=64, epochs=1, device="cpu"
    ).fit(*cells)
    save_model(model, tmp_path / "m.hleuk")
    loaded = load_model(tmp_path / "m.hleuk")
    assert np.allclose(loaded.predict_proba(cells[0]), model.predict_proba(cells[0]), atol=1e-5)


def test_file_holds_no_pickle_and_no_path_of_this_machine(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        names = archive.namelist()
        header = json.loads(archive.read("model.json"))
    assert set(names) == {
        "model.json",
        "estimators.skops",
        "weights/squeezenet1_0.safetensors",
    }
    assert header["format"] == FORMAT
    assert not {"cache", "device", "workers"} & set(header["parameters"])


def test_card_says_what_the_model_is(saved):
    card = model_card(saved[1])
    assert card["classes"] == ["lymphocyte", "neutrophil"]
    assert card["kind"] == "hybrid"
    assert card["notes"] == ["drawn cells"]


def rewritten(source, target, change):
    """Copy a model file with some members changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        members = {name: old.read(name) for name in old.namelist()}
        change(members)
        for name, data in members.items():
            new.writestr(name, data)
    return target


def test_newer_format_is_refused(saved, tmp_path):
    def newer(members):
        members["model.json"] = json.dumps(
            json.loads(members["model.json"]) | {"format": 99}
        ).encode()

    with pytest.raises(ModelFileError, match="format 99, but hybridleuk .* reads up to 2; update"):
        load_model(rewritten(saved[1], tmp_path / "m.hleuk", newer))


def test_changed_and_added_members_are_refused(saved, tmp_path):
    def changed(members):
        members["weights/squeezenet1_0.safetensors"] += b"x"

    with pytest.raises(ModelFileError, match="squeezenet1_0.safetensors does not match its hash"):
        load_model(rewritten(saved[1], tmp_path / "a.hleuk", changed))
    with pytest.raises(ModelFileError, match="not those it lists"):
        load_model(rewritten(saved[1], tmp_path / "b.hleuk", lambda m: m.update({"x.pkl": b"x"})))


@pytest.mark.parametrize("change", [{"classes": ["b", "a"]}, {"parameters": {"spacing": 5.0}}])
def test_edited_description_is_refused(saved, tmp_path, change):
    def edited(members):
        members["model.json"] = json.dumps(json.loads(members["model.json"]) | change).encode()

    with pytest.raises(ModelFileError, match=r"model.json does not match its hash"):
        load_model(rewritten(saved[1], tmp_path / "m.hleuk", edited))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_truncated_file_is_refused(saved, tmp_path, share):
    content = saved[1].read_bytes()
    (tmp_path / "m.hleuk").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelFileError, match="cut off"):
        load_model(tmp_path / "m.hleuk")


def test_any_flipped_byte_is_noticed(saved, tmp_path):
    content = bytearray(saved[1].read_bytes())
    for position in np.random.default_rng(0).integers(0, len(content), 20):
        damaged = content.copy()
        damaged[position] ^= 0xFF
        (tmp_path / "m.hleuk").write_bytes(damaged)
        try:
            load_model(tmp_path / "m.hleuk")
        except ModelFileError:
            continue
        # What is left are bytes of the archive that carry no content, such as dates.
        with zipfile.ZipFile(tmp_path / "m.hleuk") as a, zipfile.ZipFile(saved[1]) as b:
            assert all(a.read(name) == b.read(name) for name in b.namelist())


def test_untrusted_types_are_not_loaded(saved, tmp_path):
    import hashlib

    import skops.io

    def planted(members):
        members["estimators.skops"] = skops.io.dumps({"head": Planted()})
        header = json.loads(members["model.json"])
        header["members"]["estimators.skops"] = hashlib.sha256(
            members["estimators.skops"]
        ).hexdigest()
        header["sha256"] = seal(header)
        members["model.json"] = json.dumps(header).encode()

    with pytest.raises(ModelFileError, match="Planted, which hybridleuk never writes"):
        load_model(rewritten(saved[1], tmp_path / "m.hleuk", planted))


class Planted:
    pass


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no such model file"):
        load_model(tmp_path / "m.hleuk")
    (tmp_path / "m.hleuk").write_text("hello")
    with pytest.raises(ModelFileError, match="not a model file"):
        load_model(tmp_path / "m.hleuk")
    with zipfile.ZipFile(tmp_path / "z.hleuk", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(ModelFileError, match=r"model.json is missing"):
        load_model(tmp_path / "z.hleuk")


def test_existing_file_stays(saved):
    before = saved[1].read_bytes()
    with pytest.raises(OutputError, match="exists; choose another name or allow overwriting"):
        save_model(saved[0], saved[1])
    assert saved[1].read_bytes() == before


def test_full_disk_leaves_nothing(saved, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybridleuk.persistence.os.replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_model(saved[0], tmp_path / "m.hleuk")
    assert list(tmp_path.iterdir()) == []


def test_unfitted_is_refused(tmp_path):
    with pytest.raises(InputError, match="not fitted"):
        save_model(HybridClassifier(), tmp_path / "m.hleuk")


def older_table():
    rng = np.random.default_rng(0)
    y = np.repeat(["blast", "other"], 20)
    values = rng.normal(size=(40, 3)) + (y == "blast")[:, None]
    blocks = {"morphology": pd.DataFrame(values, columns=["area", "ratio", "qc_no_cell"])}
    return FeatureTable(pd.DataFrame(index=range(40)), blocks, {}), y


@pytest.mark.parametrize("path", sorted(OLDER.glob("*.hleuk")), ids=lambda path: path.stem)
def test_older_formats_are_read(path):
    """To add one: fit on `older_table()`, save, and keep the predictions beside it."""
    table, _ = older_table()
    expected = json.loads(path.with_suffix(".json").read_text())
    assert np.allclose(load_model(path).predict_proba(table), expected, atol=1e-5)


def test_a_model_of_other_measurements_refuses_images(saved, cells, monkeypatch):
    """Values of the same name that are measured in another way would be predicted on in silence."""
    monkeypatch.setattr("hybridleuk.morphology.catalogue.MORPHOLOGY_VERSION", 99)
    with pytest.raises(InputError, match=r"'morphology': 99.*fit again with this version"):
        load_model(saved[1]).predict(cells[0])


def test_models_before_format_2_take_feature_tables_but_no_images(cells):
    older = load_model(OLDER / "format_1_svm.hleuk")
    with pytest.raises(InputError, match=r"versions before 2.*fit again"):
        older.predict(cells[0])
