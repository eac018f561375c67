import pytest

from hybridleuk.embeddings import throughput
from hybridleuk.embeddings.throughput import Throughput


@pytest.fixture
def clock(monkeypatch):
    """Make time pass only when told to."""
    now = [100.0]
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_seconds_by_stage_and_from_begin_to_end(clock):
    spent = Throughput()
    clock(50)  # before the first stage nothing counts
    with spent.stage("decode"):
        clock(1)
        with spent.stage("network"):  # as in another thread
            clock(3)
    clock(2)
    with spent.stage("write"):
        clock(4)
    spent.images = 20
    document = spent.document()
    assert document["seconds"] == 10
    assert document["images_per_second"] == 2
    assert document["stages"] == {
        "decode": 4,
        "cells": 0,
        "preprocess": 0,
        "network": 3,
        "write": 4,
    }
    assert spent.sentence() == (
        "Embedded 20 images in 10.0 s, 2.0 images/s; threads spent decode 36%, network 27%, "
        "write 36%."
    )


def test_time_until_an_item_is_there_is_counted(clock):
    def slow():
        for i in range(3):
            clock(2)
            yield i

    spent = Throughput()
    got = []
    for item in spent.waiting("cells", slow()):
        clock(5)  # what is done with an item is not waiting for it
        got.append(item)
    assert got == [0, 1, 2]
    assert spent.stages["cells"] == 6


def test_an_error_passes_and_its_time_counts(clock):
    spent = Throughput()

    def failing():
        clock(2)
        yield 1 / 0

    with pytest.raises(ZeroDivisionError):
        next(spent.waiting("decode", failing()))
    assert spent.stages["decode"] == 2


def test_nothing_done_is_no_division_by_zero():
    assert Throughput().document()["images_per_second"] == 0
