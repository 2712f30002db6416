"""What a device sees of a job on one Server: rounds.md, section 16, points 1 to 3; wire.md, section 6."""

from __future__ import annotations

import time
from typing import Any

import flatbuffers
import numpy as np
import pytest

from mindspore_federated.client.messages import UpdateModel
from mindspore_federated.schema import FeatureMap, RequestFLJob, RequestUpdateModel

OVER = "The server's training job is disabled or finished."
UPDATE = {"bias": 2.5, "weight": [[1, 2, 3], [4, 5, 6]]}
OTHER = {**UPDATE, "bias": 3.5}


def assert_later(answer: Any, reason: str, retcode: int = 300) -> None:
    """The reason, and a time to come back that lies in the future."""
    assert (answer.retcode, answer.reason) == (retcode, reason)
    assert answer.next_req_time_ms > time.time() * 1000


async def test_from_the_first_iteration_to_the_last(start_server, device):
    server = start_server()
    phone = device(server)
    for iteration in (1, 2, 3):
        started = await phone.start()
        assert (started.retcode, started.reason) == (200, "success")
        assert started.is_selected
        assert started.iteration == iteration
        assert started.next_req_time_ms > time.time() * 1000
        assert list(started.weights) == ["bias", "frozen", "weight"]
        assert started.weights["frozen"].tolist() == [7, 8]
        assert (started.plan.epochs, started.plan.batch_size, started.plan.learning_rate) == (3, 16, 0.25)
        assert (started.plan.iterations, started.plan.fl_name) == (3, "job")
        assert (started.plan.encrypt_type, started.plan.server_mode) == ("NOT_ENCRYPT", "FEDERATED_LEARNING")
        assert not started.upload_compressed
        assert not started.download_compressed
        if iteration == 1:
            assert started.weights["bias"].tolist() == [0.5]
            assert started.weights["weight"].tolist() == [0, 1, 2, 3, 4, 5]
        else:
            assert started.weights["bias"].tolist() == [iteration - 1]
            assert started.weights["weight"].tolist() == [iteration - 1] * 6

        waiting = await phone.result(iteration)
        assert waiting.retcode == 201
        assert waiting.reason == (
            f"The model is not ready yet for iteration {iteration}. Maybe this is because\n"
            "1. Client doesn't not send enough update model request.\n"
            "2. Worker has not push weights to server."
        )
        assert (await phone.model(iteration)).reason == waiting.reason

        trained = {"bias": iteration, "weight": np.full(6, iteration)}
        updated = await phone.update(iteration, trained)
        assert (updated.retcode, updated.reason) == (200, "success not ready")

        model = await phone.model_when_ready(iteration)
        assert model.reason == f"Get model for iteration {iteration}"
        assert model.iteration == iteration + 1
        assert {name: array.tolist() for name, array in model.weights.items()} == {
            "bias": [iteration],
            "weight": [iteration] * 6,
        }
        result = await phone.result(iteration)
        assert (result.retcode, result.reason) == (200, f"Get result for iteration {iteration}")

        # What the next round trip promises: the line is there when the model is.
        line = server.metrics()[-1]
        assert (line["currentIteration"], line["iterationResult"]) == (iteration, "success")
        assert (line["metricsLoss"], line["metricsAuc"]) == (0.5, 0.75)

    assert await phone.start() == OVER
    assert await phone.update(3, UPDATE) == OVER
    assert (await phone.model(3)).retcode == 200
    assert (await phone.result(3)).retcode == 200
    assert (await phone.model(4)).retcode == 201


async def test_the_average_is_weighted_by_data_size(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 2})
    first, second = device(server, "first"), device(server, "second")
    assert (await first.start(data_size=10, eval_data_size=1)).retcode == 200
    assert (await second.start(data_size=40, eval_data_size=3)).retcode == 200
    zeros = {"bias": 0, "weight": np.zeros(6)}
    ones = {"bias": 1, "weight": np.ones(6)}
    assert (await first.update(1, zeros, data_size=10, loss=1.0, accuracy=0.5)).retcode == 200
    assert (await second.update(1, ones, data_size=40, loss=9.0, accuracy=1.0)).retcode == 200
    model = await first.model_when_ready(1)
    assert model.weights["weight"].tolist() == pytest.approx([0.8] * 6)
    line = server.metrics()[0]
    assert line["metricsLoss"] == 7.4
    assert line["metricsAuc"] == 0.875
    assert line["clientVisitedInfo"]["updateModelAcceptClientNum"] == 2


async def test_old_iterations_are_refused(start_server, device):
    phone = device(start_server())
    await phone.start()
    await phone.update(1, UPDATE)
    await phone.model_when_ready(1)
    late = await phone.update(1, OTHER)
    assert_later(late, "devices_meta for device is not set. Please retry later.")


async def test_who_may_start(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 2})
    phone, tablet, third = (device(server, name) for name in ("phone", "tablet", "third"))
    assert_later(await phone.start(data_size=0), "FL job data size is not enough.")
    assert_later(await phone.start(data_size=65536), "FL job data size is too large.")
    assert_later(await phone.start(data_size=-1), "FL job data size is too large.")
    assert (await phone.start(data_size=65535)).retcode == 200
    again = await phone.start()
    assert_later(again, "Updating device metadata failed for fl id phone")
    assert not again.is_selected
    assert not again.weights
    assert again.plan.encrypt_type == "NOT_ENCRYPT"
    assert again.iteration == 1
    assert (await tablet.start()).retcode == 200
    for late in (third, phone):
        assert_later(
            await late.start(),
            "Current amount for startFLJob has reached the threshold. Please startFLJob later.",
        )


async def test_which_updates_are_taken(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 2})
    phone, tablet, stranger = (device(server, name) for name in ("phone", "tablet", "stranger"))
    assert (await phone.start()).retcode == 200
    assert (await tablet.start()).retcode == 200

    unknown = await stranger.update(1, UPDATE)
    assert_later(unknown, "devices_meta for stranger is not set. Please retry later.")

    early = await phone.update(2, UPDATE)
    assert early.retcode == 300
    assert early.reason == (
        "UpdateModel iteration number is invalid:2, current iteration:1, "
        f"Retry later at time: {early.next_req_time_ms}, fl id is phone"
    )

    wrong = [
        {**UPDATE, "weight": [1, 2, 3]},
        {**UPDATE, "frozen": [1]},
        {**UPDATE, "unknown": [1]},
        {**UPDATE, "weight": []},
        {**UPDATE, "frozen": [1, 2], "fourth": [1]},
        {},
    ]
    for weights in wrong:
        refused = await phone.update(1, weights)
        reason = f"Verify model feature map failed, retry later at time: {refused.next_req_time_ms}"
        assert_later(refused, reason, retcode=400)

    assert (await phone.update(1, UPDATE)).retcode == 200
    again = await phone.update(1, OTHER)
    assert_later(again, "Updating metadata of UpdateModelClientList failed for fl id phone")
    assert (await tablet.update(1, UPDATE)).retcode == 200
    # From here on the switch is under way; both answers are right, whichever comes first.
    late = await stranger.update(1, UPDATE)
    assert late.reason in (
        "Current amount for updateModel is enough. Please retry later.",
        "devices_meta for stranger is not set. Please retry later.",
    )


async def test_enough_updates(start_server, device):
    server = start_server({"round.start_fl_job_threshold": 2, "round.update_model_ratio": 0.5})
    phone, tablet = device(server, "phone"), device(server, "tablet")
    await phone.start()
    await tablet.start()
    assert (await phone.update(1, UPDATE)).retcode == 200
    assert (await phone.model_when_ready(1)).weights["bias"].tolist() == [2.5]
    assert_later(await tablet.update(1, UPDATE), "devices_meta for tablet is not set. Please retry later.")


async def test_features_that_are_not_aggregated_keep_their_value(start_server, device):
    phone = device(start_server())
    await phone.start()
    assert (await phone.update(1, {**UPDATE, "frozen": [100, 200]})).retcode == 200
    await phone.model_when_ready(1)
    assert (await phone.start()).weights["frozen"].tolist() == [7, 8]


async def test_partial_updates(start_server, device):
    phone = device(start_server())
    await phone.start()
    assert (await phone.update(1, {"bias": 2.5})).retcode == 200
    await phone.model_when_ready(1)
    weights = (await phone.start()).weights
    assert weights["bias"].tolist() == [2.5]
    assert weights["weight"].tolist() == [0, 1, 2, 3, 4, 5], "nobody sent it, so it stays"


async def test_partial_updates_can_be_refused(start_server, device):
    phone = device(start_server({"round.require_all_features": True}))
    await phone.start()
    refused = await phone.update(1, {"weight": np.zeros(6)})
    assert_later(refused, "The updated weight of parameter bias is missing, fl id: device", retcode=400)
    assert (await phone.update(1, UPDATE)).retcode == 200


@pytest.mark.parametrize(
    ("round_name", "table"),
    [
        ("startFLJob", "RequestFLJob"),
        ("updateModel", "RequestUpdateModel"),
        ("getModel", "RequestGetModel"),
        ("getResult", "RequestGetResult"),
    ],
)
async def test_bodies_that_are_no_tables(start_server, device, round_name, table):
    phone = device(start_server())
    for body in (b"x", b"\0" * 64, b"\xff" * 64, bytes(range(200))):
        answer = await phone.send(round_name, body)
        assert (answer.retcode, answer.reason) == (400, f"The schema of {table} is invalid.")
        assert answer.next_req_time_ms is None


def start_without(absent: str) -> bytes:
    builder = flatbuffers.Builder(64)
    text = builder.CreateString("x")
    RequestFLJob.Start(builder)
    for field in {"FlName", "FlId", "Timestamp"} - {absent}:
        getattr(RequestFLJob, f"Add{field}")(builder, text)
    RequestFLJob.AddDataSize(builder, 1)
    builder.Finish(RequestFLJob.End(builder))
    return bytes(builder.Output())


@pytest.mark.parametrize("absent", ["FlName", "FlId", "Timestamp"])
async def test_start_without_a_mandatory_field(start_server, device, absent):
    phone = device(start_server())
    text = await phone.send("startFLJob", start_without(absent))
    assert text == "Verify flatbuffers schema failed for RequestFLJob."


def update_with(
    absent: str = "", name: bool = True, data: bool = True, loss: float = 0.0, accuracy: float = 0.0
) -> bytes:
    builder = flatbuffers.Builder(64)
    text = builder.CreateString("bias")
    values = builder.CreateNumpyVector(np.zeros(1, np.float32))
    FeatureMap.Start(builder)
    if name:
        FeatureMap.AddWeightFullname(builder, text)
    if data:
        FeatureMap.AddData(builder, values)
    feature = FeatureMap.End(builder)
    RequestUpdateModel.StartFeatureMapVector(builder, 1)
    builder.PrependUOffsetTRelative(feature)
    fields = {"FlId": text, "Timestamp": text, "FeatureMap": builder.EndVector()}
    RequestUpdateModel.Start(builder)
    for field, offset in fields.items():
        if field != absent:
            getattr(RequestUpdateModel, f"Add{field}")(builder, offset)
    RequestUpdateModel.AddIteration(builder, 1)
    RequestUpdateModel.AddUploadLoss(builder, loss)
    RequestUpdateModel.AddUploadAccuracy(builder, accuracy)
    builder.Finish(RequestUpdateModel.End(builder))
    return bytes(builder.Output())


async def test_updates_with_unusable_fields(start_server, device):
    phone = device(start_server(), "bias")
    await phone.start()
    unusable = [
        *(update_with(absent=field) for field in ("FlId", "Timestamp", "FeatureMap")),
        update_with(name=False),
        update_with(data=False),
        *(update_with(loss=value) for value in (np.nan, np.inf, -np.inf)),
        *(update_with(accuracy=value) for value in (np.nan, np.inf)),
    ]
    for body in unusable:
        answer = await phone.send("updateModel", body)
        assert answer.retcode == 400
        assert answer.reason == "Verify flatbuffers schema failed for RequestUpdateModel."
    assert (await phone.send("updateModel", update_with())).retcode == 200, (
        "the model for these tests is right"
    )


async def test_non_finite_weights_are_refused(start_server, device):
    phone = device(start_server())
    await phone.start()
    good = bytearray(update_of(phone))
    place = bytes(good).index(np.float32(20).tobytes())
    for value in (np.nan, np.inf, -np.inf):
        bad = bytearray(good)
        bad[place : place + 4] = np.float32(value).tobytes()
        answer = await phone.send("updateModel", bytes(bad))
        assert answer.retcode == 400
        assert answer.reason.startswith("Verify model feature map failed, retry later at time: ")
    assert (await phone.send("updateModel", bytes(good))).retcode == 200


def update_of(phone: Any) -> bytes:
    weights = {name: np.asarray(value, np.float32) for name, value in UPDATE.items()}
    return bytes(UpdateModel("job", phone.fl_id, 1, 8, weights, 0.0, 0.0, 0).encode())


async def test_models_that_are_not_stored(start_server, device):
    phone = device(start_server())
    for iteration in (0, -1, 7):
        model = await phone.model(iteration)
        assert (model.retcode, model.reason) == (200, f"Get model for iteration {iteration}")
        assert model.iteration == 1
        assert model.weights["bias"].tolist() == [0.5]


async def test_a_prefix_is_glued_to_the_rounds_name(start_server, device):
    server = start_server({"client.http_url_prefix": "/fl/"})
    server.url += "/fl/"
    assert (await device(server).start()).retcode == 200


async def test_a_window_that_runs_out_ends_the_iteration(start_server, device):
    server = start_server({"round.update_model_time_window": 1000, "round.start_fl_job_threshold": 2})
    phone = device(server)
    await phone.start()
    assert (await phone.update(1, UPDATE)).retcode == 200
    model = await phone.model_when_ready(1)
    assert model.weights["bias"].tolist() == [0.5], "a failed iteration keeps the model before it"
    assert server.metrics()[-1]["iterationResult"] == "fail"
    assert (await phone.start()).iteration == 2
