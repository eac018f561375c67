"""What all tests share: no network, no user's cache, one thread for small work."""

import os
from pathlib import Path

# Tests run side by side; threads that wait for each other would only slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

REAL_DATA = Path(
    os.environ.get("HYBRIDLEUK_REAL_DATA", Path(__file__).parents[2] / "shared" / "data")
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Give every test an empty cache of its own, so that no result comes from another run."""
    monkeypatch.setenv("HYBRIDLEUK_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def real_data():
    """Return the folder of real images, or skip the test where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real images at {REAL_DATA}; set HYBRIDLEUK_REAL_DATA to test on them")
    return REAL_DATA
