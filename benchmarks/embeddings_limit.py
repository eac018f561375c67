"""How fast a network could run at most: the limit of arithmetic and memory, layer by layer.

Each convolution and each linear layer takes at least as long as its multiplications at the rate of
a large matrix product, and at least as long as its input, weights and output at the rate of a large
copy, both measured on this machine in the same precision (Williams et al., CACM 52 (2009) 65-76).
The sum over the layers, as if all else were free, is a time that no order of the same work beats.
Imported by ``embeddings.py``.
"""

from __future__ import annotations

import math
import time

import torch
from torch import nn

from hybridleuk.embeddings.runtime import dtype_of, exact_float32

_REPEATS = 5


def _finished(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _quickest(function, device):
    """Seconds of the quickest of several runs, after one that warms up."""
    function()
    times = []
    for _ in range(_REPEATS):
        _finished(device)
        begin = time.perf_counter()
        function()
        _finished(device)
        times.append(time.perf_counter() - begin)
    return min(times)


def peaks(device, precision):
    """Measure operations a second of a matrix product, and bytes a second of a copy."""
    dtype = dtype_of(precision)
    side, size = (8192, 1 << 30) if device.type == "cuda" else (2048, 1 << 27)
    one = torch.randn(side, side, device=device).to(dtype)
    bytes_in = torch.zeros(size, dtype=torch.uint8, device=device)
    bytes_out = torch.empty_like(bytes_in)
    with torch.inference_mode(), exact_float32(device, precision):
        multiplying = _quickest(lambda: one @ one, device)
        copying = _quickest(lambda: bytes_out.copy_(bytes_in), device)
    return 2 * side**3 / multiplying, 2 * size / copying


def layers(network, record):
    """List (operations, values moved, values of weights) of every layer, for one picture."""
    found = []

    def measure(module, inputs, output):
        per_output = module.weight.numel() // module.weight.shape[0]
        moved = inputs[0].numel() + output.numel()
        found.append((2 * per_output * output.numel(), moved, module.weight.numel()))

    kinds = (nn.Conv2d, nn.Linear)
    watched = [m for m in network.modules() if isinstance(m, kinds)]
    hooks = [module.register_forward_hook(measure) for module in watched]
    side = record.input_size
    picture = torch.zeros((1, 3, side, side), dtype=torch.uint8, device=network.factor.device)
    with torch.inference_mode():
        network(picture)
    for hook in hooks:
        hook.remove()
    return found


def limit(network, record, precision, batch_size):
    """Return images a second that the machine's peaks allow, and the peaks."""
    device = network.factor.device
    operations, bandwidth = peaks(device, precision)
    width = dtype_of(precision).itemsize
    seconds = math.fsum(
        max(work / operations, width * (moved + weights / batch_size) / bandwidth)
        for work, moved, weights in layers(network, record)
    )
    return 1 / seconds, operations, bandwidth
