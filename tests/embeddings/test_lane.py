"""A GPU's lanes, with a stand-in for the GPU: what is copied, launched and recorded, and when."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from hybridleuk import progress
from hybridleuk.embeddings import network
from hybridleuk.embeddings.backbones import backbone, blocks_of
from hybridleuk.embeddings.lane import Lane
from hybridleuk.embeddings.network import FrozenBackbone, random_network


class Stream:
    """Counts the batches that were waited for."""

    def __init__(self):
        self.waited = 0

    def synchronize(self):
        self.waited += 1


class StandIn:
    """Does on a CPU what a GPU does, and keeps account of it."""

    def __init__(self, device="cpu"):
        self.device = torch.device(device)
        self.allocated, self.recordings, self.replays, self.inside = [], 0, 0, []
        self.wrong = 0.0

    def stream(self):
        return Stream()

    @contextmanager
    def on(self, stream):
        self.inside.append(stream)
        assert len(self.inside) == 1, "two lanes launch at the same time"
        try:
            yield
        finally:
            self.inside.pop()

    def pinned(self, shape, dtype):
        self.allocated.append((tuple(shape), dtype))
        return torch.empty(shape, dtype=dtype)

    def record(self, stream, function):
        assert self.inside == [stream]
        self.recordings += 1
        rows = torch.zeros_like(function())  # a recording computes nothing

        def replay():
            self.replays += 1
            rows.copy_(function() + self.wrong)

        return replay, rows


def pictures(n, seed=0, side=8):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def mean_color(batch):
    assert batch.is_contiguous(memory_format=torch.channels_last)
    return batch.float().mean((2, 3))


def expected(some):
    return some.astype(np.float32).mean((1, 2))


def lane(gpu, run=mean_color, **options):
    return Lane(run, gpu, threading.Lock(), **options)


def test_rows_of_every_batch_are_its_own_before_and_after_recording():
    gpu = StandIn()
    made = lane(gpu)
    kept = [(pictures(4, seed), made.rows(pictures(4, seed))) for seed in range(7)]
    for some, rows in kept:  # later batches have not written over earlier rows
        np.testing.assert_allclose(rows, expected(some), rtol=1e-5)
    assert (gpu.recordings, gpu.replays) == (1, 1 + 4)  # the third is compared, four are replayed
    assert made._stream.waited == 7


def test_a_short_run_and_a_short_last_batch_are_not_recorded():
    gpu = StandIn()
    made = lane(gpu)
    for n in (4, 4, 3, 1):
        np.testing.assert_allclose(made.rows(pictures(n)), expected(pictures(n)), rtol=1e-5)
    assert gpu.recordings == 0
    made.rows(pictures(4))
    assert gpu.recordings == 1
    np.testing.assert_allclose(made.rows(pictures(3)), expected(pictures(3)), rtol=1e-5)
    assert gpu.replays == 1


def test_pinned_memory_is_allocated_once_for_all_that_fits():
    gpu = StandIn()
    made = lane(gpu)
    for n in (4, 2, 4, 3):
        made.rows(pictures(n))
    assert gpu.allocated == [((4, 8, 8, 3), torch.uint8), ((4, 3), torch.float32)]
    made.rows(pictures(5))
    assert len(gpu.allocated) == 4


def test_a_recording_with_other_rows_is_dropped():
    gpu = StandIn()
    gpu.wrong = 50.0
    made = lane(gpu)
    for seed in range(6):
        some = pictures(4, seed)
        np.testing.assert_allclose(made.rows(some), expected(some), rtol=1e-5)
    assert (gpu.recordings, gpu.replays, made.recordable) == (1, 1, False)


def test_what_cannot_be_recorded_goes_on_as_before(monkeypatch):
    gpu = StandIn()
    tried = []

    def refuse(*_):
        tried.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(gpu, "record", refuse)
    made = lane(gpu)
    for seed in range(6):
        some = pictures(4, seed)
        np.testing.assert_allclose(made.rows(some), expected(some), rtol=1e-5)
    assert len(tried) == 1
    assert lane(StandIn(), recordable=False).recordable is False


def test_networks_that_are_not_known_are_never_recorded():
    gpu = StandIn()
    made = lane(gpu, recordable=False)
    for _ in range(5):
        made.rows(pictures(2))
    assert gpu.recordings == 0


def test_lanes_launch_one_at_a_time():
    gpu, lock = StandIn(), threading.Lock()
    lanes = threading.local()

    def rows(seed):
        made = lanes.__dict__.setdefault("made", Lane(mean_color, gpu, lock))
        return made.rows(pictures(16, seed, side=32))

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(rows, range(40)))
    for seed, one in enumerate(found):
        np.testing.assert_allclose(one, expected(pictures(16, seed, side=32)), rtol=1e-5)


# A backbone in lanes


@pytest.fixture
def gpu(monkeypatch):
    """Let a backbone believe that it is on a GPU."""
    made = StandIn()
    monkeypatch.setattr(network, "Cuda", lambda device: made)
    monkeypatch.setattr(network, "runs_in_lanes", lambda device: True)
    return made


def frozen(seed=0):
    record = backbone("squeezenet1_1")
    state = random_network(record, seed).state_dict()
    state = {k: v for k, v in state.items() if not record.in_head(k)}
    return FrozenBackbone(record, state, blocks_of(record, "upper", "stained+center"))


@pytest.mark.parametrize(("precision", "orientations"), [("fp32", 1), ("bf16", 1), ("fp32", 2)])
def test_a_backbone_in_a_lane_gives_the_rows_of_one_without(
    gpu, monkeypatch, precision, orientations
):
    made, options = frozen(), {"precision": precision, "orientations": orientations}
    batches = [pictures(2, seed, side=64) for seed in range(5)]
    found = [made.embed(batch, **options) for batch in batches]
    assert (gpu.recordings, gpu.replays) == (1, 3)
    monkeypatch.setattr(network, "runs_in_lanes", lambda device: False)
    for batch, rows in zip(batches, found, strict=True):
        plain = made.embed(batch, **options)
        np.testing.assert_allclose(rows, plain, atol=1e-5 * np.abs(plain).max())


def test_another_precision_has_a_lane_of_its_own(gpu):
    made = frozen()
    for precision in ("fp32", "bf16") * 3:
        made.embed(pictures(2, side=64), precision=precision)
    assert gpu.recordings == 2
    assert set(made._own.lanes) == {("fp32", 1), ("bf16", 1)}


class Notes(progress.Listener):
    def __init__(self):
        self.notes = []

    def noted(self, text):
        self.notes.append(text)


def test_too_little_memory_in_a_lane_is_said_once_and_remembered(gpu):
    made = frozen()
    averaged, sizes = made._averaged, []

    def small(batch, precision, orientations):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return averaged(batch, precision, orientations)

    made._averaged = small
    some = pictures(8, side=64)
    with progress.report_to(Notes()) as news:
        rows = made.embed(some, batch_size=8)
        assert sizes[:3] == [8, 4, 2]
        sizes.clear()
        np.testing.assert_allclose(made.embed(some, batch_size=8), rows, rtol=1e-5, atol=1e-6)
    assert set(sizes) == {2}
    assert [note[:44] for note in news.notes] == [
        "The GPU's memory does not hold 8 pictures in",
        "The GPU's memory does not hold 4 pictures in",
    ]
    assert news.notes[-1].endswith("going on with 2 at a time.")
