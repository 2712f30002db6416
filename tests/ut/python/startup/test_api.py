"""The public names, their argument checks and literal texts; what needs no core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindspore_federated
from mindspore_federated import (
    Callback,
    CallbackContext,
    FeatureItem,
    FeatureMap,
    FlSchedulerJob,
    FLServerJob,
    SSLConfig,
    log,
)
from mindspore_federated.checkpoint import RecoveryStore, write_checkpoint, write_model
from mindspore_federated.startup.callback import Hooks
from mindspore_federated.startup.start_model import start_model

FILE = """
fl_name: job
fl_iteration_num: 3
server_mode: FEDERATED_LEARNING
enable_ssl: false
distributed_cache: {address: "127.0.0.1:6379"}
round:
  start_fl_job_threshold: 1
  start_fl_job_time_window: 3000
  update_model_ratio: 1.0
  update_model_time_window: 3000
  global_iteration_time_window: 3000
summary: {metrics_file: m.json, failure_event_file: e.txt}
"""


@pytest.fixture
def yaml_config(tmp_path: Path) -> str:
    path = tmp_path / "job.yaml"
    path.write_text(FILE)
    return str(path)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    for level in ("info", "progress", "warning", "error"):
        monkeypatch.setattr(log, level, lambda msg, *args: found.append(msg % args))
    return found


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.strip()


def test_importing_the_package_loads_nothing() -> None:
    heavy = (
        "{m for m in sys.modules} & {'numpy', 'pydantic', 'yaml', 'mindspore', 'redis', 'aiohttp', 'asyncio'}"
    )
    assert fresh(f"import mindspore_federated; print({heavy})") == "set()"


def test_a_server_needs_neither_mindspore_nor_the_core_until_it_runs() -> None:
    code = "from mindspore_federated import FLServerJob, FlSchedulerJob; import threading; print("
    code += (
        "{'mindspore', 'mindspore_federated._core', 'aiohttp', 'prometheus_client'} & {*sys.modules}, "
        "threading.active_count())"
    )
    assert fresh(code) == "set() 1"


def test_the_public_names() -> None:
    assert mindspore_federated.__version__ == "0.3.0"
    for name in mindspore_federated.__all__:
        assert getattr(mindspore_federated, name) is not None
        assert name in dir(mindspore_federated)
    from mindspore_federated.startup import feature_map, ssl_config

    assert ssl_config.SSLConfig is SSLConfig
    assert feature_map.FeatureItem is FeatureItem


@pytest.mark.parametrize("name", ["FederatedLearningManager", "PushMetrics", "HFLModel"])
def test_names_that_are_not_there_yet_say_so(name: str) -> None:
    with pytest.raises(ImportError, match=f"{name} of MindSpore Federated 0.2 is not there yet in 0.3.0"):
        exec(f"from mindspore_federated import {name}")
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = mindspore_federated.Nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"yaml_config": 5}, "Parameter 'yaml_config' should be str, but actually <class 'int'>"),
        ({"yaml_config": ""}, "Parameter 'yaml_config' should not be empty str"),
        (
            {"http_server_address": None},
            "Parameter 'http_server_address' should be str, but actually <class 'NoneType'>",
        ),
        ({"http_server_address": ""}, "Parameter 'http_server_address' should not be empty str"),
        ({"tcp_server_ip": 1.5}, "Parameter 'tcp_server_ip' should be str, but actually <class 'float'>"),
        ({"tcp_server_ip": ""}, "Parameter 'tcp_server_ip' should not be empty str"),
        ({"checkpoint_dir": b"x"}, "Parameter 'checkpoint_dir' should be str, but actually <class 'bytes'>"),
        ({"checkpoint_dir": ""}, "Parameter 'checkpoint_dir' should not be empty str"),
        (
            {"ssl_config": "x"},
            "Parameter 'ssl_config' should be None or instance of SSLConfig, but got <class 'str'>",
        ),
        ({"yaml_config": "none.yaml"}, "yaml config file none.yaml not exist"),
    ],
)
def test_arguments_of_a_server_job(yaml_config: str, arguments: dict[str, Any], text: str) -> None:
    good = {"yaml_config": yaml_config, "http_server_address": "127.0.0.1:6666"}
    with pytest.raises(RuntimeError) as caught:
        FLServerJob(**{**good, **arguments})
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"yaml_config": 5}, "Parameter 'yaml_config' should be str, but actually <class 'int'>"),
        ({"manage_address": 5}, "Parameter 'manage_address' should be str, but actually <class 'int'>"),
        ({"manage_address": ""}, "Parameter 'manage_address' should not be empty str"),
        (
            {"ssl_config": 1},
            "Parameter 'ssl_config' should be None or instance of SSLConfig, but got <class 'int'>",
        ),
    ],
)
def test_arguments_of_a_scheduler_job(yaml_config: str, arguments: dict[str, Any], text: str) -> None:
    good = {"yaml_config": yaml_config, "manage_address": "127.0.0.1:6666"}
    with pytest.raises(RuntimeError) as caught:
        FlSchedulerJob(**{**good, **arguments})
    assert str(caught.value) == text


BAD_ADDRESSES = ["127.0.0.1:4000x", "127.0.0.1:", "127.0.0.1", "256.0.0.1:5000", "::1:80", "127.0.0.1:0"]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_bad_addresses(
    yaml_config: str, address: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(yaml_config).parent)
    text = f"Failed to start scheduler http server, invalid server address: {address}"
    with pytest.raises(RuntimeError) as caught:
        FlSchedulerJob(yaml_config, address).run()
    assert str(caught.value).startswith(text)
    stopped = []

    class Hook(Callback):
        def before_stopped(self) -> None:
            stopped.append(1)

    with pytest.raises(RuntimeError) as caught:
        FLServerJob(yaml_config, address).run({"a": np.ones(1, np.float32)}, Hook())
    assert str(caught.value).startswith(f"The format of http server address '{address}' is invalid")
    assert stopped == [1]
    assert len(lines) == 2


def test_a_tcp_server_ip_that_is_none(
    yaml_config: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(yaml_config).parent)
    for ip in ("256.0.0.1", "a b", "no-such-host.invalid"):
        with pytest.raises(RuntimeError, match="tcp_server_ip"):
            FLServerJob(yaml_config, "127.0.0.1:6666", ip).run({"a": np.ones(1, np.float32)})


def test_a_job_name_that_cannot_be_part_of_a_file_name(yaml_config: str) -> None:
    Path(yaml_config).write_text(FILE.replace("fl_name: job", "fl_name: ../job"))
    with pytest.raises(RuntimeError, match="must not contain '/'"):
        FLServerJob(yaml_config, "127.0.0.1:6666")
    FlSchedulerJob(yaml_config, "127.0.0.1:6666")


@pytest.mark.parametrize("callback", [5, object(), Callback])
def test_a_callback_that_is_none(yaml_config: str, callback: Any) -> None:
    text = "Parameter 'callback' is expected to be instance of Callback when it's not None, but got <class '"
    with pytest.raises(RuntimeError) as caught:
        FLServerJob(yaml_config, "127.0.0.1:6666").run({}, callback)
    assert str(caught.value).startswith(text)
    assert str(caught.value).endswith("'>.")


def test_an_event_file_that_cannot_be_made(
    yaml_config: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(yaml_config).parent
    monkeypatch.chdir(folder)
    (folder / "file").write_text("")
    for path, text in (
        ("file/e.txt", "Failed to create directory for event file file/e.txt"),
        (".", "Failed to open event txt file ."),
    ):
        Path(yaml_config).write_text(FILE.replace("e.txt", path))
        with pytest.raises(RuntimeError) as caught:
            FLServerJob(yaml_config, "127.0.0.1:6666").run({"a": np.ones(1, np.float32)})
        assert text in str(caught.value)


def test_ssl_config() -> None:
    config = SSLConfig("a", "b")
    assert (config.server_password, config.client_password, config.crl_path) == ("a", "b", None)
    assert len(config.cipher_list.split(":")) == 9
    assert SSLConfig("a", "b", ca_cert_path="x", cert_expire_warning_time_in_day=7).ca_cert_path == "x"
    for arguments, text in (
        (("", "b"), "Parameter 'server_password' should not be empty str"),
        (("a", 5), "Parameter 'client_password' should be str, but actually <class 'int'>"),
        (("a", "b", ""), "Parameter 'server_cert_path' should not be empty str"),
        (("a", "b", None, 1), "Parameter 'client_cert_path' should be str, but actually <class 'int'>"),
        (
            ("a", "b", None, None, None, None, "x", True),
            "Parameter 'cert_expire_warning_time_in_day' should be int, but actually <class 'bool'>",
        ),
    ):
        with pytest.raises(RuntimeError) as caught:
            SSLConfig(*arguments)  # type: ignore[arg-type]
        assert str(caught.value) == text


def test_features() -> None:
    features = FeatureMap()
    item = features.add_feature("w", np.ones((2, 3), np.float32), require_aggr=False)
    assert (item.feature_name, item.shape, item.require_aggr) == ("w", (2, 3), False)
    item.require_aggr = True
    assert features.feature_map()["w"].require_aggr is True
    replaced = features.add_feature("w", np.array(2, np.float32))
    assert features.feature_map() == {"w": replaced}
    assert replaced.shape == ()
    for name in ("feature_name", "data", "shape"):
        with pytest.raises(AttributeError):
            setattr(item, name, None)


def test_the_order_of_memory_never_changes_the_values() -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert FeatureItem("a", matrix).data is matrix
    for array in (np.asfortranarray(matrix), matrix.T, matrix[:, ::2], matrix[::-1]):
        data = FeatureItem("a", array).data
        assert data.flags.c_contiguous
        np.testing.assert_array_equal(data, array)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1.0], "The type of parameter 'data' is expected to be instance of numpy.ndarray"),
        (
            np.ones(1),
            "The value type of parameter 'data' is expected to be float32, but got float64; 'a' may be "
            "passed as .astype(np.float32)",
        ),
        (
            np.array(["x"]),
            "The value type of parameter 'data' is expected to be float32, but got <U1",
        ),
        (np.ones(0, np.float32), "The value size of parameter 'data' is expected to > 0"),
    ],
)
def test_features_that_are_none(data: Any, text: str) -> None:
    for call in (lambda: FeatureItem("a", data), lambda: FeatureMap().add_feature("a", data)):
        with pytest.raises(RuntimeError) as caught:
            call()
        assert str(caught.value) == text


TYPE_TEXT = (
    "The parameter 'feature_map' is expected to be instance of dict(feature_name, feature_val), FeatureMap, "
    "or a checkpoint or mindir file path, but got '<class '{}'>'."
)


@pytest.mark.parametrize(("argument", "name"), [(None, "NoneType"), (5, "int"), ([], "list")])
def test_start_models_that_are_none(tmp_path: Path, argument: object, name: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        start_model(argument, RecoveryStore(str(tmp_path), "job"))
    assert str(caught.value) == TYPE_TEXT.replace("{}", name)


def test_start_models_from_paths(tmp_path: Path, lines: list[str]) -> None:
    store = RecoveryStore(str(tmp_path / "none"), "job")
    text = (
        "The value of parameter 'feature_map' is expected to be checkpoint file path, ends with '.ckpt', or "
    )
    text += "MindIR file path, ends with '.mindir', when the type of parameter 'feature_map' is str."
    for bad in ("model.bin", Path("model.bin"), ""):
        with pytest.raises(RuntimeError) as caught:
            start_model(bad, store)
        assert str(caught.value) == f"{text} '.safetensors' and '.npz' are read as well; got '{bad}'."
    with pytest.raises(RuntimeError, match=r"The checkpoint file none\.ckpt cannot be opened"):
        start_model("none.ckpt", store)
    with pytest.raises(RuntimeError, match=r"\.mindir"):
        start_model("none.mindir", store)
    path = str(tmp_path / "model.ckpt")
    write_checkpoint(path, [("w", np.ones((2, 2), np.float32)), ("step", 3), ("note", "x")])
    ((name, data, require_aggr),) = start_model(path, store)
    assert (name, data.shape, require_aggr) == ("w", (2, 2), True)
    left_out = f"Only float32 is aggregated: left out of the model in {path}: step (Int64), note (str)"
    assert lines == ["Skip weight step, type is Int64", "Skip weight note, type is str", left_out]


@pytest.mark.parametrize("suffix", ["ckpt", "safetensors", "npz"])
def test_start_models_of_every_format(suffix: str, tmp_path: Path, lines: list[str]) -> None:
    path = tmp_path / f"model.{suffix}"
    matrix = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    write_model(str(path), [("w", matrix), ("half", np.ones(2, np.float16))])
    for argument in (path, str(path)):
        ((name, data, require_aggr),) = start_model(argument, RecoveryStore(str(tmp_path / "none"), "job"))
        assert (name, require_aggr) == ("w", True)
        np.testing.assert_array_equal(data, matrix)
        assert data.flags.c_contiguous
    assert sum("left out of the model" in line and "half (" in line for line in lines) == 2
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RuntimeError, match=str(path)):
        start_model(path, RecoveryStore(str(tmp_path / "none"), "job"))


def test_a_job_that_never_resumes(tmp_path: Path, lines: list[str]) -> None:
    store = RecoveryStore(str(tmp_path), "job", resume="never")
    store.save(4, [("a", np.full(2, 7, np.float32))])
    ((_, data, _),) = start_model({"a": np.zeros(2, np.float32)}, store)
    assert data.tolist() == [0, 0]
    with pytest.raises(RuntimeError) as caught:
        start_model(None, store)
    assert str(caught.value).startswith(TYPE_TEXT.replace("{}", "NoneType"))
    assert str(caught.value).endswith(" It must be given, since checkpoint.resume is 'never'.")


def test_a_job_that_must_resume(tmp_path: Path) -> None:
    store = RecoveryStore(str(tmp_path), "job", resume="required")
    with pytest.raises(RuntimeError, match=r"checkpoint\.resume is 'required', but .* there is none"):
        start_model({"a": np.zeros(2, np.float32)}, store)
    store.save(4, [("a", np.full(2, 7, np.float32))])
    ((_, data, _),) = start_model(None, store)
    assert data.tolist() == [7, 7]


def test_a_recovery_checkpoint_takes_precedence(tmp_path: Path, lines: list[str]) -> None:
    store = RecoveryStore(str(tmp_path), "job")
    store.save(4, [("a", np.full(2, 7, np.float32)), ("b", np.full(2, 8, np.float32))])
    features = FeatureMap()
    features.add_feature("a", np.zeros(2, np.float32), require_aggr=False)
    features.add_feature("b", np.zeros(2, np.float32))
    flags = [(name, float(data[0]), aggr) for name, data, aggr in start_model(features, store)]
    assert flags == [("a", 7.0, False), ("b", 8.0, True)]
    for argument in (None, "none.ckpt", {"a": np.zeros(2, np.float32), "b": np.zeros(2, np.float32)}):
        assert [aggr for _, _, aggr in start_model(argument, store)] == [True, True]
    assert not any("other parameters" in line for line in lines)
    start_model({"c": np.zeros(2, np.float32)}, store)
    assert "other parameters" in lines[-1]
    lines.clear()
    start_model({"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)}, store)
    assert "other parameters" in lines[-1]


def test_names_of_features_are_text(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="expected to be str"):
        start_model({1: np.zeros(2, np.float32)}, RecoveryStore(str(tmp_path), "job"))


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyError("no"), SystemExit("no")])
def test_hooks_can_never_stop_a_job(lines: list[str], error: BaseException) -> None:
    class Bad(Callback):
        def after_started(self) -> None:
            raise error

        def before_stopped(self) -> None:
            raise error

        def on_iteration_end(self, context: CallbackContext) -> None:
            raise error

    hooks = Hooks(Bad())
    hooks.after_started()
    hooks.on_iteration_end(CallbackContext())
    hooks.before_stopped()
    assert lines == [
        f"Catch exception when invoke callback after started: {error}",
        f"Catch exception when invoke callback on iteration end: {error}",
        f"Catch exception when invoke callback before stopped: {error}",
    ]
