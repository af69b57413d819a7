import threading
import time
import warnings

import torch
from torch import nn

from models.runtime.scripted import as_one_call


def network() -> nn.Module:
    torch.manual_seed(3)
    layers = [layer for _ in range(120) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers).eval().requires_grad_(False)


def test_a_graph_is_its_network_at_any_batch_size() -> None:
    plain = network()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call = as_one_call(plain, torch.zeros(2, 8, 12, 12))
    for count in (1, 2, 5):
        x = torch.randn(count, 8, 12, 12)
        torch.testing.assert_close(call(x), plain(x))


def handovers_in(call: object, x: torch.Tensor) -> int:
    """How often another thread of Python gets on with its work while ``call`` runs ten times."""
    turns, stop = 0, False

    def others() -> None:
        nonlocal turns
        while not stop:
            turns += 1
            time.sleep(0)

    thread = threading.Thread(target=others)
    with torch.inference_mode():
        thread.start()
        for _ in range(10):
            call(x)  # type: ignore[operator]
        stop = True
    thread.join()
    return turns


def test_others_can_go_on_while_it_runs() -> None:
    assert handovers_in(as_one_call(network(), torch.zeros(1, 8, 64, 64)), torch.randn(1, 8, 64, 64)) > 100
