"""A small approach for the workflow tests; importable by worker processes through PYTHONPATH."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

from talik.config import Frozen
from talik.rng import named_rng
from talik.workflow import Job, Section, Step


class ToyOptions(Frozen):
    """Settings of the toy."""

    factor: float = 1.0
    units: int = 6
    bad: tuple[str, ...] = ()
    data: str | None = None


def steps(project, options: ToyOptions) -> list[Step]:
    config = {**options.model_dump(mode="json"), "seed": project.base.seed}
    units = tuple(f"u{i}" for i in range(options.units))
    inputs = {options.data: project.resolve(options.data)} if options.data else {}
    first = Step(
        name="draw",
        units=units,
        work=partial(draw, factor=options.factor, seed=project.base.seed, bad=options.bad),
        config=config,
        inputs=inputs,
        suffix=".txt",
    )
    second = Step(
        name="sum",
        units=("all",),
        work=add,
        config={},
        needs=("draw",),
        suffix=".txt",
        publish={"all": "sum.txt"},
    )
    return [first, second]


def draw(job: Job, factor: float, seed: int, bad: tuple[str, ...]) -> None:
    """Write one random number; TOY_* variables make it slow, count, or kill its process (TOY_DEATHS times)."""
    if counter := os.environ.get("TOY_COUNTER"):
        with (Path(counter) / job.unit).open("a") as stream:
            stream.write("x")
    if job.unit in bad:
        raise ValueError(f"{job.unit} is bad")
    deaths = int(os.environ.get("TOY_DEATHS", "1000"))
    if os.environ.get("TOY_KILL") == job.unit and (not counter or len(_runs(counter, job)) <= deaths):
        os.kill(os.getpid(), signal.SIGKILL)
    job.out.write_text("half")
    time.sleep(float(os.environ.get("TOY_SLEEP", "0")))
    job.out.write_text(f"{factor * named_rng(seed, job.unit).normal()!r}\n")


def tell_process(job: Job) -> None:
    """Write the number of the process, after a while in which another one can take the next unit."""
    time.sleep(0.2)
    job.out.write_text(str(os.getpid()))


def meet(job: Job, at: Path, others: tuple[str, ...]) -> None:
    """Wait until the others are here too, which they never are if they come after this one."""
    (at / job.unit).write_text(str(os.getpid()))
    deadline = time.monotonic() + 60.0
    while not all((at / name).exists() for name in others):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job.unit} waited for {others} in vain")
        time.sleep(0.02)
    job.out.write_text("met")


def sum_by_dask(job: Job, at: Path) -> None:
    """Write the sum of a dask array, in how many processes it was computed, and how many units this one had at most."""
    import dask.array
    import numpy as np

    mine = at / f"{os.getpid()}-{job.unit}"
    mine.touch()
    where, most = {os.getpid()}, 0

    def seen(block: np.ndarray) -> np.ndarray:
        nonlocal most
        time.sleep(0.1)
        where.add(os.getpid())
        most = max(most, len(list(at.glob(f"{os.getpid()}-*"))))
        return block

    total = dask.array.ones(4, chunks=1).map_blocks(seen, dtype=float).sum().compute()
    mine.unlink()
    job.out.write_text(f"{total:g} {len(where)} {most}")


def _runs(counter: str, job: Job) -> str:
    return (Path(counter) / job.unit).read_text()


def add(job: Job) -> None:
    values = [float(p.read_text()) for p in job.needs["draw"].values()]
    job.out.write_text(f"{sum(values)!r}\n")


def results(output: Path) -> dict[str, bytes]:
    """Bytes of every result of a run, by path without the key."""
    found = {}
    for path in sorted((output / "work").rglob("*.txt")):
        step = path.parent.name.rpartition("-")[0]
        found[f"{step}/{path.name}"] = path.read_bytes()
    return found


SECTION = Section("toy", ToyOptions, steps)
