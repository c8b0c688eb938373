"""How far a run is: which step and unit, how long it took, about how long is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from talik.workflow.conventions import span

if TYPE_CHECKING:
    from rich.progress import Progress

    from talik.workflow.plan import Plan
    from talik.workflow.unit import Outcome

MOST_LINES = 20
"""A plain display has about so many lines, however many units there are."""
DOUBT = 5.0
"""Seconds of planned work that have to be measured before they say much of how far the plan is off."""


class Pace:
    """Steps of a plan and what was measured of them so far."""

    def __init__(self, plan: Plan, workers: int = 1, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._start, self._workers = clock, clock(), workers
        self._order = {p.step.name: k for k, p in enumerate(plan.steps, 1)}
        self._cost = {p.step.name: p.step.cost.seconds for p in plan.steps}
        self._left = {p.step.name: len(p.todo) for p in plan.steps}
        self._seconds: dict[str, list[float]] = {}

    def take(self, outcome: Outcome) -> None:
        """Count a unit that ended."""
        if outcome.status != "cached":
            self._left[outcome.step] = max(0, self._left.get(outcome.step, 0) - 1)
        if outcome.status == "done":
            self._seconds.setdefault(outcome.step, []).append(outcome.seconds)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def left(self) -> tuple[float, bool]:
        """About how many seconds are left, and whether all steps that are left are in that.

        A step that has run goes on at its own mean; one that has not takes what the plan says, times how far the plan
        was off so far.
        """
        planned = sum((self._cost.get(n) or 0.0) * len(s) for n, s in self._seconds.items())
        taken = sum(sum(s) for n, s in self._seconds.items() if self._cost.get(n))
        off = (taken + DOUBT) / (planned + DOUBT)
        total, complete = 0.0, True
        for name, units in self._left.items():
            if not units:
                continue
            measured, cost = self._seconds.get(name), self._cost.get(name)
            if measured:
                each = sum(measured) / len(measured)
            elif cost is not None:
                each = cost * off
            else:
                complete = False
                continue
            total += each * -(-units // self._workers)
        return total, complete

    def text(self, step: str) -> str:
        """Which step of how many, how long since the start, about how long is left."""
        return f"{self.place(step)}, {span(self.elapsed)} gone{self.left_text()}"

    def place(self, step: str) -> str:
        """Which step of how many."""
        return f"step {self._order.get(step, 0)} of {len(self._order)}"

    def left_text(self) -> str:
        """About how long is left, after a comma; nothing if nothing is left or known."""
        if not any(self._left.values()):
            return ""
        seconds, complete = self.left()
        if not seconds and not complete:
            return ", time left not known"
        return f", about {span(seconds)}{'' if complete else ' or more'} left"


@contextmanager
def plan_progress(plan: Plan, workers: int = 1) -> Iterator[Callable[[Outcome], None]]:
    """Progress of a plan on standard error: a live bar on a terminal, else lines."""
    pace, total = Pace(plan, workers), sum(len(p.step.units) for p in plan.steps)
    with _display(total, pace) as advance:

        def listen(outcome: Outcome) -> None:
            pace.take(outcome)
            advance(outcome)

        yield listen


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """Progress of so many units on standard error: a bar on a terminal, else lines."""
    with _display(total, None) as advance:
        yield advance


@contextmanager
def _display(total: int, pace: Pace | None) -> Iterator[Callable[[Outcome], None]]:
    if not sys.stderr.isatty():
        yield _plain(total, pace)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _live(bar, total, pace)


def _live(bar: Progress, total: int, pace: Pace | None) -> Callable[[Outcome], None]:
    task = bar.add_task("starting", total=total, left="" if pace is None else pace.left_text().lstrip(", "))

    def advance(outcome: Outcome) -> None:
        where = "" if pace is None else f"{pace.place(outcome.step)} "
        bar.update(
            task,
            advance=1,
            description=f"{where}{outcome.step}/{outcome.unit} {outcome.status}",
            left="" if pace is None else pace.left_text().lstrip(", "),
        )

    return advance


def _plain(total: int, pace: Pace | None) -> Callable[[Outcome], None]:
    seen = 0
    last = ""

    def advance(outcome: Outcome) -> None:
        nonlocal seen, last
        seen += 1
        new_step, last = outcome.step != last, outcome.step
        few = total <= MOST_LINES or seen % max(1, total // MOST_LINES) == 0 or seen == total
        if few or outcome.status == "failed" or (new_step and outcome.status == "done"):
            more = f" ({pace.text(outcome.step)})" if pace is not None and outcome.status != "cached" else ""
            sys.stderr.write(
                f"[{seen}/{total}] {outcome.step}/{outcome.unit} {outcome.status} {outcome.seconds:.1f} s{more}\n"
            )

    return advance
