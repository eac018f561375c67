"""What tests of trained networks share."""

import pytest


@pytest.fixture
def one_thread():
    """Let torch compute on one thread, so that sums are rounded in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
