import os
import tracemalloc

import numpy as np
import pytest

from hybridleuk import HybridClassifier
from hybridleuk.exceptions import InputError
from hybridleuk.models import memory
from hybridleuk.models.classifiers import SVMClassifier, XGBoostClassifier

MEMINFO = "MemTotal:       1000 kB\nMemFree:          10 kB\nMemAvailable:    500 kB\n"


@pytest.fixture
def system(tmp_path):
    """Lay out what Linux tells of memory, as files."""

    def lay(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return lay


def test_available_is_what_linux_calls_available(system):
    assert memory.available_memory(system(proc__meminfo=MEMINFO)) == 500 * 1024


def test_without_proc_the_machine_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(
        os, "sysconf", {"SC_PHYS_PAGES": 7, "SC_PAGE_SIZE": 4096}.__getitem__, raising=False
    )
    assert memory.available_memory(tmp_path) == 7 * 4096
    monkeypatch.delattr(os, "sysconf")
    assert memory.available_memory(tmp_path) is None


@pytest.mark.parametrize("limited", ["job/step", "job", ""])
def test_control_group_of_version_2_and_those_around_it(system, limited):
    root = system(proc__meminfo=MEMINFO, proc__self__cgroup="0::/job/step\n")
    for place in ("job/step", "job", ""):
        folder = root / "sys/fs/cgroup" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text("300000\n" if place == limited else "max\n")
        (folder / "memory.current").write_text("150000\n")
        # What is held of files can be given back.
        (folder / "memory.stat").write_text("anon 50000\nactive_file 60000\ninactive_file 40000\n")
    assert memory.available_memory(root) == 300000 - 50000


def test_control_group_of_version_1(system):
    root = system(
        proc__meminfo=MEMINFO, proc__self__cgroup="9:name=systemd:/\n4:memory,x:/job\n0::/\n"
    )
    folder = root / "sys/fs/cgroup/memory/job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("200000\n")
    (folder / "memory.usage_in_bytes").write_text("90000\n")
    (folder / "memory.stat").write_text("active_file 1\ntotal_active_file 30000\n")
    assert memory.available_memory(root) == 200000 - 60000
    (folder / "memory.limit_in_bytes").write_text(f"{2**63 - 4096}\n")  # no limit
    assert memory.available_memory(root) == 500 * 1024
    (folder / "memory.limit_in_bytes").write_text("50000\n")  # more is used than allowed
    assert memory.available_memory(root) == 0


@pytest.mark.parametrize("tuned", [False, True])
def test_estimate_is_what_fitting_takes(tuned):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 400)
    X = rng.normal(size=(800, 4)) + y[:, None]
    SVMClassifier().fit(X[::40], y[::40])  # what is imported and kept is no part of it
    tracemalloc.start()
    SVMClassifier(tune=tuned).fit(X, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    estimate = memory.kernel_memory(800, tuned=tuned)
    assert 0.95 * estimate < peak < 1.1 * estimate


def test_says_before_fitting_that_memory_does_not_suffice(monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(1000, 2)), np.repeat([0, 1], 500)
    enough = 8 * 1000**2 + 8 * 1000**2 * 4 / 9
    monkeypatch.setattr(memory, "available_memory", lambda: round(enough))
    SVMClassifier().fit(X, y)
    # Tuned it would take 22 / 9 tables of distances instead of 13 / 9.
    with pytest.raises(InputError, match=r"1,000 images needs about 0\.0 GiB.*up to 768 in all"):
        SVMClassifier(tune=True).fit(X, y)
    with pytest.raises(InputError, match="1,000 images"):
        SVMClassifier(calibration_folds=5).fit(X, y)
    monkeypatch.setattr(memory, "available_memory", lambda: round(enough) - 1)
    with pytest.raises(InputError, match="or XGBoost"):
        SVMClassifier().fit(X, y)
    XGBoostClassifier(n_estimators=1).fit(X, y)


def test_names_gibibytes(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 24 * 2**30)
    with pytest.raises(InputError, match=r"on 60,000 images needs about 38\.7 GiB .* 24\.0 GiB"):
        memory.check_kernel_memory(60_000)
    memory.check_kernel_memory(40_000)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    memory.check_kernel_memory(10**9)


def test_nothing_is_extracted_for_a_fit_that_cannot_be(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100)
    images = ["there is no such file.png"] * 6
    with pytest.raises(InputError, match="A support vector machine on 6 images"):
        HybridClassifier(features="morphology").fit(images, [0, 1] * 3)
