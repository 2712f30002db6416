"""The device SDK: takes part in a federated job with any trainer. Pure Python; needs neither `_core` nor
MindSpore.

    from mindspore_federated.client import SklearnTrainer, run
    run("http://10.0.0.1:6666", SklearnTrainer(model, X, y, classes), fl_name="digits", fl_id="phone-7")

Everything raised on its own account:

    FederatedClientError
    ├── TemporaryError            tried again until patience runs out
    │   ├── TransportError        no complete answer came
    │   ├── ServerFault           HTTP 5xx, an inner error, retcode 500
    │   └── ClusterInSafemode
    ├── PatienceExhausted         no progress for too long; `__cause__` tells the last fault
    ├── RequestRefused            retcode 400, several times in a row
    ├── MalformedAnswer           the same for answers that are none
    │   └── AnswerTooLarge
    ├── HttpStatusError           3xx or 4xx: wrong address or http_url_prefix
    ├── JobOver                   disabled or finished
    │   └── JobDisabled           not finished
    ├── UnsupportedPlan           encryption or compression that is not there yet; nothing was uploaded
    ├── ModelMismatch             the Server's model and the trainer's differ
    └── NonFiniteUpdate           training gave NaN or infinities; nothing was uploaded

Arguments that can never be right raise ValueError; what a trainer raises passes through unchanged.
"""

from mindspore_federated.client.exceptions import (
    AnswerTooLarge,
    ClusterInSafemode,
    FederatedClientError,
    HttpStatusError,
    JobDisabled,
    JobOver,
    MalformedAnswer,
    ModelMismatch,
    NonFiniteUpdate,
    PatienceExhausted,
    RequestRefused,
    ServerFault,
    TemporaryError,
    TransportError,
    UnsupportedPlan,
)
from mindspore_federated.client.federated_client import FederatedClient, IterationResult, JobResult, run
from mindspore_federated.client.messages import Plan
from mindspore_federated.client.mindspore_trainer import MindSporeTrainer
from mindspore_federated.client.sklearn_trainer import SklearnTrainer
from mindspore_federated.client.torch_trainer import TorchTrainer
from mindspore_federated.client.trainer import NumpyTrainer, Trainer
from mindspore_federated.client.transport import Deadlines, HttpAnswer, HttpTransport, Transport
from mindspore_federated.client.waiting import Waiting

__all__ = [
    "AnswerTooLarge",
    "ClusterInSafemode",
    "Deadlines",
    "FederatedClient",
    "FederatedClientError",
    "HttpAnswer",
    "HttpStatusError",
    "HttpTransport",
    "IterationResult",
    "JobDisabled",
    "JobOver",
    "JobResult",
    "MalformedAnswer",
    "MindSporeTrainer",
    "ModelMismatch",
    "NonFiniteUpdate",
    "NumpyTrainer",
    "PatienceExhausted",
    "Plan",
    "RequestRefused",
    "ServerFault",
    "SklearnTrainer",
    "TemporaryError",
    "TorchTrainer",
    "Trainer",
    "Transport",
    "TransportError",
    "UnsupportedPlan",
    "Waiting",
    "run",
]
