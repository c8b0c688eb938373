"""Where units run: in this process, in local processes, or on an existing Dask cluster. One interface.

Results do not depend on the choice: a unit's work sees its own name, inputs and random stream, and nothing of
the others. Outcomes are yielded as they come.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from talik.errors import ConfigError
from talik.workflow.unit import Outcome

if TYPE_CHECKING:
    from distributed import Client

RETRIES = 2
"""How often a unit is tried again after the process it ran in died."""
CONNECT_S = 20.0
"""How long a Dask scheduler may take to answer."""
_ALONE = threading.Lock()
"""Held by the one unit that runs in a worker of a cluster."""


@dataclass(frozen=True)
class Task:
    """A unit ready to run: calling `run` returns its Outcome."""

    step: str
    unit: str
    run: Callable[[], Outcome]

    def died(self, how: str) -> Outcome:
        """The outcome when no answer came back."""
        return Outcome(self.step, self.unit, "failed", 0.0, f"worker died: {how}")


class Executor(Protocol):
    """Runs tasks and yields their outcomes in any order, one for each."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Every task's outcome."""

    def close(self) -> None:
        """End what was started to run them; nothing is run after it."""


class Serial:
    """One unit after the other, in this process."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor."""
        for task in tasks:
            yield task.run()

    def close(self) -> None:
        """See Executor."""


@dataclass
class Processes:
    """`workers` local processes, started afresh (spawn), so threads and open files are not inherited.

    They stay until `close`: what one has imported and compiled serves the next step.
    """

    workers: int
    _kept: ProcessPoolExecutor | None = field(default=None, repr=False)

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor. When a process dies, what was in flight goes on in a process for each unit.

        So only a unit that kills its process `RETRIES` more times fails, and the others go on together.
        """
        left = deque(tasks)
        while left:
            held: dict[Future[Outcome], Task] = {}
            try:
                yield from self._together(left, held)
            except BrokenProcessPool:
                suspects = []
                for future, task in held.items():
                    if future.done() and future.exception() is None:
                        yield future.result()
                    else:
                        suspects.append(task)
                yield from self._apart(suspects)

    def _together(self, left: deque[Task], held: dict[Future[Outcome], Task]) -> Iterator[Outcome]:
        """Outcomes from one pool. It moves tasks from `left` to `held`; few at a time, as all held are suspects."""
        pool = self._kept = self._kept or _pool(self.workers)
        try:
            while left or held:
                while left and len(held) < 2 * self.workers:
                    held[pool.submit(left[0].run)] = left[0]
                    left.popleft()
                for future in wait(held, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    del held[future]
                    yield outcome
        finally:
            if left or held:  # a process died, or nobody wants the rest
                self.close()

    def close(self) -> None:
        """See Executor."""
        if self._kept is not None:
            self._kept.shutdown(wait=True, cancel_futures=True)
            self._kept = None

    def _apart(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Outcomes of tasks that each have a process of their own, `workers` at a time."""
        left = deque((task, RETRIES) for task in tasks)
        held: dict[Future[Outcome], tuple[ProcessPoolExecutor, Task, int]] = {}
        try:
            while left or held:
                while left and len(held) < self.workers:
                    task, tries = left.popleft()
                    pool = _pool(1)
                    held[pool.submit(task.run)] = (pool, task, tries)
                for future in wait(held, return_when=FIRST_COMPLETED).done:
                    pool, task, tries = held.pop(future)
                    pool.shutdown()
                    if not isinstance(future.exception(), BrokenProcessPool):
                        yield future.result()
                    elif tries > 1:
                        left.append((task, tries - 1))
                    else:
                        yield task.died("its process ended without an answer (killed, or out of memory?)")
        finally:
            for pool, _, _ in held.values():
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class DaskCluster:
    """An existing cluster, by scheduler address such as ``tcp://10.0.0.5:8786``; workers need the same talik."""

    address: str

    def __post_init__(self) -> None:
        _host_and_port(self.address)

    def close(self) -> None:
        """See Executor; the cluster goes on."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor. The scheduler moves the units of a lost worker to the others.

        Without workers it waits for some: a queue may take its time to start them. A worker runs one unit at a time,
        however many threads it has.
        """
        from distributed import as_completed

        with _connect(self.address) as client:
            futures = {client.submit(_run_alone, t.run, pure=False, retries=RETRIES): t for t in tasks}
            for future in as_completed(list(futures), loop=client.loop, raise_errors=False):  # type: ignore[no-untyped-call]
                task = futures.pop(future)
                try:
                    outcome = future.result()
                except CancelledError:
                    outcome = task.died(f"the scheduler at {self.address} went away or cancelled the unit")
                except Exception as err:  # noqa: BLE001  (run_unit never raises: this is the cluster's own, such as KilledWorker)
                    outcome = task.died(f"{type(err).__name__}: {err}".splitlines()[0])
                yield outcome


def choose_executor(workers: int = 1, scheduler: str | None = None) -> Executor:
    """The executor for ``--workers`` and ``--scheduler``; a scheduler address wins."""
    if scheduler:
        return DaskCluster(scheduler)
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more.")
    return Serial() if workers == 1 else Processes(workers)


def _run_alone(run: Callable[[], Outcome]) -> Outcome:
    """A unit on a worker of a cluster, as in a process of our own.

    Dask arrays inside a unit would go to the cluster too, while the worker begins another unit beside it; and two
    units that read and write in one process meet in the HDF5 library, which knows no threads.
    """
    import dask

    with _ALONE, dask.config.set(scheduler="threads"):
        return run()


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start)


def _start() -> None:
    """Begin a worker. On Ctrl-C it ends at once and in silence, as the main process says what happened.

    It ends with the main process too: after a `kill -9` of that one nothing goes on beside the next run.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    main = multiprocessing.parent_process()
    if main is not None:
        threading.Thread(target=_end_after, args=(main.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        if parts.scheme in ("tcp", "tls") and parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigError(f"scheduler {address!r}: expected an address such as tcp://127.0.0.1:8786.")


def _connect(address: str) -> Client:
    """A client of the cluster, or a ConfigError if nobody answers."""
    from distributed import Client

    try:
        # a Client that finds nobody blocks for a minute when it is collected, so knock first
        socket.create_connection(_host_and_port(address), timeout=CONNECT_S).close()
        client = Client(address, timeout=CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except OSError as err:
        raise ConfigError(
            f"no Dask scheduler answers at {address} ({err}). Start one with `dask scheduler`, "
            "or leave --scheduler out to run on this machine."
        ) from err
    if not client.scheduler_info()["workers"]:
        logging.getLogger("talik").warning(
            "%s has no workers yet; waiting for `dask worker %s`", address, address
        )
    return client
