"""Files that are whole or absent: written under a temporary name, flushed to disk, renamed; results as JSON."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(final: Path) -> Iterator[Path]:
    """A temporary path beside `final` to write to; it becomes `final` when the block ends, or goes if it fails.

    After a `kill -9` or a power cut `final` is the old file, the new one, or absent, never half of one. Writers that
    race each leave a whole file. The temporary name carries host and process, for `remove_stale_parts`.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    owner = f"{socket.gethostname()}-{os.getpid()}"
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.{owner}.part")
    try:
        yield part
        _flush(part)
        part.replace(final)
        _flush(final.parent)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write a result as JSON, whole or not at all; ValueError for NaN or infinity, which JSON does not have."""
    return write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The result that `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def remove_stale_parts(folder: Path) -> int:
    """Delete what killed processes of this machine left half written in `folder`; returns how many."""
    removed = 0
    for part in folder.glob(f".*.{socket.gethostname()}-*.part"):
        pid = part.name.rpartition("-")[2].removesuffix(".part")
        if pid.isdigit() and not is_alive(int(pid)):
            part.unlink(missing_ok=True)
            removed += 1
    return removed


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
    except OSError:  # Windows refuses read-only handles, some network file systems refuse folders
        pass
    finally:
        os.close(handle)
