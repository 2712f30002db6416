"""The device's life against a scripted Server: what it does after each kind of answer."""

import asyncio
import math

import numpy as np
import pytest

from mindspore_federated.client import (
    ClusterInSafemode,
    FederatedClient,
    HttpAnswer,
    HttpStatusError,
    JobDisabled,
    JobResult,
    MalformedAnswer,
    ModelMismatch,
    NonFiniteUpdate,
    NumpyTrainer,
    PatienceExhausted,
    RequestRefused,
    TransportError,
    UnsupportedPlan,
    Waiting,
    run,
)

SAFEMODE = b"The cluster is in safemode."
OVER = b"The server's training job is disabled or finished."
INNER = b"An inner error occurred"
WEIGHTS = {"b": [1], "w": [0, 1, 2, 3, 4, 5]}


@pytest.fixture
def device(scripted, clock, trainer):
    def make(*script, **waiting):
        transport = scripted(*script)
        client = FederatedClient(
            transport, trainer, fl_name="job", fl_id="device", clock=clock, waiting=Waiting(**waiting)
        )
        return client, transport

    return make


@pytest.fixture
def one_iteration(answers):
    """A whole iteration without incidents, then a finished job."""
    return [
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", answers.update_model()),
        ("getResult", answers.get_result()),
        ("startFLJob", OVER),
        ("getResult", answers.get_result()),
    ]


def rounds(transport):
    return [name for name, _ in transport.requests]


async def test_two_iterations_then_finished(device, answers):
    client, transport = device(
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", answers.update_model()),
        ("getResult", answers.get_result(201)),
        ("getResult", answers.get_result()),
        ("startFLJob", answers.start_fl_job(iteration=2, weights=WEIGHTS)),
        ("updateModel", answers.update_model()),
        ("getResult", answers.get_result(iteration=3)),
        ("startFLJob", OVER),
        ("getResult", answers.get_result(iteration=3)),
    )
    results = []
    assert await client.run(results.append) == JobResult(last_iteration=2, updates=2)
    assert [(r.iteration, r.loss, r.accuracy, r.counted) for r in results] == [
        (1, 0.25, 0.75, True),
        (2, 0.25, 0.75, True),
    ]
    start, upload = transport.requests[0][1], transport.requests[1][1]
    assert (start.FlId(), start.DataSize(), start.EvalDataSize()) == (b"device", 8, 4)
    uploaded = {
        upload.FeatureMap(i).WeightFullname(): upload.FeatureMap(i).DataAsNumpy().tolist() for i in range(2)
    }
    assert uploaded == {b"w": [8 * (x + 1) for x in range(6)], b"b": [16]}
    assert (upload.Iteration(), upload.UploadLoss(), upload.UploadAccuracy()) == (1, 0.25, 0.75)


async def test_the_trainer_sees_its_own_shapes(device, one_iteration, trainer):
    client, _ = device(*one_iteration)
    await client.run()
    assert {name: array.shape for name, array in trainer.get_weights().items()} == {"w": (2, 3), "b": ()}


async def test_threshold_reached_waits_until_the_iteration_is_over(device, answers, one_iteration, clock):
    far = str(clock.unix_ms() + 500_000)
    client, _ = device(
        ("startFLJob", answers.start_fl_job(300, "threshold", iteration=7, next_req_time=far)),
        ("getResult", answers.get_result(201)),
        ("getResult", answers.get_result(200)),
        *one_iteration,
    )
    begin = clock.now()
    assert (await client.run()).updates == 1
    assert clock.now() < begin + 400, "it waited for next_req_time though the iteration was over"


async def test_threshold_reached_waits_for_next_req_time_if_told_not_to_poll(
    device, answers, one_iteration, clock
):
    due = clock.unix_ms() + 500_000
    client, transport = device(
        ("startFLJob", answers.start_fl_job(300, "threshold", next_req_time=str(due))),
        ("startFLJob", OVER),
        ("getResult", answers.get_result()),
        poll_interval=math.inf,
    )
    await client.run()
    assert clock.unix_ms() >= due
    assert rounds(transport) == ["startFLJob", "startFLJob", "getResult"]


async def test_next_req_time_in_the_past_does_not_stop_the_device(device, answers, one_iteration):
    client, _ = device(
        ("startFLJob", answers.start_fl_job(300, "late", next_req_time="1")),
        ("getResult", answers.get_result()),
        *one_iteration,
    )
    assert (await client.run()).updates == 1


async def test_an_absurd_next_req_time_is_not_slept_through(device, answers, one_iteration, clock):
    client, _ = device(
        ("startFLJob", answers.start_fl_job(300, "late", next_req_time="9" * 20)),
        *one_iteration,
        poll_interval=math.inf,
    )
    begin = clock.now()
    await client.run()
    assert clock.now() < begin + 3600


@pytest.mark.parametrize(
    "passing",
    [
        SAFEMODE,
        INNER,
        b"The server's training job is not ready.",
        HttpAnswer(503, b""),
        TransportError("no route"),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2, 4])
async def test_what_passes_by_itself_is_tried_again(device, one_iteration, passing, step):
    name = one_iteration[step][0]
    one_iteration[step:step] = [(name, passing)] * 5
    client, _ = device(*one_iteration)
    assert (await client.run()).updates == 1


async def test_pauses_grow(device, one_iteration, clock):
    times = []

    class Watch(list):
        def pop(self, index):
            times.append(clock.now())
            return super().pop(index)

    client, transport = device(*[("startFLJob", SAFEMODE)] * 8, *one_iteration, longest_pause=5.0)
    transport.script = Watch(transport.script)
    await client.run()
    pauses = [b - a for a, b in zip(times[:9], times[1:9])]
    assert 0.1 <= pauses[0] <= 0.2
    assert all(2.5 <= pause <= 5 for pause in pauses[5:])


async def test_retcode_500_is_tried_again(device, answers, one_iteration):
    client, _ = device(("startFLJob", answers.start_fl_job(500, "fault")), *one_iteration)
    assert (await client.run()).updates == 1


async def test_a_late_update_is_dropped_and_the_next_iteration_taken(device, answers, one_iteration):
    client, _ = device(
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        (
            "updateModel",
            answers.update_model(300, "Current amount for updateModel is enough. Please retry later."),
        ),
        ("getResult", answers.get_result()),
        *one_iteration,
    )
    results = []
    assert (await client.run(results.append)).updates == 1
    assert [result.counted for result in results] == [False, True]


async def test_an_upload_whose_answer_was_lost_counts(device, answers):
    reason = "Updating metadata of UpdateModelClientList failed for fl id device"
    client, _transport = device(
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", TransportError("reset")),
        ("updateModel", answers.update_model(300, reason)),
        ("getResult", answers.get_result()),
        ("startFLJob", OVER),
        ("getResult", answers.get_result()),
    )
    assert (await client.run()).updates == 1


async def test_a_duplicate_that_was_never_sent_before_does_not_count(device, answers):
    reason = "Updating metadata of UpdateModelClientList failed for fl id device"
    client, _ = device(
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", answers.update_model(300, reason)),
        ("getResult", answers.get_result()),
        ("startFLJob", OVER),
        ("getResult", answers.get_result()),
    )
    assert (await client.run()).updates == 0


async def test_one_refusal_is_no_reason_to_quit(device, answers, one_iteration):
    client, _ = device(
        ("startFLJob", answers.start_fl_job(400, "refused")),
        ("getResult", answers.get_result()),
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", answers.update_model(400, "refused")),
        ("getResult", answers.get_result()),
        *one_iteration,
    )
    assert (await client.run()).updates == 1


async def test_refused_again_and_again(device, answers):
    client, _ = device(
        *[
            ("startFLJob", answers.start_fl_job(400, "sign data is empty.")),
            ("getResult", answers.get_result()),
        ]
        * 2,
        ("startFLJob", answers.start_fl_job(400, "sign data is empty.")),
    )
    with pytest.raises(RequestRefused, match="sign data is empty"):
        await client.run()


async def test_missing_mandatory_fields(device):
    text = b"Verify flatbuffers schema failed for RequestFLJob."
    client, _ = device(*[("startFLJob", text)] * 3)
    with pytest.raises(RequestRefused, match="RequestFLJob"):
        await client.run()


async def test_answers_that_are_none(device):
    client, _ = device(*[("startFLJob", b"<html>Welcome to the hotel's network</html>")] * 3)
    with pytest.raises(MalformedAnswer, match="Welcome"):
        await client.run()


async def test_disabled_is_not_finished(device):
    client, _ = device(("startFLJob", OVER), ("getResult", OVER))
    with pytest.raises(JobDisabled):
        await client.run()


async def test_disabled_while_waiting_for_the_result(device, answers):
    client, _ = device(
        ("startFLJob", answers.start_fl_job(weights=WEIGHTS)),
        ("updateModel", answers.update_model()),
        ("getResult", OVER),
        ("getResult", OVER),
    )
    with pytest.raises(JobDisabled):
        await client.run()


async def test_disabled_text_may_carry_an_iteration(device, answers):
    client, _ = device(("startFLJob", OVER + b":12"), ("getResult", answers.get_result()))
    assert (await client.run()).updates == 0


@pytest.mark.parametrize("status", [301, 400, 404, 501])
async def test_http_status(device, status):
    client, _transport = device(
        ("startFLJob", HttpAnswer(status, b"")), ("startFLJob", OVER), ("getResult", OVER)
    )
    if status == 501:  # passing, like all 5xx
        with pytest.raises(JobDisabled):
            await client.run()
    else:
        with pytest.raises(HttpStatusError, match=f"{status}.*http_url_prefix"):
            await client.run()


@pytest.mark.parametrize(("faults", "warnings"), [(2, 0), (3, 1), (30, 1)])
async def test_a_fault_that_lasts_is_told_once(device, one_iteration, capsys, faults, warnings):
    away = TransportError("startFLJob: nobody there")
    client, _ = device(*[("startFLJob", away)] * faults, *one_iteration)
    await client.run()
    told = capsys.readouterr().err
    assert told.count("nobody there; trying again for up to 3600 s") == told.count("\n") == warnings


async def test_a_device_that_the_server_has_forgotten_starts_again_soon(
    device, answers, one_iteration, clock
):
    begin = clock.now()
    due = str(clock.unix_ms() + 30_000)
    forgotten = answers.update_model(300, "devices_meta for device is not set. Please retry later.", due)
    client, _ = device(one_iteration[0], ("updateModel", forgotten), *one_iteration)
    assert await client.run() == JobResult(last_iteration=1, updates=1)
    assert clock.now() - begin < 10


async def test_patience_ends(device, clock):
    client, _ = device(*[("startFLJob", SAFEMODE)] * 100, patience=120.0)
    begin = clock.now()
    with pytest.raises(PatienceExhausted, match="safemode") as caught:
        await client.run()
    assert isinstance(caught.value.__cause__, ClusterInSafemode)
    assert 60 < clock.now() - begin <= 120


async def test_progress_renews_patience(device, answers, one_iteration, clock):
    def wait(iteration):
        later = str(clock.unix_ms() + 10_000_000)
        return [
            ("startFLJob", answers.start_fl_job(300, "full", iteration=iteration, next_req_time=later)),
            *[("getResult", answers.get_result(201))] * 8,
            ("getResult", answers.get_result()),
        ]

    client, _ = device(*wait(5), *wait(6), *wait(7), *one_iteration, patience=12.0)
    assert (await client.run()).updates == 1


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"encrypt_type": "PW_ENCRYPT"}, "PW_ENCRYPT"),
        ({"encrypt_type": "SIGNDS"}, "SIGNDS"),
        ({"encrypt_type": ""}, "encrypt_type"),
        ({"upload_compress_type": 1}, "compressed uploads"),
        ({"download_compress_type": 2}, "compressed downloads"),
        ({"server_mode": "CLOUD_TRAINING"}, "CLOUD_TRAINING"),
        ({"weights": {**WEIGHTS, "control.w": [0] * 6}}, "Scaffold"),
    ],
)
async def test_nothing_is_uploaded_that_the_job_wants_otherwise(device, answers, fields, named):
    client, transport = device(("startFLJob", answers.start_fl_job(**{"weights": WEIGHTS, **fields})))
    with pytest.raises(UnsupportedPlan, match=named):
        await client.run()
    assert rounds(transport) == ["startFLJob"]


@pytest.mark.parametrize("weights", [{"w": [0] * 6}, {"w": [0] * 5, "b": [1]}, {}])
async def test_models_that_differ(device, answers, weights):
    client, transport = device(("startFLJob", answers.start_fl_job(weights=weights)))
    with pytest.raises(ModelMismatch, match=r"no b|w has 5 values|no w, b"):
        await client.run()
    assert rounds(transport) == ["startFLJob"]


async def test_features_that_the_trainer_does_not_know_are_left_alone(device, one_iteration, answers):
    weights = {**WEIGHTS, "frozen": [5, 5]}
    client, transport = device(("startFLJob", answers.start_fl_job(weights=weights)), *one_iteration[1:])
    await client.run()
    assert transport.requests[1][1].FeatureMapLength() == 2


async def test_training_that_diverges(scripted, clock, answers):
    diverging = NumpyTrainer({"w": np.zeros(2)}, lambda weights, plan: ({"w": weights["w"] + np.nan}, 0.0), 1)
    transport = scripted(("startFLJob", answers.start_fl_job(weights={"w": [0, 0]})))
    client = FederatedClient(transport, diverging, fl_name="job", fl_id="device", clock=clock)
    with pytest.raises(NonFiniteUpdate):
        await client.run()


async def test_what_the_trainer_raises_comes_through(scripted, clock, answers):
    class OutOfMemory(Exception):
        pass

    def train(weights, plan):
        raise OutOfMemory

    transport = scripted(("startFLJob", answers.start_fl_job(weights={"w": [0, 0]})))
    trainer = NumpyTrainer({"w": np.zeros(2)}, train, 1)
    client = FederatedClient(transport, trainer, fl_name="job", fl_id="device", clock=clock)
    with pytest.raises(OutOfMemory):
        await client.run()


@pytest.mark.parametrize("data_size", [0, -1, 65536])
async def test_data_size_out_of_range(device, trainer, data_size):
    trainer.data_size = data_size
    client, _ = device()
    with pytest.raises(ValueError, match=f"data_size is {data_size}"):
        await client.run()


async def test_get_model_waits_and_has_shapes(device, answers):
    client, _ = device(
        ("getModel", SAFEMODE),
        ("getModel", answers.get_model(201, "not ready")),
        ("getModel", answers.get_model(weights={**WEIGHTS, "frozen": [5, 5]})),
    )
    model = await client.get_model(1)
    assert {name: array.shape for name, array in model.items()} == {"b": (), "w": (2, 3), "frozen": (2,)}


async def test_get_model_of_another_size(device, answers):
    client, _ = device(("getModel", answers.get_model(weights={"w": [1]})))
    with pytest.raises(ModelMismatch, match="w has 1 values"):
        await client.get_model(1)


async def test_cancelling_goes_through(device, clock):
    async def sleep(seconds):
        await asyncio.sleep(3600)

    clock.sleep = sleep
    client, _ = device(("startFLJob", SAFEMODE))
    task = asyncio.create_task(client.run())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_blocking_face_closes_the_transport(scripted, trainer, one_iteration):
    transport = scripted(*one_iteration)
    waiting = Waiting(poll_interval=0.001)
    assert run(transport, trainer, fl_name="job", fl_id="device", waiting=waiting) == JobResult(1, 1)
    assert transport.closed


@pytest.mark.parametrize("names", [{"fl_name": "", "fl_id": "x"}, {"fl_name": "x", "fl_id": ""}])
def test_empty_names(trainer, names):
    with pytest.raises(ValueError, match="should not be empty"):
        FederatedClient("http://127.0.0.1:1", trainer, **names)
