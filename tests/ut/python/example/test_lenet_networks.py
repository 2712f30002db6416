"""LeNet in both libraries: the parameters of the first model, and the same function of them."""

from __future__ import annotations

from typing import Any

import lenet
import numpy as np
import pytest

from mindspore_federated.checkpoint import write_checkpoint

RANDOM = np.random.default_rng(1)
IMAGES = lenet.inputs(RANDOM.integers(0, 256, (4, 28, 28)).astype(np.uint8))
MODEL = lenet.initial_model(sigma=0.1)


def mindspore() -> Any:
    if int(np.__version__.partition(".")[0]) >= 2:
        pytest.skip("MindSpore needs numpy<2")
    return pytest.importorskip("mindspore")


def of_torch() -> Any:
    torch = pytest.importorskip("torch")
    import lenet_torch

    network = lenet_torch.network()
    assert {n: tuple(p.shape) for n, p in network.named_parameters()} == lenet.SHAPES
    network.load_state_dict({name: torch.tensor(array) for name, array in MODEL.items()})
    with torch.inference_mode():
        return network(torch.tensor(IMAGES)).numpy()


def filled(ms: Any, network: Any, path: Any) -> Any:
    assert {p.name: p.shape for p in network.get_parameters()} == lenet.SHAPES
    write_checkpoint(str(path), MODEL.items())
    assert ms.load_param_into_net(network, ms.load_checkpoint(str(path))) == ([], [])
    network.set_train(False)
    return network(ms.Tensor(IMAGES)).asnumpy()


def of_mindspore(path: Any) -> Any:
    ms = mindspore()
    import lenet_mindspore

    return filled(ms, lenet_mindspore.network(), path)


def test_torch_has_the_parameters():
    assert of_torch().shape == (4, 62)


def test_mindspore_computes_what_torch_does(tmp_path):
    np.testing.assert_allclose(of_mindspore(tmp_path / "lenet.ckpt"), of_torch(), atol=1e-5)


def test_mindspores_own_convolution_computes_the_same_from_the_same_checkpoint(tmp_path):
    ms = mindspore()
    import lenet_mindspore

    network = lenet_mindspore.network()
    network.conv1 = ms.nn.Conv2d(3, 6, 5, pad_mode="valid")
    network.conv2 = ms.nn.Conv2d(6, 16, 5, pad_mode="valid")
    theirs = filled(ms, network, tmp_path / "theirs.ckpt")
    np.testing.assert_allclose(of_mindspore(tmp_path / "ours.ckpt"), theirs, atol=1e-5)
