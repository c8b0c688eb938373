"""Where units run: in this process, in local processes, or on an existing Dask cluster. One interface.

Results do not depend on the choice: a unit's work sees its own name, inputs and random stream, and nothing of
the others. Outcomes are yielded as they come.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol

from talik.errors import ConfigError
from talik.workflow.unit import Outcome

RETRIES = 2
"""How often units are tried again after a worker process died under them."""


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


class Serial:
    """One unit after the other, in this process."""

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor."""
        for task in tasks:
            yield task.run()


@dataclass(frozen=True)
class Processes:
    """`workers` local processes, started afresh (spawn), so threads and open files are not inherited."""

    workers: int

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor. A worker that dies breaks its pool; what it held is tried again, finally one by one."""
        left = list(tasks)
        for _ in range(RETRIES):
            done: set[tuple[str, str]] = set()
            try:
                for outcome in self._pool(left):
                    done.add((outcome.step, outcome.unit))
                    yield outcome
            except BrokenProcessPool:
                left = [t for t in left if (t.step, t.unit) not in done]
            else:
                return
        # somebody among these kills workers: give each its own process, so only the culprit fails
        with ThreadPoolExecutor(self.workers) as threads:
            yield from threads.map(_alone, left)

    def _pool(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(self.workers, len(tasks) or 1), mp_context=context)
        try:
            futures: list[Future[Outcome]] = [pool.submit(t.run) for t in tasks]
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class DaskCluster:
    """An existing cluster, by scheduler address such as ``tcp://10.0.0.5:8786``; workers need talik installed."""

    address: str

    def run(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """See Executor. The scheduler moves the units of a lost worker to the others."""
        from distributed import Client, KilledWorker
        from distributed import as_completed as dask_completed

        try:
            client = Client(self.address, timeout="20s", set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError, TimeoutError) as err:
            raise ConfigError(
                f"no Dask scheduler answers at {self.address} ({err}). Start one with `dask scheduler`, "
                "or leave --scheduler out to run on this machine."
            ) from err
        with client:
            futures = {client.submit(t.run, pure=False, retries=RETRIES): t for t in tasks}
            for future in dask_completed(list(futures), loop=client.loop, raise_errors=False):  # type: ignore[no-untyped-call]
                error = future.exception()
                if error is None:
                    yield future.result()
                elif isinstance(error, KilledWorker):
                    yield futures[future].died(str(error).splitlines()[0])
                else:
                    yield futures[future].died(f"{type(error).__name__}: {error}".splitlines()[0])


def choose_executor(workers: int = 1, scheduler: str | None = None) -> Executor:
    """The executor for ``--workers`` and ``--scheduler``; a scheduler address wins."""
    if scheduler:
        if "://" not in scheduler:
            raise ConfigError(f"scheduler {scheduler!r}: expected an address such as tcp://127.0.0.1:8786.")
        return DaskCluster(scheduler)
    if workers < 1:
        raise ConfigError(f"workers is {workers}; expected 1 or more.")
    return Serial() if workers == 1 else Processes(workers)


def _alone(task: Task) -> Outcome:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(task.run).result()
        except BrokenProcessPool:
            return task.died("its process ended without an answer (killed, or out of memory?)")
