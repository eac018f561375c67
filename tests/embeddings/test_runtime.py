import pytest
import torch

from hybridleuk.embeddings import runtime
from hybridleuk.exceptions import InputError

CPU = torch.device("cpu")


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.resolve_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.resolve_device("auto") == CPU
    assert runtime.resolve_device(CPU) == CPU


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match=r"'cuda:1' is not available here .*sees cpu"):
        runtime.resolve_device("cuda:1")
    with pytest.raises(InputError, match=r"'meta' is not available"):
        runtime.resolve_device("meta")
    with pytest.raises(InputError, match=r"device is 'gpu'; expected 'auto', 'cpu'"):
        runtime.resolve_device("gpu")


def test_precisions(monkeypatch):
    gpu = torch.device("cuda")
    for capabilities, expected in (({"avx512_bf16": True}, "bf16"), ({"avx2": True}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=capabilities: c, raising=False)
        assert runtime.resolve_precision("auto", CPU) == expected
    assert runtime.resolve_precision("bf16", CPU) == "bf16"
    assert runtime.resolve_precision("fp16", gpu) == "fp16"
    for native, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native: native)
        assert runtime.resolve_precision("auto", gpu) == expected
    with pytest.raises(InputError, match="fp16 is for GPUs"):
        runtime.resolve_precision("fp16", CPU)
    with pytest.raises(InputError, match="precision is 'int8'; expected one of fp32, bf16"):
        runtime.resolve_precision("int8", CPU)


def test_mixed_precision_only_where_asked_for():
    image, kernel = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 3, 3)
    for precision in ("fp32", "bf16"):
        with runtime.autocast(CPU, precision):
            answer = torch.nn.functional.conv2d(image, kernel)
        assert answer.dtype == runtime.dtype_of(precision)


def test_float32_is_exact_on_a_gpu_for_as_long_as_it_matters():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        with runtime.exact_float32(torch.device("cuda"), "fp32"):
            assert not torch.backends.cudnn.allow_tf32
        with runtime.exact_float32(torch.device("cuda"), "bf16"):
            assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_batches_run_beside_each_other_on_a_cpu_and_leave_torch_as_it_was():
    before = torch.get_num_threads()
    try:
        for allowed, at_once, each in ((1, 1, 1), (3, 3, 1), (17, 8, 2)):
            torch.set_num_threads(allowed)
            with runtime.running_beside(CPU) as (pool, found):
                assert found == at_once
                assert pool.submit(torch.get_num_threads).result() == each
            assert torch.get_num_threads() == allowed
        with runtime.running_beside(torch.device("cuda")) as (_, found):
            assert found == 2  # one is copied while the other is computed
        with runtime.running_beside(torch.device("mps")) as (_, found):
            assert found == 1
    finally:
        torch.set_num_threads(before)


def test_defaults_fit_the_machine():
    assert runtime.default_workers() >= 1
    assert runtime.default_batch_size(CPU) < runtime.default_batch_size(torch.device("cuda"))
