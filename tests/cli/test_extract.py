"""``hybridleuk extract``: rows and files left out, what is refused, and how inputs are named."""

import json

import pandas as pd
import pytest

from hybridleuk.features import FeatureTable

MORPHOLOGY = ("--features", "morphology", "--workers", 1)


@pytest.fixture
def damaged(smears):
    """The study with a truncated, an empty, a tiny and a hidden file."""
    good = (smears / "blast" / "P00_0.png").read_bytes()
    (smears / "blast" / "truncated.png").write_bytes(good[: len(good) // 2])
    (smears / "blast" / "empty.png").write_bytes(b"")
    (smears / "lymphocyte" / "notes.txt").write_text("no image")
    (smears / "lymphocyte" / ".DS_1.jpg").write_bytes(b"\0\0\0\1Bud1")
    return smears


def test_one_row_each_and_json_alone_on_stdout(run, smears, tmp_path):
    output = tmp_path / "out" / "f.parquet"
    ended = run("extract", smears, "-o", output, *MORPHOLOGY, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    assert document["output"] == str(output)
    assert (document["n_found"], document["n_images"], document["n_skipped"]) == (16, 16, 0)
    table = FeatureTable.read_parquet(output)
    assert len(table) == 16
    assert list(document["blocks"]) == ["morphology"]
    assert {path.name for path in output.parent.iterdir()} == {"f.parquet"}


def test_rows_and_skipped_add_up(run, damaged, tmp_path):
    output = tmp_path / "out" / "f.parquet"
    ended = run("extract", damaged, "-o", output, *MORPHOLOGY, "--json")
    assert ended.status == 0, ended.err
    document = json.loads(ended.out)
    skipped = pd.read_csv(output.parent / "skipped.csv")
    assert list(skipped) == ["path", "reason", "output"]
    names = {path.rsplit("/", 1)[1] for path in skipped["path"]}
    assert names == {"truncated.png", "empty.png", "notes.txt"}
    assert skipped["reason"].str.len().min() > 10
    assert document["n_ignored"] == 1
    assert document["n_images"] + len(skipped) == document["n_found"] == 19
    assert len(pd.read_parquet(output)) == 16
    assert "3 of 19 files" in ended.err


def test_strict_makes_a_skipped_file_an_error(run, damaged, tmp_path):
    ended = run("extract", damaged, "-o", tmp_path / "f.parquet", *MORPHOLOGY, "--strict")
    assert ended.status == 1
    assert "3 of 19 files cannot be used, first " in ended.err
    assert not (tmp_path / "f.parquet").exists()


def test_a_list_of_an_earlier_command_does_not_stay(run, damaged, tmp_path):
    arguments = ("extract", damaged, "-o", tmp_path / "f.parquet", *MORPHOLOGY, "--overwrite")
    assert run(*arguments).status == 0
    for name in ("blast/truncated.png", "blast/empty.png", "lymphocyte/notes.txt"):
        (damaged / name).unlink()
    assert run(*arguments).status == 0
    assert len(pd.read_csv(tmp_path / "skipped.csv")) == 0


def test_existing_output_is_refused_before_any_work(run, tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"precious")
    ended = run("extract", tmp_path / "no-such-folder", "-o", tmp_path / "f.parquet", *MORPHOLOGY)
    assert ended.status == 1
    assert "f.parquet exists" in ended.err
    assert "--overwrite" in ended.err
    assert (tmp_path / "f.parquet").read_bytes() == b"precious"


def test_files_pattern_and_flat_folder(run, smears, tmp_path):
    blasts = sorted((smears / "blast").iterdir())
    for i, source in enumerate(
        [blasts[:3], [smears / "blast" / "P0[0-2]_*.png"], [smears / "blast"]]
    ):
        ended = run("extract", *source, "-o", tmp_path / f"{i}.parquet", *MORPHOLOGY, "--json")
        assert json.loads(ended.out)["n_images"] == (3, 6, 8)[i], ended.err


def test_folder_among_files(run, smears, tmp_path):
    ended = run("extract", smears, smears / "blast", "-o", tmp_path / "f.parquet")
    assert ended.status == 1
    assert "stands among 2 IMAGES" in ended.err


def test_groups_by_regex_and_by_column(run, smears, tmp_path):
    by_regex = tmp_path / "regex.parquet"
    ended = run("extract", smears, "-o", by_regex, *MORPHOLOGY, "--group-regex", r"(P\d+)_")
    assert ended.status == 0, ended.err
    assert set(pd.read_parquet(by_regex)["group"]) == {f"P{k}{i}" for k in (0, 1) for i in range(4)}
    rows = [(f"blast/P0{i}_{i}.png", "blast", f"patient {i}") for i in range(3)]
    table = pd.DataFrame(rows, columns=["path", "label", "who"])
    table.to_csv(smears / "list.csv", index=False)
    by_column = tmp_path / "column.parquet"
    ended = run(
        "extract", smears / "list.csv", "-o", by_column, *MORPHOLOGY, "--group-column", "who"
    )
    assert ended.status == 0, ended.err
    assert list(pd.read_parquet(by_column)["group"]) == ["patient 0", "patient 1", "patient 2"]


def test_random_weights_are_said_loudly_even_when_quiet(run, smears, tmp_path):
    image = smears / "blast" / "P00_0.png"
    options = ("--features", "deep", "--weights", "random", "--workers", 1)
    ended = run("extract", image, "-o", tmp_path / "f.parquet", *options, "--quiet")
    assert ended.status == 0, ended.err
    assert ended.out == ""
    assert "RANDOM" in ended.err
    block = FeatureTable.read_parquet(tmp_path / "f.parquet").blocks
    assert list(block) == ["embedding__squeezenet1_0__image"]


@pytest.mark.parametrize("command", ["extract", "fit", "compare"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--orientations", 3], "there are no 3 orientations; expected one of 1, 2, 4, 8"),
        (["--pooling", "avg+foo"], "there is no pooling 'foo'; expected default, or avg, max"),
        (["--layers", "nope"], "squeezenet1_0 has no layer 'nope' to pool; it has features."),
        (["--layers", "nope", "--backbone", "VGG-16"], "vgg16 has no layer 'nope'"),
        (["--pooling", "cls"], "squeezenet1_0 has no class token"),
    ],
)
def test_what_no_backbone_has_is_wrong_usage_before_images_are_read(
    run, tmp_path, command, options, message
):
    suffix = {"extract": ".parquet", "fit": ".hleuk", "compare": ""}[command]
    ended = run(command, tmp_path / "nowhere", "-o", tmp_path / f"out{suffix}", *options)
    assert ended.status == 2
    assert message in " ".join(ended.err.split())
    assert "nowhere" not in ended.err


def test_a_device_that_is_not_there_fails_with_everything_cached(run, smears, tmp_path):
    options = ["--features", "deep", "--weights", "random", "--cache", tmp_path / "cache"]
    options += ["--backbone", "squeezenet1_1", "--overwrite", "-o", tmp_path / "f.parquet"]
    assert run("extract", smears, *options).status == 0
    for images in (smears, tmp_path / "nowhere"):
        ended = run("extract", images, *options, "--device", "cuda:99")
        assert ended.status == 1
        assert "device 'cuda:99' is not available here" in " ".join(ended.err.split())


def test_weights_that_do_not_fit(run, smears, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"no weights at all")
    options = ("--features", "deep", "--weights", tmp_path / "w.pth")
    ended = run("extract", smears, "-o", tmp_path / "f.parquet", *options)
    assert ended.status == 1
    assert "w.pth" in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: ")


def test_second_run_uses_the_cache(run, smears, tmp_path, monkeypatch):
    cache = tmp_path / "own cache"
    arguments = ("extract", smears, *MORPHOLOGY, "--cache", cache, "--quiet")
    assert run(*arguments, "-o", tmp_path / "1.parquet").status == 0
    assert any(cache.iterdir())

    def fail(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr("hybridleuk.morphology.measuring.measure_values", fail)
    assert run(*arguments, "-o", tmp_path / "2.parquet").status == 0
    first, second = (FeatureTable.read_parquet(tmp_path / f"{i}.parquet") for i in (1, 2))
    pd.testing.assert_frame_equal(first.blocks["morphology"], second.blocks["morphology"])
