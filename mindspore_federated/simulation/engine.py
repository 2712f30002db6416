"""Runs the devices of a simulation, in this process or in several, and gathers what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import queue
import random
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import numpy as np

from mindspore_federated.client import HttpTransport, PatienceExhausted, UnsupportedPlan, Waiting
from mindspore_federated.client.messages import GetModel, RetCode
from mindspore_federated.client.patient_calls import PatientCalls
from mindspore_federated.client.round_calls import RoundCalls
from mindspore_federated.client.waiting import Clock
from mindspore_federated.simulation.device import Fleet, News, SimulatedDevice
from mindspore_federated.simulation.links import Links
from mindspore_federated.simulation.options import Options
from mindspore_federated.simulation.own_server import OwnServer
from mindspore_federated.simulation.reports import IterationReport, Summary, Tally, merge, summarise
from mindspore_federated.simulation.trainers import trainer_factory
from mindspore_federated.simulation.work import (
    LoadWork,
    SharedModel,
    TrainerWork,
    UpdateTemplate,
    Work,
    unix_ms,
)

OnReport = Callable[[IterationReport], None]

_SPARE_FILES = 100
_OWN_ITERATIONS = 10
_POLL_SHARE = 0.02
_LONGEST_MODEL = (1 << 31) - 1


def run(options: Options, on_iteration: OnReport | None = None) -> Summary:
    """Runs the simulation and blocks until it is over; `on_iteration` hears of each iteration as it ends.

    Raises:
        ValueError: an option is wrong; it is named, with its value and what is allowed.
        mindspore_federated.client.FederatedClientError: the job cannot be taken part in: nobody answers for
            `patience_seconds`, an address is wrong, the job wants what the client cannot do yet.
        RuntimeError: the Server of its own cannot be started, or files cannot be opened.

    What a trainer or its factory raises passes through.
    """
    options = options.checked()
    with _deployment(options) as deployed:
        return _run_against(deployed, on_iteration or (lambda report: None))


@contextlib.contextmanager
def _deployment(options: Options) -> Iterator[Options]:
    if not options.server:
        yield options
        return
    weights = trainer_factory(options)(0).get_weights() if options.trainer else None
    with OwnServer(options, options.iterations or _OWN_ITERATIONS, weights) as url:
        yield options.against(url)  # ends with its job


def _run_against(options: Options, on_iteration: OnReport) -> Summary:
    began = time.monotonic()
    reports: list[IterationReport] = []

    def note(report: IterationReport) -> None:
        reports.append(report)
        if report.iteration > 0:
            on_iteration(report)

    if options.processes == 1:
        finished, memory_mb = asyncio.run(_simulate(options, range(options.devices), note))
    else:
        finished, memory_mb = _run_in_processes(options, note)
    return summarise(options.devices, reports, time.monotonic() - began, memory_mb, finished)


async def _simulate(options: Options, numbers: range, on_report: OnReport) -> tuple[bool, float]:
    return await _Process(options, numbers, on_report).run()


class _Process:
    """The devices of one process."""

    def __init__(self, options: Options, numbers: range, on_report: OnReport) -> None:
        self._options = options
        self._numbers = numbers
        self._on_report = on_report
        self._tally = Tally(self._note)
        self._enough = asyncio.Event()

    def _note(self, report: IterationReport) -> None:
        self._on_report(report)
        if 0 < self._options.iterations <= self._tally.ended:
            self._enough.set()

    async def run(self) -> tuple[bool, float]:
        """Whether the job has finished, and the largest resident size so far, in 10^6 bytes."""
        options = self._options
        _allow_open_files(len(self._numbers) * len(options.addresses) + _SPARE_FILES)
        # Few devices ask more often: one that hears of an iteration's end tells the others.
        poll_seconds = min(options.poll_seconds, _POLL_SHARE * len(self._numbers))
        at_work = asyncio.Semaphore(options.transfers)
        fleet = Fleet(options, self._tally, News(self._tally), at_work, poll_seconds)
        with ThreadPoolExecutor(options.training_threads) as executor:
            make_work = await self._work_for(executor)
            transfers = asyncio.Semaphore(options.transfers)
            devices = []
            for number in self._numbers:
                chance = random.Random(f"{options.seed} {number}")
                links = Links(options.addresses, self._tally, transfers, chance)
                fl_id = _fl_id(number)
                devices.append(SimulatedDevice(fl_id, fleet, links, make_work(number, fl_id), chance))
            finished = await self._live(devices)
        self._tally.rest()
        return finished, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6

    async def _live(self, devices: list[SimulatedDevice]) -> bool:
        """True when the job has finished, false when enough iterations were seen."""
        lives = [asyncio.ensure_future(device.live()) for device in devices]
        watch = asyncio.ensure_future(self._watch())
        try:
            while True:
                done, _ = await asyncio.wait([watch, *lives], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # raises what ended it
                if watch in done:
                    return False
                lives = [life for life in lives if not life.done()]
                if not lives:
                    return True
        finally:
            await _cancelled([watch, *lives])

    async def _watch(self) -> None:
        """Ends when enough iterations are over. Raises PatienceExhausted when nothing moves for too long."""
        patience, tally = self._options.patience_seconds, self._tally
        while True:
            left = tally.progress_at + patience - time.monotonic()
            if left < 0:
                raise PatienceExhausted(f"the job made no progress for {patience:.1f} s: {tally.causes()}")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._enough.wait(), left + 0.01)
                return

    async def _work_for(self, executor: ThreadPoolExecutor) -> Callable[[int, str], Work]:
        options = self._options
        if options.trainer:
            factory, shared = trainer_factory(options), SharedModel()
            return lambda number, fl_id: TrainerWork(
                factory(number), shared, executor, options.fl_name, fl_id
            )
        weights = await _made_up_weights(options)
        template = UpdateTemplate(weights, options.fl_name, options.data_size, len(_fl_id(0)))
        return lambda number, fl_id: LoadWork(template, options.data_size, fl_id)


async def _made_up_weights(options: Options) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Small random values in the model's own sizes."""
    transport = HttpTransport(options.addresses[0])
    waiting = Waiting(longest_pause=1.0, patience=options.patience_seconds)
    rounds = RoundCalls(transport)
    request = GetModel(options.fl_name, 0, unix_ms())
    try:
        answer = await PatientCalls(rounds, waiting, Clock()).persist(
            lambda: rounds.get_model(request, _LONGEST_MODEL)
        )
    finally:
        await transport.close()
    if answer.retcode is not RetCode.SUCCEED or not answer.weights:
        raise UnsupportedPlan(f"the Server hands out no model: {int(answer.retcode)} {answer.reason}")
    generator = np.random.default_rng(options.seed)
    return {
        name: generator.standard_normal(array.size, np.float32) * np.float32(0.01)
        for name, array in answer.weights.items()
    }


async def _cancelled(tasks: list[asyncio.Future[Any]]) -> None:
    """Cancels until they have ended: before Python 3.12 `wait_for` can lose a cancellation."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)


def _fl_id(number: int) -> str:
    """Of the same length for all."""
    return f"simulated-{number:07d}"


def _allow_open_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted or soft == resource.RLIM_INFINITY:
        return
    if hard not in (resource.RLIM_INFINITY,) and hard < wanted:
        raise RuntimeError(
            f"the devices need {wanted} open files, this process may have {hard}: raise the limit "
            f"(ulimit -Hn {wanted}) or spread them over more processes"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# --- several processes


def _child(options: Options, numbers: range, results: Any) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        outcome = asyncio.run(_simulate(options, numbers, results.put))
        results.put(("end", *outcome))
    except KeyboardInterrupt:
        results.put(RuntimeError("interrupted"))
    except BaseException as fault:
        results.put(_portable(fault))


def _end_with_parent() -> None:
    """A parent that was killed has ended nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _portable(fault: BaseException) -> BaseException:
    """What cannot go from one process to another would be lost without a word."""
    try:
        pickle.loads(pickle.dumps(fault))
    except Exception:
        return RuntimeError(f"{type(fault).__name__}: {fault}")
    return fault


def _run_in_processes(options: Options, on_report: OnReport) -> tuple[bool, float]:
    """Splits the devices evenly; an iteration is told when all processes have seen its end, or the next's."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    bounds = [options.devices * k // options.processes for k in range(options.processes + 1)]
    children = [
        context.Process(target=_child, args=(options, range(first, last), results), daemon=True)
        for first, last in zip(bounds, bounds[1:])
    ]
    open_reports: dict[int, list[IterationReport]] = {}
    finished, memory_mb, ended = True, 0.0, 0

    def tell(iterations: list[int]) -> None:
        for iteration in sorted(iterations):
            on_report(merge(open_reports.pop(iteration)))

    try:
        for child in children:
            child.start()
        while ended < len(children):
            item = _next(results, children)
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, IterationReport):
                open_reports.setdefault(item.iteration, []).append(item)
                full = len(open_reports[item.iteration]) == len(children)
                tell(
                    [n for n in open_reports if 0 < n < item.iteration - 1 or (n == item.iteration and full)]
                )
                continue
            _, child_finished, child_memory = item
            finished, memory_mb, ended = finished and child_finished, memory_mb + child_memory, ended + 1
        tell(list(open_reports))
    finally:
        for child in children:
            if child.pid is not None:
                child.terminate()
                child.join()
        results.close()
    return finished, memory_mb


def _next(results: Any, children: list[Any]) -> Any:
    while True:
        try:
            return results.get(timeout=0.5)
        except queue.Empty:
            for child in children:
                if child.exitcode not in (None, 0):
                    raise RuntimeError(f"a process of the simulation ended with {child.exitcode}") from None
