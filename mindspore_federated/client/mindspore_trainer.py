"""Networks of MindSpore as trainers. The library is imported when the first trainer is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.client.messages import Plan
from mindspore_federated.client.minibatch_trainer import MinibatchTrainer, fitting, paired


class MindSporeTrainer(MinibatchTrainer):
    """A `mindspore.nn.Cell` that tells classes apart: outputs (n, classes).

    network: trained in place.
    data, eval_data: pairs of arrays, features (n, ...) and labels (n,). Integers become int32, floats
        float32.
    loss: a `Cell` (outputs, labels) to a scalar, the batch's mean; default cross-entropy.
    optimizer: (parameters, learning rate) to a `mindspore.nn` optimizer; called once. Each iteration its
        state is set back and its learning rate set to the plan's, unless it has a schedule of its own.
        Default Momentum 0.9.
    share_buffers: share floating parameters that are not trained, the moving statistics of batch
        normalisation, as well.
    graph: compile the network (graph mode, only while this trainer works); on the CPU several times as fast
        as PyNative, where `nn.Conv2d` itself is slow.
    seed: order of batches. MindSpore's own random numbers (dropout) follow `mindspore.set_seed`.

    Shared weights: every trainable parameter, by its name; float32 on the wire, in the network's own dtype
    here. `local` names what stays on this device.

    Raises ImportError without MindSpore or with a NumPy that it cannot work with, ValueError for data that is
    none, or a network without trainable parameters.
    """

    def __init__(
        self,
        network: Any,
        data: Any,
        eval_data: Any = None,
        *,
        loss: Any = None,
        optimizer: Callable[[Any, float], Any] | None = None,
        share_buffers: bool = False,
        graph: bool = True,
        seed: int = 1,
    ) -> None:
        self._ms = ms = _mindspore()
        self.network = network
        self._mode = ms.GRAPH_MODE if graph else ms.PYNATIVE_MODE
        self._make_optimizer = optimizer or (
            lambda parameters, rate: ms.nn.Momentum(parameters, rate, momentum=0.9)
        )
        self._loss = loss or ms.nn.CrossEntropyLoss()
        floating = (ms.float16, ms.float32, ms.float64, ms.bfloat16)
        self._shared = {
            parameter.name: parameter
            for parameter in network.get_parameters()
            if parameter.dtype in floating and (share_buffers or parameter.requires_grad)
        }
        if not any(parameter.requires_grad for parameter in self._shared.values()):
            raise ValueError(f"{type(network).__name__} has no trainable floating parameter")
        self.local = tuple(p.name for p in network.get_parameters() if p.name not in self._shared)
        if self.local:
            log.progress("Not shared with the Server: %s", ", ".join(self.local))
        self._compiled = _Compiled()
        super().__init__(data, eval_data, seed)

    def get_weights(self) -> dict[str, NDArray[Any]]:
        return {name: self._array(parameter) for name, parameter in self._shared.items()}

    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        for name, parameter in self._shared.items():
            array = fitting(name, weights[name], tuple(parameter.shape))
            parameter.set_data(self._ms.Tensor(array, parameter.dtype))

    def _array(self, parameter: Any) -> NDArray[np.float32]:
        if parameter.dtype != self._ms.float32:
            parameter = parameter.astype(self._ms.float32)
        return np.array(parameter.asnumpy())  # which shares the parameter's memory

    def _prepared(self, data: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        features, labels = paired(data, name)
        return _int32(features), _int32(labels)

    @contextmanager
    def _training(self, plan: Plan) -> Iterator[None]:
        with self._in_mode():
            self._compiled.begin(self, plan.learning_rate)
            self.network.set_train(True)
            yield

    def _step(self, features: Any, labels: Any) -> float:
        ms = self._ms
        return float(self._compiled.step(ms.Tensor(features), ms.Tensor(labels)).asnumpy())

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        with self._in_mode():
            self.network.set_train(False)
            yield

    def _predict(self, features: Any) -> NDArray[np.int64]:
        outputs = self.network(self._ms.Tensor(features)).asnumpy()
        return np.asarray(outputs.argmax(1), np.int64)

    @contextmanager
    def _in_mode(self) -> Iterator[None]:
        before = self._ms.get_context("mode")
        self._ms.set_context(mode=self._mode)
        try:
            yield
        finally:
            self._ms.set_context(mode=before)


class _Compiled:
    """The training step of a network, shared by all trainers on it: made, and compiled, once."""

    step: Any = None

    def begin(self, trainer: MindSporeTrainer, learning_rate: float) -> None:
        ms, network = trainer._ms, trainer.network
        if self.step is None:
            self._optimizer = trainer._make_optimizer(network.trainable_params(), learning_rate)
            self.step = ms.nn.TrainOneStepCell(ms.nn.WithLossCell(network, trainer._loss), self._optimizer)
            self.step.set_train()
            own = {parameter.name for parameter in network.get_parameters()}
            state = [p for p in self._optimizer.get_parameters() if p.name not in own]
            self._state = [(parameter, np.array(parameter.asnumpy())) for parameter in state]
        for parameter, array in self._state:
            parameter.set_data(ms.Tensor(array, parameter.dtype))
        rate = self._optimizer.learning_rate
        if isinstance(rate, ms.Parameter) and rate.shape == ():
            rate.set_data(ms.Tensor(learning_rate, rate.dtype))


def _int32(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.int32) if array.dtype.kind in "iu" else array


def _mindspore() -> Any:
    if importlib.util.find_spec("mindspore") is None:
        raise ImportError("MindSporeTrainer needs MindSpore: pip install 'mindspore_federated[mindspore]'")
    if int(np.__version__.partition(".")[0]) >= 2:
        raise ImportError(f"MindSpore 2.10 needs numpy<2, found {np.__version__}: pip install 'numpy<2'")
    import mindspore

    return mindspore
