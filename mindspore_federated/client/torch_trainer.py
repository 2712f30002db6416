"""Modules of PyTorch as trainers. The library is imported when the first trainer is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Callable

import numpy as np
from numpy.typing import NDArray

from mindspore_federated import log
from mindspore_federated.client.messages import Plan
from mindspore_federated.client.minibatch_trainer import MinibatchTrainer, Rows, fitting, paired


class TorchTrainer(MinibatchTrainer):
    """A `torch.nn.Module` that tells classes apart: outputs (n, classes).

    module: trained in place, on `device` (default: where it is).
    data, eval_data: pairs of features (n, ...) and labels (n,), arrays or tensors; or a map-style
        `torch.utils.data.Dataset` of such pairs. Integer labels become int64, floating arrays float32.
    loss: (outputs, labels) to a scalar, the batch's mean; default cross-entropy.
    optimizer: (parameters, learning rate) to a `torch.optim.Optimizer`; default SGD with momentum 0.9.
    share_buffers: share floating buffers, the running statistics of batch normalisation, as well.
    seed: order of batches, and PyTorch's own random numbers (dropout) while this trainer trains.

    Shared weights: every parameter that requires a gradient, by its name in `named_parameters()`; float32 on
    the wire, in the module's own dtype here. `local` names what stays on this device.

    Raises ImportError without PyTorch, ValueError for data that is none, or a module without parameters.
    """

    def __init__(
        self,
        module: Any,
        data: Any,
        eval_data: Any = None,
        *,
        loss: Callable[[Any, Any], Any] | None = None,
        optimizer: Callable[[Any, float], Any] | None = None,
        share_buffers: bool = False,
        device: Any = None,
        seed: int = 1,
    ) -> None:
        try:
            import torch
        except ImportError as error:
            raise ImportError(
                f"TorchTrainer needs PyTorch ({error}): pip install 'mindspore_federated[torch]'"
            ) from error
        self._torch = torch
        self.module = module if device is None else module.to(device)
        self._share_buffers = share_buffers
        self._loss = loss or torch.nn.functional.cross_entropy
        self._make_optimizer = optimizer or (
            lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9)
        )
        shared = self._shared()
        if not shared:
            raise ValueError(f"{type(module).__name__} has no floating parameter that requires a gradient")
        self._device = next(iter(shared.values())).device
        everything = [*module.named_parameters(), *module.named_buffers()]
        self.local = tuple(name for name, _ in everything if name not in shared)
        if self.local:
            log.progress("Not shared with the Server: %s", ", ".join(self.local))
        super().__init__(data, eval_data, seed)

    def get_weights(self) -> dict[str, NDArray[Any]]:
        return {name: self._array(tensor) for name, tensor in self._shared().items()}

    def set_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        with self._torch.no_grad():
            for name, tensor in self._shared().items():
                tensor.copy_(self._torch.from_numpy(fitting(name, weights[name], tuple(tensor.shape))))

    def _array(self, tensor: Any) -> NDArray[np.float32]:
        return np.array(tensor.detach().to("cpu", self._torch.float32).numpy())

    def _shared(self) -> dict[str, Any]:
        tensors = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        if self._share_buffers:
            tensors.update(self.module.named_buffers())
        return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}

    def _prepared(self, data: Any, name: str) -> Any:
        if isinstance(data, self._torch.utils.data.Dataset):
            return data
        if isinstance(data, (tuple, list)):
            data = [part.detach().cpu() if self._torch.is_tensor(part) else part for part in data]
        features, labels = paired(data, name)
        return self._tensor(features), self._tensor(labels)

    def _tensor(self, array: NDArray[Any]) -> Any:
        if array.dtype.kind in "iu":
            array = array.astype(np.int64)
        # PyTorch takes an array's memory as its own.
        return self._torch.from_numpy(array if array.flags.writeable else array.copy())

    def _count(self, data: Any) -> int:
        return len(data[0]) if isinstance(data, tuple) else len(data)

    def _take(self, data: Any, rows: Rows) -> tuple[Any, Any]:
        if isinstance(data, tuple):
            index = self._torch.from_numpy(rows)
            features, labels = data[0][index], data[1][index]
        else:
            features, labels = self._torch.utils.data.default_collate([data[int(row)] for row in rows])
        return features, labels

    @contextmanager
    def _training(self, plan: Plan) -> Iterator[None]:
        torch = self._torch
        self._optimizer = self._make_optimizer(
            [p for p in self.module.parameters() if p.requires_grad], plan.learning_rate
        )
        devices = [self._device] if self._device.type == "cuda" else []
        self.module.train()
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(self._random.integers(2**63)))
            yield
        del self._optimizer

    def _step(self, features: Any, labels: Any) -> float:
        self._optimizer.zero_grad()
        loss = self._loss(self.module(features.to(self._device)), labels.to(self._device))
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        self.module.eval()
        with self._torch.inference_mode():
            yield

    def _predict(self, features: Any) -> NDArray[np.int64]:
        outputs = self.module(features.to(self._device))
        return np.asarray(outputs.argmax(1).cpu().numpy(), np.int64)
