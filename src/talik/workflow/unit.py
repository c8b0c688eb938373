"""One unit of work: a named result file that is either there, whole and with its hash, or not there."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talik.errors import ConfigError, CoverageError
from talik.files import whole_file, write_text
from talik.provenance import code_version, hash_file

Status = Literal["done", "cached", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a unit's work function gets: its name, the file to write, and the results it builds on.

    `needs` maps each needed step to its result files by unit name. The function writes the file `out` (a temporary
    name beside the final one, ending in ``.part``) and nothing else.
    """

    unit: str
    out: Path
    needs: Mapping[str, Mapping[str, Path]]


Work = Callable[[Job], None]
NOT_COMPLETE = "did not complete"
"""How the error of a unit ends that was not run because a step before it failed."""
_LONGEST = 800
"""Letters of an error that an outcome keeps."""


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
    work: Work,
    step: str,
    unit: str,
    final: Path,
    needs: Mapping[str, Mapping[str, Path]] | None = None,
    code: str | None = None,
) -> Outcome:
    """Make `final` with `work`, or skip it if it is there. Never raises for what the work does wrong.

    The result goes through `talik.files.whole_file`: after a `kill -9` it is whole or absent. Its hash is recorded
    beside it (`recorded_hash`). `code` is the code version the result's key was made with; a worker that runs
    another one fails the unit, because its result would stand under the wrong key.
    """
    start = time.perf_counter()
    if is_done(final):
        return Outcome(step, unit, "cached", 0.0)
    log = final.parent / "logs" / f"{unit}.log"
    try:
        _check_code(code)
        with whole_file(final) as part:
            work(Job(unit, part, needs or {}))
            _check_result(part)
            # first the hash, then the result: a kill between the two leaves no result without its hash
            write_text(_hash_record(final), f"{hash_file(part)}  {final.name}\n")
    except (Exception, SystemExit) as err:  # noqa: BLE001  (the one place: recorded, and judged by require_complete)
        # one line, whole: an error that lists problems says nothing in its first line
        reason = " ".join(f"{type(err).__name__}: {err}".split())[:_LONGEST]
        return Outcome(step, unit, "failed", time.perf_counter() - start, reason, _write_log(log))
    log.unlink(missing_ok=True)
    return Outcome(step, unit, "done", time.perf_counter() - start)


def is_done(final: Path) -> bool:
    """Whether a result and the record of its hash are there."""
    return final.is_file() and _hash_record(final).is_file()


def recorded_hash(final: Path) -> str:
    """SHA-256 of a result as it was when it was made; its bytes may have changed since."""
    return _hash_record(final).read_text(encoding="utf-8").partition(" ")[0]


def recorded_hashes(work: Path) -> Iterator[str]:
    """Of every result in the work folder, of any step and key."""
    for record in work.glob("*/.*.sha256"):
        yield record.read_text(encoding="utf-8").partition(" ")[0]


def remove_result(final: Path) -> None:
    """Forget a result, so that the next run makes it again."""
    final.unlink(missing_ok=True)
    _hash_record(final).unlink(missing_ok=True)


def require_complete(outcomes: Sequence[Outcome], max_failed: float = 0.0) -> None:
    """Raise CoverageError if more than the share `max_failed` of the units failed: nobody sums over a hole."""
    failed = [o for o in outcomes if o.status == "failed"]
    if len(failed) > max_failed * len(outcomes):
        first = failed[0]
        raise CoverageError(
            f"{len(failed)} of {len(outcomes)} units failed; first: {first.step}/{first.unit}: {first.error}"
            + (f" (traceback in {first.log})" if first.log else "")
        )


def _hash_record(final: Path) -> Path:
    """The file with a result's hash, in the format of sha256sum; no unit name starts with a dot."""
    return final.with_name(f".{final.name}.sha256")


def _check_code(expected: str | None) -> None:
    if expected is not None and code_version() != expected:
        raise ConfigError(
            f"this worker runs talik {code_version()}, the run was planned with {expected}. Install the same talik "
            "on every worker, do not edit it during a run, and start again."
        )


def _check_result(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
        raise IsADirectoryError(
            "the work made a folder; the result of a unit is one file (Zarr: a zip store)."
        )
    if not part.is_file():
        raise FileNotFoundError("the work wrote no file to job.out (some writers append their own suffix).")


def _write_log(log: Path) -> str:
    """Record the traceback of the error at hand; empty if there is no place for it (disk full, read-only)."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return ""
    return str(log)
