"""The transformer as its users meet it: scikit-learn, order, cache, errors, views."""

import pickle
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision import models
from torchvision.transforms.v2 import functional as F

from hybridleuk import progress
from hybridleuk.data.cache import Cache
from hybridleuk.embeddings import extraction, extractor
from hybridleuk.embeddings.extractor import DeepEmbeddings
from hybridleuk.embeddings.network import FrozenBackbone
from hybridleuk.exceptions import CacheError, ImageError, InputError, WeightsError

SMALL = "squeezenet1_1"


class News(progress.Listener):
    def __init__(self):
        self.tasks, self.notes = [], []

    def opened(self, task):
        self.tasks.append(task)

    def noted(self, text):
        self.notes.append(text)


@pytest.fixture
def ran(monkeypatch):
    """List how many pictures each run of a network was given."""
    sizes = []
    embed = FrozenBackbone.embed

    def counted(self, pictures, **options):
        sizes.append(len(pictures))
        return embed(self, pictures, **options)

    monkeypatch.setattr(FrozenBackbone, "embed", counted)
    return sizes


@pytest.fixture
def one_thread():
    """Let batches run one after the other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def nothing_may_run(monkeypatch):
    """Return a function after which neither a network nor the decoder may be used."""

    def forbid():
        def fail(*_, **__):
            raise AssertionError("this was in the cache")

        monkeypatch.setattr(extractor, "_frozen", fail)
        monkeypatch.setattr(extraction, "read_image", fail)
        monkeypatch.setattr(extractor, "trunk_state", fail)

    return forbid


def embeddings(**parameters):
    return DeepEmbeddings(**{"backbone": SMALL, "weights": "random", "workers": 2, **parameters})


def plain_rows(network, images):
    """Embed as one would with torchvision alone: one image at a time, NCHW, float32."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    rows = []
    with torch.no_grad():
        for image in images:
            resized = F.resize(Image.fromarray(image), [224, 224], antialias=True)
            tensor = (F.pil_to_tensor(resized).float() / 255 - mean) / std
            rows.append(network.features(tensor[None]).mean((2, 3))[0].numpy())
    return np.stack(rows)


def test_equals_the_plain_torchvision_network(images, squeezenet_file, squeezenet_state):
    network = models.squeezenet1_0(weights=None).eval()
    network.load_state_dict(squeezenet_state)
    expected = plain_rows(network, images)
    rows = DeepEmbeddings(weights=squeezenet_file, cache=None).fit_transform(images)
    assert rows.shape == (5, 512)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)


def test_half_precision_stays_close(images):
    exact = embeddings(cache=None).fit_transform(images)
    rounded = embeddings(cache=None, precision="bf16").fit_transform(images)
    cosine = (
        (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    )
    assert not np.array_equal(exact, rounded)
    assert cosine.min() > 0.999


# scikit-learn


def test_fit_learns_nothing_and_says_what_the_weights_are(images, squeezenet_file):
    fitted = DeepEmbeddings(weights=squeezenet_file).fit(images[:1])
    assert fitted.weights_description_ == "file squeezenet.pth"
    assert re.fullmatch("[0-9a-f]{64}", fitted.weights_sha256_)
    assert fitted.device_.type in ("cpu", "cuda", "mps")
    unfitted = DeepEmbeddings(weights=squeezenet_file)
    np.testing.assert_array_equal(fitted.transform(images), unfitted.transform(images))


def test_clone_parameters_and_pickle(images):
    made = embeddings(layers=["features.3", "default"], pooling="max", batch_size=2, random_state=4)
    copy = clone(made)
    assert copy.get_params() == made.get_params()
    rows = made.fit_transform(images)
    assert rows.shape == (5, 128 + 512)
    again = pickle.loads(pickle.dumps(made))
    assert len(pickle.dumps(made)) < 5000  # no weights inside
    np.testing.assert_array_equal(again.transform(images), rows)


def test_names(images):
    names = embeddings().get_feature_names_out()
    assert len(names) == 512
    assert list(names[:2]) == ["squeezenet1_1__image__0", "squeezenet1_1__image__1"]
    names = embeddings(view="cells", layers="features.3+default").get_feature_names_out()
    assert names[127] == "squeezenet1_1__cells__features.3__avg__127"
    assert names[128] == "squeezenet1_1__cells__features.12__avg__0"


def test_pandas_output(images):
    made = embeddings().set_output(transform="pandas")
    frame = made.fit_transform(images)
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == list(made.get_feature_names_out())


def test_pipeline_and_grid_search(files):
    labels = np.array([0, 1] * 3)
    pipeline = make_pipeline(embeddings(), StandardScaler(), LogisticRegression(max_iter=50, C=0.1))
    grid = {"deepembeddings__layers": ["features.3", "default"]}
    search = GridSearchCV(pipeline, grid, cv=2).fit([str(path) for path in files], labels)
    assert search.predict(files).shape == (6,)
    assert len(search.cv_results_["params"]) == 2


# Order, duplicates, batches


def test_order_duplicates_and_batches(images, ran, one_thread):
    one = np.concatenate([embeddings(cache=None).fit_transform([image]) for image in images])
    ran.clear()
    rows = embeddings(batch_size=3).fit_transform(images)
    assert ran == [3, 1]
    np.testing.assert_allclose(rows, one, atol=1e-5 * np.abs(one).max())
    np.testing.assert_array_equal(rows[0], rows[4])


def test_paths_arrays_and_copies_share_rows(files, tmp_path, ran):
    copy = tmp_path / "copy.png"
    copy.write_bytes(files[0].read_bytes())
    rows = embeddings().fit_transform([str(files[0]), copy, files[1]])
    assert ran == [2]
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])


def test_no_more_is_decoded_ahead_than_is_needed_soon():
    decoded, used, gap = [], [], []

    def decode(item):
        decoded.append(item)
        return item

    with extraction._threads(2) as pool:
        for item in extraction._ahead(decode, range(300), pool, ahead=8):
            used.append(item)
            gap.append(len(decoded) - len(used))
    assert used == list(range(300))
    assert max(gap) <= 9
    assert not [t for t in threading.enumerate() if t.name.startswith("hybridleuk-decode")]


def test_batches_at_once_give_the_same_rows_in_order(files, ran):
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            found.append(embeddings(cache=None, batch_size=1).fit_transform(files))
    finally:
        torch.set_num_threads(before)
    assert ran == [1] * 12
    np.testing.assert_allclose(found[0], found[1], atol=1e-5 * np.abs(found[0]).max())


# Cache


def test_what_is_known_is_neither_decoded_nor_run(files, squeezenet_file, nothing_may_run):
    first = DeepEmbeddings(weights=squeezenet_file).fit_transform(files)
    nothing_may_run()
    second = DeepEmbeddings(weights=squeezenet_file, batch_size=1).fit_transform(files[::-1])
    np.testing.assert_array_equal(second, first[::-1])


def test_a_second_run_does_not_import_torch(files, squeezenet_file, tmp_path):
    cache = str(tmp_path / "own")
    rows = DeepEmbeddings(weights=squeezenet_file, cache=cache).fit_transform(files)
    code = (
        "import sys\n"
        "from hybridleuk.embeddings.extractor import DeepEmbeddings\n"
        f"made = DeepEmbeddings(weights={str(squeezenet_file)!r}, cache={cache!r})\n"
        f"rows = made.fit_transform({[str(path) for path in files]!r})\n"
        "assert 'torch' not in sys.modules\n"
        "print(float(rows.sum()))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert float(ended.stdout) == pytest.approx(float(rows.sum()))


def test_what_is_in_the_key(files, ran):
    def computed(**parameters):
        ran.clear()
        embeddings(**parameters).fit_transform(files[:2])
        return sum(ran)

    assert computed() == 2
    assert computed(batch_size=1, workers=1, device="cpu") == 0
    for change in (
        {"backbone": "squeezenet1_0"},
        {"random_state": 1},
        {"precision": "bf16"},
        {"layers": "features.3"},
        {"pooling": "max"},
    ):
        assert computed(**change) == 2, change
        assert computed(**change) == 0, change


def test_blocks_are_kept_one_by_one(files, nothing_may_run):
    both = embeddings(layers="features.3+default", pooling="avg+max").fit_transform(files)
    nothing_may_run()
    alone = embeddings(pooling="max").fit_transform(files)
    np.testing.assert_array_equal(alone, both[:, 128 + 128 + 512 :])


def test_a_saved_state_leads_to_the_same_rows(files, squeezenet_file, tmp_path, nothing_may_run):
    made = DeepEmbeddings(weights=squeezenet_file)
    rows = made.fit_transform(files)
    path = tmp_path / "saved.safetensors"
    safetensors.torch.save_file(made.network_state(), path)
    assert path.stat().st_size < squeezenet_file.stat().st_size  # without the head
    uncached = DeepEmbeddings(weights=path, cache=None).fit_transform(files)
    np.testing.assert_allclose(uncached, rows, atol=1e-5 * np.abs(rows).max())
    DeepEmbeddings(weights=path).fit(files)
    nothing_may_run()
    np.testing.assert_array_equal(DeepEmbeddings(weights=path).transform(files), rows)


def test_states_of_random_networks_are_what_they_run_with(images, tmp_path):
    made = embeddings(cache=None, random_state=9)
    safetensors.torch.save_file(made.network_state(), tmp_path / "random.safetensors")
    saved = embeddings(cache=None, weights=tmp_path / "random.safetensors")
    rows = made.fit_transform(images)
    np.testing.assert_allclose(saved.fit_transform(images), rows, atol=1e-6 * np.abs(rows).max())


def test_a_broken_file_midway_keeps_what_came_before(files, ran, one_thread):
    whole = files[4].read_bytes()
    files[4].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"cell_4\.png: the PNG data is damaged or cut off"):
        embeddings(batch_size=3).fit_transform(files)
    assert ran == [3, 1]  # the images before the broken one, the last of them in a short batch
    files[4].write_bytes(whole)
    ran.clear()
    rows = embeddings().fit_transform(files)
    assert sum(ran) == 2
    assert (np.abs(rows).sum(axis=1) > 0).all()


def test_stopped_by_the_user_keeps_what_came_before(files, monkeypatch, one_thread):
    embed = FrozenBackbone.embed
    done = []

    def stopped(self, pictures, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(pictures))
        return embed(self, pictures, **options)

    monkeypatch.setattr(FrozenBackbone, "embed", stopped)
    with pytest.raises(KeyboardInterrupt):
        embeddings(batch_size=2).fit_transform(files)
    monkeypatch.setattr(FrozenBackbone, "embed", embed)
    with Cache(extractor.open_cache("default").directory) as cache:
        assert len(cache) == 4
    assert not [t for t in threading.enumerate() if t.name.startswith("hybridleuk-decode")]


def test_a_full_disk_is_one_sentence_and_keeps_what_came_before(files, monkeypatch):
    put = Cache.put_many
    calls = []

    def full(self, results):
        calls.append(len(results))
        if len(calls) > 2:
            raise CacheError("The cache cannot be used (database or disk is full).")
        put(self, results)

    monkeypatch.setattr(Cache, "put_many", full)
    with pytest.raises(CacheError, match="full"):
        embeddings(batch_size=2).fit_transform(files)
    with extractor.open_cache("default") as cache:
        assert len(cache) == 4


# Bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"backbone": "alexnet"}, r"no backbone 'alexnet'; there are squeezenet1_0"),
        ({"view": "cell"}, "view is 'cell'"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"layers": "features.0"}, "no layer 'features.0'"),
        ({"pooling": "sum"}, "pooling is 'sum'"),
        ({"batch_size": 0}, "batch_size is 0; expected a whole number of at least 1"),
        ({"batch_size": "large"}, "batch_size is 'large'"),
        ({"workers": -1}, "workers is -1"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available here"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"workers": 1.5}, "workers is 1.5"),
    ],
)
def test_wrong_parameters(images, parameters, message):
    with pytest.raises(InputError, match=message):
        embeddings(**parameters).fit(images)


def test_wrong_images(files, tmp_path):
    with pytest.raises(InputError, match="at least one image, got an empty list"):
        embeddings().fit([])
    with pytest.raises(InputError, match="empty list"):
        embeddings().transform([])
    with pytest.raises(InputError, match="single path"):
        embeddings().fit(str(files[0]))
    with pytest.raises(ImageError, match=r"nowhere\.png: cannot be read"):
        embeddings().fit_transform([files[0], tmp_path / "nowhere.png"])


def test_weights_are_checked_before_the_work_begins(images, tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "foreign.pth")
    with pytest.raises(WeightsError, match=r"foreign\.pth does not fit squeezenet1_1"):
        embeddings(weights=tmp_path / "foreign.pth").fit(images)


class TooLarge(torch.nn.Module):
    """The mean of a picture, and infinity in its place where the picture is light."""

    input_size = 16

    def forward(self, x):
        large = x.mean((2, 3)) * 60000
        return torch.where(large > 0, torch.inf, large)


@pytest.mark.parametrize("orientations", [1, 8])
@pytest.mark.parametrize(
    ("precision", "remedy"),
    [("fp32", "; give other weights"), ("bf16", "too large for bf16.*fp32")],
)
def test_rows_that_are_not_finite_are_neither_stored_nor_returned(
    tmp_path, one_thread, orientations, precision, remedy
):
    dark, light = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 250, np.uint8)
    made = DeepEmbeddings(
        TooLarge(), cache=tmp_path, batch_size=2, precision=precision, orientations=orientations
    )
    message = rf"TooLarge, in {precision}, returned NaN or infinity for 1 of 2 pictures.*{remedy}"
    for _ in range(2):
        with pytest.raises(InputError, match=message):
            made.fit_transform([dark, light])
    with Cache(tmp_path) as cache:
        assert len(cache) == 0
    assert np.isfinite(made.fit_transform([dark])).all()


def test_rows_of_earlier_versions_that_are_not_finite_count_as_missing(files, tmp_path, ran):
    made = embeddings(cache=tmp_path)
    rows = made.fit_transform(files)
    with Cache(tmp_path) as cache:
        query = "SELECT key FROM entries WHERE kind = 'embedding' LIMIT 2"
        keys = [key for (key,) in cache.fetch(query)]
        cache.put_many(dict.fromkeys(keys, np.full(512, np.nan, np.float32)))
    ran.clear()
    np.testing.assert_allclose(made.fit_transform(files), rows, rtol=1e-5, atol=1e-6)
    assert sum(ran) == 2


# What the user is told


def test_random_weights_are_said_loudly(images):
    with progress.report_to(News()) as news:
        made = embeddings().fit(images)
    assert any("RANDOM" in note and "never trained" in note for note in news.notes)
    assert "RANDOM" in made.weights_description_
    assert made.weights_sha256_ == "random-0"


def test_progress_counts_every_image(images):
    with progress.report_to(News()) as news:
        embeddings(batch_size=2).fit_transform(images)
        embeddings().transform(images)
    first, second = news.tasks
    assert first.description == "Embedding with squeezenet1_1"
    assert (first.done, first.total) == (second.done, second.total) == (5, 5)
    assert first.detail == ""  # what shows progress has a rate, and shows one only
    assert second.detail == "from the cache"


# Views


@pytest.fixture
def drawn():
    """Draw images with no, one and two dark cells."""
    drawn = []
    y, x = np.indices((96, 128))
    for centers in ((), ((48, 40),), ((48, 34), (50, 94))):
        image = np.full((96, 128, 3), (232, 225, 228), dtype=np.uint8)
        for number, (row, column) in enumerate(centers):
            distance = np.hypot(y - row, x - column)
            image[distance < 24] = (185, 175, 215)
            image[distance < 15 + number] = (95, 50, 145)
        drawn.append(image)
    return drawn


def test_cells_are_averaged_and_absent_ones_are_zero(drawn, ran):
    rows = embeddings(view="cells", batch_size=2).fit_transform(drawn)
    assert sum(ran) == 3  # one picture of the second image, two of the third
    assert (rows[0] == 0).all()
    assert (rows[1:] != 0).any(axis=1).all()
    halves = [drawn[2][:, :64].copy(), drawn[2][:, 64:].copy()]
    apart = embeddings(view="cells", cache=None).fit_transform(halves)
    cosine = rows[2] @ apart.mean(0) / np.linalg.norm(rows[2]) / np.linalg.norm(apart.mean(0))
    assert cosine > 0.99


def test_segmented_does_not_see_the_background(drawn):
    tinted = [image.copy() for image in drawn]
    for image in tinted:
        ground = (image == (232, 225, 228)).all(-1)
        image[ground] = (238, 228, 226)
    views = {
        view: [embeddings(view=view).fit_transform(images) for images in (drawn, tinted)]
        for view in ("image", "segmented")
    }
    change = {
        view: np.abs(one - two).max() / np.abs(one).max() for view, (one, two) in views.items()
    }
    assert change["segmented"] < change["image"]
    np.testing.assert_allclose(views["segmented"][0][0], views["segmented"][1][0])


def test_views_do_not_share_rows_in_the_cache(drawn):
    rows = [embeddings(view=view).fit_transform(drawn) for view in ("image", "segmented", "cells")]
    again = [embeddings(view=view).fit_transform(drawn) for view in ("image", "segmented", "cells")]
    for one, two in zip(rows, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.allclose(rows[0], rows[1])
    assert not np.allclose(rows[1], rows[2])


def test_a_broken_file_in_a_view_of_cells(files):
    files[1].write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"cell_1\.png: not an image"):
        embeddings(view="cells").fit_transform(files[:3])


# Real weights


def test_shared_squeezenet_on_real_images(real_data):
    path = real_data.parent / "weights" / "squeezenet1_0-imagenet.pth"
    if not path.is_file():
        pytest.skip(f"no weights at {path}")
    folder = real_data / "pbc-dev"
    images = [
        np.asarray(Image.open(next(iter(sorted(folder.glob(f"{name}/[!.]*.jpg"))))).convert("RGB"))
        for name in ("basophil", "eosinophil", "lymphocyte", "platelet")
    ]
    network = models.squeezenet1_0(weights=None).eval()
    network.load_state_dict(torch.load(path, weights_only=True))
    expected = plain_rows(network, images)
    rows = DeepEmbeddings(weights=path, cache=None).fit_transform(images)
    np.testing.assert_allclose(rows, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-5)
    rounded = DeepEmbeddings(weights=path, cache=None, precision="bf16").fit_transform(images)
    cosine = (
        (rows * rounded).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(rounded, axis=1)
    )
    assert cosine.min() > 0.999


# Killed

EXTRACTING = """
import sys
from hybridleuk import progress
from hybridleuk.embeddings.extractor import DeepEmbeddings
class Saying(progress.Listener):
    def advanced(self, task):
        print(task.done, flush=True)
        if task.done == 5:
            sys.stdin.read()  # wait to be killed, with batches under way
with progress.report_to(Saying()):
    made = DeepEmbeddings("squeezenet1_1", weights="random", cache=sys.argv[1], batch_size=1)
    made.fit_transform(sys.argv[2:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_and_resumed(files, tmp_path, ran):
    many = []
    for i in range(40):
        many.append(tmp_path / f"many_{i}.png")
        Image.fromarray(np.roll(np.asarray(Image.open(files[i % 6])), i, axis=1)).save(many[-1])
    unbroken = embeddings(cache=None).fit_transform(many)
    command = [sys.executable, "-c", EXTRACTING, str(tmp_path / "own"), *map(str, many)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
    said = [process.stdout.readline() for _ in range(6)]  # the first is of the look-up
    assert said[-1] == "5\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    ran.clear()
    resumed = embeddings(cache=tmp_path / "own").fit_transform(many)
    assert sum(ran) == len(many) - 5
    np.testing.assert_allclose(resumed, unbroken, atol=1e-5 * np.abs(unbroken).max())


def test_orientations_make_a_row_the_same_however_the_image_lies(drawn):
    turned = [np.ascontiguousarray(np.rot90(image)) for image in drawn]
    once, eight = ({"orientations": n, "cache": None} for n in (1, 8))

    def change(options):
        rows = (embeddings(**options).fit_transform(images) for images in (drawn, turned))
        return np.abs(np.subtract(*rows)).max()

    assert change(eight) < 0.02 * change(once)  # a resized picture is rounded to whole levels


def test_orientations_are_known_to_the_cache(drawn):
    once = embeddings().fit_transform(drawn)
    eight = embeddings(orientations=8).fit_transform(drawn)
    assert not np.array_equal(once, eight)
    assert np.array_equal(embeddings().fit_transform(drawn), once)
    assert np.array_equal(embeddings(orientations=8).fit_transform(drawn), eight)


def test_other_numbers_of_orientations_are_refused(drawn):
    with pytest.raises(InputError, match="orientations is 3; expected one of 1, 2, 4, 8"):
        embeddings(orientations=3).fit(drawn)


def test_throughput_counts_what_was_embedded_and_where_the_time_went(drawn):
    first, second = embeddings(), embeddings()
    first.fit_transform(drawn)
    spent = first.throughput_
    assert spent["images"] == len(drawn)
    used = {name for name, seconds in spent["stages"].items() if seconds > 0}
    assert used <= {"decode", "preprocess", "network", "write"}
    assert "network" in used
    second.fit_transform(drawn)
    assert second.throughput_["images"] == 0
