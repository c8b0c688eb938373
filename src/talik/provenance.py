"""Where an output came from: code version, inputs by content, time."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import talik

if TYPE_CHECKING:
    import xarray as xr

_PACKAGE = Path(__file__).parent


@cache
def code_version() -> str:
    """Version of the running code: ``0.1.0``, in a checkout ``0.1.0+g1a2b3c4``, changed ``...dirty.<hash>``.

    The hash is of the package's source files, so two different dirty trees never share a version.
    """
    root = _PACKAGE.parent.parent
    if (
        not (root / ".git").exists()
        or not (root / "pyproject.toml").exists()
        or not (git := shutil.which("git"))
    ):
        return talik.__version__

    def ask(*args: str) -> str | None:
        done = subprocess.run(  # noqa: S603  (fixed arguments, the package's own folder)
            [git, "-C", str(root), *args], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "--short=12", "HEAD")
    tracked = ask("ls-files", "--error-unmatch", str(_PACKAGE / "__init__.py"))
    if commit is None or tracked is None:
        return talik.__version__
    dirty = ask("status", "--porcelain", "--", str(_PACKAGE))
    return f"{talik.__version__}+g{commit}" + (f".dirty.{_source_hash()}" if dirty else "")


def hash_bytes(content: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def now() -> dt.datetime:
    """The time to write into outputs, UTC, whole seconds; SOURCE_DATE_EPOCH if set (reproducible builds)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    when = dt.datetime.fromtimestamp(int(epoch), dt.UTC) if epoch else dt.datetime.now(dt.UTC)
    return when.replace(microsecond=0)


def history_line(step: str, config_key: str = "", when: dt.datetime | None = None) -> str:
    """One line of the CF ``history`` attribute."""
    line = f"{(when or now()).isoformat()} talik {step} code={code_version()}"
    return f"{line} config={config_key}" if config_key else line


def add_history(ds: xr.Dataset, line: str) -> xr.Dataset:
    """`ds` with `line` as the newest (first) line of its history."""
    old = ds.attrs.get("history")
    return ds.assign_attrs(history=f"{line}\n{old}" if old else line)


def describe(inputs: Mapping[str, Path], config_key: str = "") -> dict[str, Any]:
    """What made a result, for JSON: code, python, platform, time, and each input's hash and size."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "created": now().isoformat(),
        "config": config_key,
        "inputs": {
            name: {"sha256": hash_file(path), "bytes": path.stat().st_size} for name, path in inputs.items()
        },
    }


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
