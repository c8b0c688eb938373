"""Where an output came from: code version, inputs by content, time."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import talik
from talik.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

_PACKAGE = Path(__file__).parent


@cache
def code_version() -> str:
    """Version of the running code: ``0.1.0``, in a checkout ``0.1.0+g1a2b3c4``, changed ``...dirty.<hash>``.

    The hash is of the package's source files, so two different dirty trees never share a version. An installed
    copy has its plain version, also inside somebody's own repository. Taken once per process; never fails.
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
            [git, "--no-optional-locks", "-C", str(root), *args],
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
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


def fingerprint(paths: Sequence[Path]) -> str:
    """Hash of name, size and time of every file (of a folder: those inside); files are not read."""
    listed = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for one in inside:
            state = one.stat()
            listed.append((str(one.relative_to(path.parent)), state.st_size, state.st_mtime_ns))
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:16]


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


def stamp(
    ds: xr.Dataset, step: str, config_key: str = "", inputs: Mapping[str, Path] | None = None
) -> xr.Dataset:
    """`ds` with a new history line, ``talik_code`` and the inputs added to ``talik_inputs`` (JSON, name: sha256).

    Inputs recorded earlier stay. InputError if a name is already recorded with other content.
    """
    recorded: dict[str, str] = json.loads(ds.attrs.get("talik_inputs", "{}"))
    for name, path in (inputs or {}).items():
        digest = hash_file(path)
        if recorded.setdefault(name, digest) != digest:
            raise InputError(
                f"input {name!r} ({path}) has sha256 {digest[:12]}, but the dataset records {recorded[name][:12]} "
                "under that name. Give the two inputs different names."
            )
    return add_history(ds, history_line(step, config_key)).assign_attrs(
        talik_code=code_version(), talik_inputs=json.dumps(recorded, sort_keys=True)
    )


def describe(inputs: Mapping[str, Path], config_key: str = "") -> dict[str, Any]:
    """What made a result, for JSON: code, python, platform, time, and each input's hash and size."""
    return {
        "code": code_version(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "created": now().isoformat(),
        "config": config_key,
        "inputs": file_hashes(inputs),
    }


def named_from(folder: Path, inputs: Mapping[str, Path]) -> dict[str, Path]:
    """Inputs that go by their whole path, by that from the folder of a project: a result does not tell where it lies.

    One that lies elsewhere has its own name, or its whole path where that is taken. Other names stay.
    """
    folder = folder.resolve()
    out = {name: path for name, path in inputs.items() if not Path(name).is_absolute()}
    for whole, path in inputs.items():
        if whole not in out:
            at = Path(whole).resolve()
            name = at.relative_to(folder).as_posix() if at.is_relative_to(folder) else at.name
            out[name if out.get(name, path) == path else whole] = path
    return out


def store_marks(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """What tells that a store (a folder) has changed, of those that are one, by name as in `named_from`."""
    stores = named_from(folder, {str(path): path for path in paths if path.is_dir()})
    return {name: fingerprint([path]) for name, path in stores.items()}


def file_hashes(inputs: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Hash and size of files, by name."""
    return {name: {"sha256": hash_file(path), "bytes": path.stat().st_size} for name, path in inputs.items()}


def _source_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
