"""One unit of work: a named result file that is either there, whole, or not there."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talik.errors import CoverageError
from talik.files import whole_file

Status = Literal["done", "cached", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a unit's work function gets: its name, the file to write, and the results it builds on.

    `needs` maps each needed step to its result files by unit name. The function writes `out` (a temporary name
    beside the final one) and nothing else.
    """

    unit: str
    out: Path
    needs: Mapping[str, Mapping[str, Path]]


Work = Callable[[Job], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a unit ended; `error` is one line, the traceback lies in `log`."""

    step: str
    unit: str
    status: Status
    seconds: float
    error: str = ""
    log: str = ""


def run_unit(
    work: Work, step: str, unit: str, final: Path, needs: Mapping[str, Mapping[str, Path]] | None = None
) -> Outcome:
    """Make `final` with `work`, or skip it if it is there. Never raises for what the work does wrong.

    The result goes through `talik.files.whole_file`: after a `kill -9` it is whole or absent.
    """
    start = time.perf_counter()
    if final.exists():
        return Outcome(step, unit, "cached", 0.0)
    log = final.parent / "logs" / f"{unit}.log"
    try:
        with whole_file(final) as part:
            work(Job(unit, part, needs or {}))
    except Exception as err:  # noqa: BLE001  (the one place: recorded, and judged by require_complete)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
        reason = f"{type(err).__name__}: {err}".splitlines()[0]
        return Outcome(step, unit, "failed", time.perf_counter() - start, reason, str(log))
    log.unlink(missing_ok=True)
    return Outcome(step, unit, "done", time.perf_counter() - start)


def require_complete(outcomes: Sequence[Outcome], max_failed: float = 0.0) -> None:
    """Raise CoverageError if more than the share `max_failed` of the units failed: nobody sums over a hole."""
    failed = [o for o in outcomes if o.status == "failed"]
    if len(failed) > max_failed * len(outcomes):
        first = failed[0]
        raise CoverageError(
            f"{len(failed)} of {len(outcomes)} units failed; first: {first.step}/{first.unit}: {first.error}"
            + (f" (traceback in {first.log})" if first.log else "")
        )
