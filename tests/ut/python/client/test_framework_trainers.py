"""The adapters of PyTorch and MindSpore, by one set of tests. Skipped for a library that is not installed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Callable

import numpy as np
import pytest

from mindspore_federated.client import MindSporeTrainer, Plan, TorchTrainer
from mindspore_federated.client.minibatch_trainer import batches

PLAN = Plan(
    "FEDERATED_LEARNING", "job", 5, epochs=3, batch_size=16, learning_rate=0.05, encrypt_type="NOT_ENCRYPT"
)
_RANDOM = np.random.default_rng(1)
LABELS = np.arange(150) % 3
FEATURES = (np.eye(3, 4)[LABELS] + 0.3 * _RANDOM.standard_normal((150, 4))).astype(np.float32)
WEIGHTS = {
    "0.weight": 0.3 * _RANDOM.standard_normal((8, 4)).astype(np.float32),
    "0.bias": np.zeros(8, np.float32),
    "2.weight": 0.3 * _RANDOM.standard_normal((3, 8)).astype(np.float32),
    "2.bias": np.zeros(3, np.float32),
}


class Torch:
    Trainer = TorchTrainer

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")

    def network(self) -> Any:
        nn = self.torch.nn
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def normalised(self) -> Any:
        nn = self.torch.nn
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

    statistics = ("1.running_mean", "1.running_var")

    def freeze(self, network: Any) -> None:
        network[0].weight.requires_grad = False

    def halve(self, network: Any) -> Any:
        return network.to(self.torch.bfloat16)

    def adam(self, parameters: Any, rate: float) -> Any:
        return self.torch.optim.Adam(parameters, rate)


class MindSpore:
    Trainer = MindSporeTrainer

    def __init__(self) -> None:
        if int(np.__version__.partition(".")[0]) >= 2:
            pytest.skip("MindSpore needs numpy<2")
        self.ms = pytest.importorskip("mindspore")

    def network(self) -> Any:
        nn = self.ms.nn
        return nn.SequentialCell(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3))

    def normalised(self) -> Any:
        nn = self.ms.nn
        return nn.SequentialCell(nn.Dense(4, 8), nn.BatchNorm1d(8), nn.Dense(8, 3))

    statistics = ("1.moving_mean", "1.moving_variance")

    def freeze(self, network: Any) -> None:
        network[0].weight.requires_grad = False

    def halve(self, network: Any) -> Any:
        return network.to_float(self.ms.float16)

    def adam(self, parameters: Any, rate: float) -> Any:
        return self.ms.nn.Adam(parameters, rate)


@pytest.fixture(params=[Torch, MindSpore])
def library(request):
    return request.param()


@pytest.fixture
def make(library) -> Callable[..., Any]:
    def trainer(network: Any = None, data: Any = None, **options: Any) -> Any:
        network = network or library.network()
        made = library.Trainer(network, data or (FEATURES, LABELS), (FEATURES[::3], LABELS[::3]), **options)
        return made

    return trainer


def trained(trainer: Any, plan: Plan = PLAN) -> dict[str, Any]:
    trainer.set_weights(WEIGHTS)
    assert np.isfinite(trainer.train(plan))
    weights: dict[str, Any] = trainer.get_weights()
    return weights


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 0) -> None:
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=tolerance)


def test_sizes_and_names(make):
    trainer = make()
    assert (trainer.data_size, trainer.eval_data_size) == (150, 50)
    assert {name: array.shape for name, array in trainer.get_weights().items()} == {
        name: array.shape for name, array in WEIGHTS.items()
    }
    assert {array.dtype for array in trainer.get_weights().values()} == {np.dtype(np.float32)}
    assert trainer.local == ()


def test_weights_round_trip_and_stay_as_they_were(make):
    trainer = make()
    shared = {name: array.copy() for name, array in WEIGHTS.items()}
    for array in shared.values():
        array.flags.writeable = False
    trainer.set_weights(shared)
    before = trainer.get_weights()
    assert_equal(before, WEIGHTS)
    trainer.train(PLAN)
    assert_equal(before, WEIGHTS)
    assert_equal(shared, WEIGHTS)


def test_training_learns(make):
    trainer = make()
    trainer.set_weights(WEIGHTS)
    before = trainer.evaluate()
    losses = [trainer.train(PLAN) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert trainer.evaluate() > max(0.9, before)


def test_the_learning_rate_is_the_plans(make):
    trainer = make()
    assert_equal(trained(trainer, replace(PLAN, learning_rate=0.0)), WEIGHTS)
    fast = trained(trainer, replace(PLAN, learning_rate=0.5))
    slow = trained(trainer, replace(PLAN, learning_rate=0.001))
    moved = [np.abs(weights["2.weight"] - WEIGHTS["2.weight"]).max() for weights in (fast, slow)]
    assert moved[0] > 10 * moved[1] > 0


@pytest.mark.parametrize("with_adam", [False, True])
def test_every_iteration_has_a_fresh_optimizer_and_every_seed_its_order(make, library, with_adam):
    trainer = make(optimizer=library.adam if with_adam else None)
    first = trained(trainer)
    again = trained(trainer.for_data((FEATURES, LABELS), seed=1))
    other = trained(trainer.for_data((FEATURES, LABELS), seed=2))
    assert_equal(again, first)
    assert not np.array_equal(other["2.weight"], first["2.weight"])


def test_devices_on_one_network_have_their_own_data(make):
    trainer = make()
    few = trainer.for_data((FEATURES[:5], LABELS[:5]))
    assert (few.data_size, few.eval_data_size, few.evaluate()) == (5, 0, 0.0)
    assert trainer.data_size == 150
    assert not np.array_equal(trained(few)["2.weight"], trained(trainer)["2.weight"])


def test_statistics_of_batch_normalisation_are_shared_only_when_asked(make, library):
    kept = make(library.normalised())
    assert set(library.statistics) <= set(kept.local)
    assert not set(library.statistics) & set(kept.get_weights())
    shared = make(library.normalised(), share_buffers=True)
    assert set(library.statistics) <= set(shared.get_weights())
    before = shared.get_weights()
    shared.train(PLAN)
    assert not np.array_equal(before[library.statistics[0]], shared.get_weights()[library.statistics[0]])


def test_frozen_parameters_stay_here(make, library):
    network = library.network()
    library.freeze(network)
    trainer = make(network)
    assert trainer.local == ("0.weight",)
    assert list(trainer.get_weights()) == ["0.bias", "2.weight", "2.bias"]


def test_other_precisions_are_float32_outside(make, library):
    trainer = make(library.halve(library.network()), data=(FEATURES, LABELS))
    trainer.set_weights(WEIGHTS)
    assert_equal(trainer.get_weights(), WEIGHTS, 2e-3)


def test_a_weight_of_another_shape_is_refused(make):
    with pytest.raises(ValueError, match=r"weight 2\.bias has shape \(4,\) and the network's \(3,\)"):
        make().set_weights({**WEIGHTS, "2.bias": np.zeros(4, np.float32)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((FEATURES, LABELS[:-1]), r"features of shape \(150, 4\) and labels of shape \(149,\)"),
        ((FEATURES[:0], LABELS[:0]), "no samples"),
        ((FEATURES,), "a pair of features and labels"),
        (3, "a pair of features and labels, not int"),
        ((FEATURES, LABELS.astype(str)), "no numbers"),
    ],
)
def test_data_that_is_none(make, data, message):
    with pytest.raises(ValueError, match=message):
        make(data=data)


def test_both_libraries_learn_the_same():
    torch, mindspore = Torch(), MindSpore()
    one = TorchTrainer(torch.network(), (FEATURES, LABELS))
    other = MindSporeTrainer(mindspore.network(), (FEATURES, LABELS))
    assert_equal(trained(one), trained(other), 1e-4)


def test_mindspore_is_left_in_the_mode_it_was_in():
    ms = MindSpore().ms
    before = ms.get_context("mode")
    trainer = MindSporeTrainer(MindSpore().network(), (FEATURES, LABELS), (FEATURES, LABELS))
    trained(trainer)
    trainer.evaluate()
    assert ms.get_context("mode") == before
    pynative = MindSporeTrainer(MindSpore().network(), (FEATURES, LABELS), graph=False)
    assert_equal(trained(pynative), trained(trainer.for_data((FEATURES, LABELS))), 1e-5)


def test_a_dataset_of_pytorch():
    torch = Torch()
    dataset = torch.torch.utils.data.TensorDataset(torch.torch.tensor(FEATURES), torch.torch.tensor(LABELS))
    trainer = TorchTrainer(torch.network(), dataset, dataset)
    tensors = TorchTrainer(torch.network(), [torch.torch.tensor(FEATURES), torch.torch.tensor(LABELS)])
    assert trainer.data_size == trainer.eval_data_size == 150
    assert_equal(trained(trainer), trained(tensors))
    trainer.evaluate()


def test_pytorchs_own_random_numbers_follow_the_seed():
    torch = Torch()
    nn = torch.torch.nn

    def network() -> Any:
        return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))

    state = torch.torch.get_rng_state()
    first = trained(TorchTrainer(network(), (FEATURES, LABELS)))
    torch.torch.manual_seed(99)
    assert_equal(trained(TorchTrainer(network(), (FEATURES, LABELS))), first)
    torch.torch.set_rng_state(state)


@pytest.mark.parametrize(("samples", "size"), [(10, 4), (4, 10), (1, 3), (7, 7), (5, 0)])
def test_every_sample_is_in_an_epoch_and_all_batches_are_alike(samples, size):
    found = list(batches(samples, size, np.random.default_rng(1)))
    assert {len(batch) for batch in found} == {max(1, min(samples, size))}
    assert set(np.concatenate(found)) == set(range(samples))
    assert len(found) == -(-samples // max(1, min(samples, size)))


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "mindspore", None)
    with pytest.raises(ImportError, match=r"pip install 'mindspore_federated\[torch\]'"):
        TorchTrainer(None, (FEATURES, LABELS))
    with pytest.raises(ImportError, match=r"pip install 'mindspore_federated\[mindspore\]'"):
        MindSporeTrainer(None, (FEATURES, LABELS))


def test_mindspore_beside_a_numpy_it_cannot_use(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(ImportError, match=r"needs numpy<2, found 2\.4\.6: pip install 'numpy<2'"):
        MindSporeTrainer(None, (FEATURES, LABELS))
