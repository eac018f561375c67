import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from hybridleuk.embeddings.backbones import backbone, blocks_of
from hybridleuk.embeddings.fused import reduced_copy
from hybridleuk.embeddings.network import FrozenBackbone, random_network


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 4, 3)
        self.last = nn.BatchNorm2d(4)
        for norm in (self.norm, self.last):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.weight)

    def forward(self, x):
        values = self.second(torch.relu(self.norm(self.first(x))))
        return self.last(values) + values  # what the second convolution returns is used twice


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def pictures():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_what_is_folded_computes_the_same(network, pictures):
    copy = reduced_copy(network, torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(copy(pictures), network(pictures), rtol=1e-5, atol=1e-5)
    assert isinstance(copy.norm, nn.Identity)
    assert isinstance(copy.last, nn.BatchNorm2d)  # not the only one to see its convolution
    assert isinstance(network.norm, nn.BatchNorm2d)


def test_convolutions_are_cast_and_the_rest_keeps_its_digits(network, pictures):
    copy = reduced_copy(network, torch.bfloat16)
    assert copy.first.weight.dtype == copy.second.weight.dtype == torch.bfloat16
    assert copy.last.running_var.dtype == torch.float32
    with torch.inference_mode():
        reduced = copy(pictures.to(torch.bfloat16)).float()
        exact = network(pictures)
    assert torch.cosine_similarity(reduced.flatten(), exact.flatten(), dim=0) > 0.999


def test_a_layer_that_is_watched_is_left_as_it_is(network, pictures):
    seen = []
    network.norm.register_forward_hook(lambda *given: seen.append(given[2]))
    copy = reduced_copy(network, torch.float32)
    assert isinstance(copy.norm, nn.BatchNorm2d)
    copy(pictures)
    assert len(seen) == 1


def test_hooks_on_outer_modules_stay(network, pictures):
    seen = []
    outer = nn.Sequential(network)
    outer[0].register_forward_hook(lambda *given: seen.append(given[2]))
    copy = reduced_copy(outer, torch.float32)
    assert isinstance(copy[0].norm, nn.Identity)
    copy(pictures)
    assert len(seen) == 1


def test_control_flow_is_not_folded(pictures):
    class Branching(Small):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else super().forward(-x)

    copy = reduced_copy(Branching().eval(), torch.float32)
    assert isinstance(copy.norm, nn.BatchNorm2d)
    assert copy(pictures).shape == (2, 4, 12, 12)


def test_a_transformer_is_left_to_autocast():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    assert reduced_copy(nn.Sequential(layer), torch.bfloat16) is None


def test_no_thread_calls_a_network_while_its_copy_is_made(monkeypatch):
    """While torch.fx traces, calling any module fails, so all threads have to wait for it."""
    record = backbone("smearnet")
    network = random_network(record, 0)
    trunk = {k: v for k, v in network.state_dict().items() if not record.in_head(k)}
    frozen = FrozenBackbone(record, trunk, blocks_of(record))
    made, early = threading.Event(), []

    def slowly(*given):
        time.sleep(0.2)
        copied = reduced_copy(*given)
        made.set()
        return copied

    monkeypatch.setattr("hybridleuk.embeddings.network.reduced_copy", slowly)
    frozen.register_forward_pre_hook(lambda *_: early.append(not made.is_set()))
    pictures = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: frozen.embed(pictures, precision="bf16"), range(8)))
    assert early == [False] * 8
