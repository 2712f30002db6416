"""Messages: field by field both ways, and answers that nobody should trust."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mindspore_federated.client import MalformedAnswer, NonFiniteUpdate
from mindspore_federated.client.messages import (
    GetModel,
    GetModelAnswer,
    GetResult,
    GetResultAnswer,
    RetCode,
    StartFLJob,
    StartFLJobAnswer,
    UpdateModel,
    UpdateModelAnswer,
)
from mindspore_federated.schema.RequestFLJob import RequestFLJob
from mindspore_federated.schema.RequestGetModel import RequestGetModel
from mindspore_federated.schema.RequestGetResult import RequestGetResult
from mindspore_federated.schema.RequestUpdateModel import RequestUpdateModel

DECODERS = (StartFLJobAnswer.decode, UpdateModelAnswer.decode, GetModelAnswer.decode, GetResultAnswer.decode)


def update(weights, data_size=8, loss=0.25, accuracy=0.75):
    return UpdateModel("job", "device", 3, data_size, weights, loss, accuracy, 1234)


def test_start_fl_job_request():
    request = RequestFLJob.GetRootAs(StartFLJob("job", "device-é", 8, 4, 1234).encode())
    assert request.FlName() == b"job"
    assert request.FlId().decode() == "device-é"
    assert (request.DataSize(), request.EvalDataSize()) == (8, 4)
    assert request.Timestamp() == b"1234"
    assert request.DownloadCompressTypesAsNumpy().tolist() == [0]
    assert request.SignDataIsNone()


def test_update_model_request_is_multiplied_by_data_size():
    weights = {"w": np.arange(6).reshape(2, 3) / 2, "scalar": np.float32(3).reshape(())}
    request = RequestUpdateModel.GetRootAs(update(weights).encode())
    assert (request.FlName(), request.FlId(), request.Iteration()) == (b"job", b"device", 3)
    assert request.Timestamp() == b"1234"
    assert (request.UploadLoss(), request.UploadAccuracy()) == (0.25, 0.75)
    assert request.UploadCompressType() == 0
    features = [request.FeatureMap(i) for i in range(request.FeatureMapLength())]
    assert [feature.WeightFullname() for feature in features] == [b"w", b"scalar"]
    assert features[0].DataAsNumpy().tolist() == [0, 4, 8, 12, 16, 20]
    assert features[1].DataAsNumpy().tolist() == [24]


def test_evaluation_vectors_go_with_an_update():
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    message = UpdateModel("job", "device", 3, 8, {"w": np.ones(2)}, 0.5, 0.5, 1234, evaluation=vectors)
    items = RequestUpdateModel.GetRootAs(message.encode()).UnsupervisedEvalItems()
    found = [items.EvalItems(i).EvalDataAsNumpy().tolist() for i in range(items.EvalItemsLength())]
    assert found == vectors.tolist()
    assert RequestUpdateModel.GetRootAs(update({"w": np.ones(2)}).encode()).UnsupervisedEvalItems() is None


@pytest.mark.parametrize("message", [GetModel("job", 7, 1234), GetResult("job", 7, 1234)])
def test_model_and_result_requests(message):
    reader = RequestGetModel if isinstance(message, GetModel) else RequestGetResult
    request = reader.GetRootAs(message.encode())
    assert (request.FlName(), request.Iteration(), request.Timestamp()) == (b"job", 7, b"1234")


def test_upload_takes_one_buffer_of_the_size_of_the_message():
    encoded = update({f"layer.{i}": np.ones(1000, np.float32) for i in range(50)}).encode()
    assert len(encoded.obj) < len(encoded) + 8000, "the buffer has grown, which copies"


def test_any_memory_order_and_dtype():
    array = np.arange(12, dtype=np.float64).reshape(3, 4)
    for view in (array.T, np.asfortranarray(array), array[:, ::2], array.astype(np.float16)):
        request = RequestUpdateModel.GetRootAs(update({"w": view}, data_size=1).encode())
        assert request.FeatureMap(0).DataAsNumpy().tolist() == view.astype(np.float32).ravel().tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3e38])
def test_non_finite_weights_are_not_uploaded(value):
    with pytest.raises(NonFiniteUpdate, match="weight w"):
        update({"w": np.array([1, value], np.float32)}).encode()


def test_opposite_infinities_do_not_cancel():
    with pytest.raises(NonFiniteUpdate):
        update({"w": np.array([math.inf, -math.inf])}).encode()


@pytest.mark.parametrize("numbers", [{"loss": math.nan}, {"accuracy": math.inf}])
def test_non_finite_metrics_are_not_uploaded(numbers):
    with pytest.raises(NonFiniteUpdate, match="must be finite"):
        update({"w": np.zeros(1)}, **numbers).encode()


def test_start_fl_job_answer(answers):
    body = answers.start_fl_job(iteration=4, next_req_time="99", weights={"a": [1, 2], "b": [3]}, lr=0.25)
    answer = StartFLJobAnswer.decode(body)
    assert answer.retcode is RetCode.SUCCEED
    assert (answer.reason, answer.iteration, answer.is_selected) == ("success", 4, True)
    assert answer.next_req_time_ms == 99
    assert {name: array.tolist() for name, array in answer.weights.items()} == {"a": [1, 2], "b": [3]}
    assert not answer.weights["a"].flags.writeable
    assert np.shares_memory(answer.weights["a"], np.frombuffer(body, np.uint8)), "decoding copies"
    assert answer.plan is not None
    assert (answer.plan.epochs, answer.plan.batch_size, answer.plan.learning_rate) == (3, 16, 0.25)
    assert (answer.plan.encrypt_type, answer.plan.iterations) == ("NOT_ENCRYPT", 2)


def test_learning_rate_zero_means_a_tenth(answers):
    plan = StartFLJobAnswer.decode(answers.start_fl_job(lr=0)).plan
    assert plan is not None
    assert plan.learning_rate == pytest.approx(0.1)


def test_absent_fields(answers):
    answer = StartFLJobAnswer.decode(answers.start_fl_job(300, reason=None, next_req_time=None, plan=False))
    assert (answer.reason, answer.next_req_time_ms, answer.plan, answer.weights) == ("", None, None, {})


@pytest.mark.parametrize("time", ["", "soon", "-5", "1e3", "9" * 21, "²"])
def test_a_time_that_is_none_is_ignored(answers, time):
    assert UpdateModelAnswer.decode(answers.update_model(next_req_time=time)).next_req_time_ms is None


def test_a_plan_without_encrypt_type_is_never_taken_for_unencrypted(answers):
    with pytest.raises(MalformedAnswer, match="encrypt_type"):
        StartFLJobAnswer.decode(answers.start_fl_job(encrypt_type=None))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_model_is_refused(answers, value):
    with pytest.raises(MalformedAnswer, match="'a' holds NaN"):
        GetModelAnswer.decode(answers.get_model(weights={"a": [1, value]}))


def test_non_finite_learning_rate_is_refused(answers):
    with pytest.raises(MalformedAnswer, match="learning rate"):
        StartFLJobAnswer.decode(answers.start_fl_job(lr=math.nan))


@pytest.mark.parametrize("retcode", [0, 199, 404, -1])
def test_unknown_retcodes_are_refused(answers, retcode):
    with pytest.raises(MalformedAnswer):
        GetResultAnswer.decode(answers.get_result(retcode))


def test_absurd_vector_lengths_are_refused(answers):
    body = bytearray(answers.get_model(weights={"a": [1, 2, 3, 4, 5, 6, 7]}))
    at = bytes(body).index((7).to_bytes(4, "little"))
    for length in (1000, 2**31, 2**32 - 1):
        body[at : at + 4] = length.to_bytes(4, "little")
        with pytest.raises(MalformedAnswer):
            GetModelAnswer.decode(body)


def test_absurd_string_lengths_are_refused(answers):
    body = bytearray(answers.get_result(reason="why not?"))
    at = body.index(b"why not?") - 4
    body[at : at + 4] = (2**31).to_bytes(4, "little")
    with pytest.raises(MalformedAnswer):
        GetResultAnswer.decode(body)


def test_every_truncation_is_refused(answers):
    body = answers.start_fl_job(next_req_time="12", weights={"a": [1, 2], "b": [3]})
    whole = StartFLJobAnswer.decode(body)
    for length in range(len(body)):
        try:
            answer = StartFLJobAnswer.decode(body[:length])
        except MalformedAnswer:
            continue
        # Only padding was cut off.
        assert answer.reason == whole.reason
        assert answer.plan == whole.plan
        assert answer.weights.keys() == whole.weights.keys()
        assert length > len(body) - 4


@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_but_nothing_else_happens(noise):
    for decode in DECODERS:
        with contextlib.suppress(MalformedAnswer):
            decode(noise)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `answers` has no state
@given(st.data())
def test_flipped_bytes_never_raise_anything_else(answers, data):
    body = bytearray(answers.start_fl_job(next_req_time="12", weights={"a": [1, 2], "b": [3]}))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedAnswer):
        StartFLJobAnswer.decode(body)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    ),
    st.integers(1, 65535),
)
def test_uploads_round_trip(array, data_size):
    request = RequestUpdateModel.GetRootAs(update({"w": array}, data_size).encode())
    assert np.array_equal(request.FeatureMap(0).DataAsNumpy(), (array * np.float32(data_size)).ravel())
