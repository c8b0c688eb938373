"""One unit of work: a named result file that is either there, whole, or not there."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talik.errors import CoverageError

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

    The result is written under a temporary name, flushed to disk and renamed: after a `kill -9` a file is whole or
    absent. Two processes that race on one unit both leave a whole file.
    """
    start = time.perf_counter()
    if final.exists():
        return Outcome(step, unit, "cached", 0.0)
    final.parent.mkdir(parents=True, exist_ok=True)
    part = final.with_name(f".{final.name}.{socket.gethostname()}-{os.getpid()}.part")
    log = final.parent / "logs" / f"{unit}.log"
    try:
        work(Job(unit, part, needs or {}))
        _flush(part)
        part.replace(final)
        _flush(final.parent)
    except Exception as err:  # noqa: BLE001  (the one place: recorded, and judged by require_complete)
        log.parent.mkdir(exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
        reason = f"{type(err).__name__}: {err}".splitlines()[0]
        return Outcome(step, unit, "failed", time.perf_counter() - start, reason, str(log))
    finally:
        part.unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    return Outcome(step, unit, "done", time.perf_counter() - start)


def remove_stale_parts(folder: Path) -> int:
    """Delete what killed processes of this machine left half written in `folder`; returns how many."""
    removed = 0
    for part in folder.glob(f".*.{socket.gethostname()}-*.part"):
        pid = part.name.rpartition("-")[2].removesuffix(".part")
        if pid.isdigit() and not is_alive(int(pid)):
            part.unlink(missing_ok=True)
            removed += 1
    return removed


def require_complete(outcomes: Sequence[Outcome], max_failed: float = 0.0) -> None:
    """Raise CoverageError if more than the share `max_failed` of the units failed: nobody sums over a hole."""
    failed = [o for o in outcomes if o.status == "failed"]
    if len(failed) > max_failed * len(outcomes):
        first = failed[0]
        raise CoverageError(
            f"{len(failed)} of {len(outcomes)} units failed; first: {first.step}/{first.unit}: {first.error}"
            + (f" (traceback in {first.log})" if first.log else "")
        )


def _flush(path: Path) -> None:
    """fsync a file or folder, where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():  # Windows cannot open folders
            return
        raise
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse fsync of folders
        if not path.is_dir():
            raise
    finally:
        os.close(handle)


def is_alive(pid: int) -> bool:
    """Whether a process of this machine still runs (a zombie does not)."""
    if os.name == "nt":
        return True  # os.kill would end the process there; leave the file
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a killed process that nobody waited for still answers signals
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
