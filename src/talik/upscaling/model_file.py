"""Model files: a zip of JSON and NumPy arrays, no code in it, every byte accounted for.

The file holds what a model needs to predict, to be explained and to be judged for years: schema, settings, seed,
metrics, hash of the training data, and (unless left out) the training rows themselves.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from talik.errors import ConfigError, InputError
from talik.files import whole_file
from talik.provenance import code_version, hash_bytes
from talik.upscaling.learner import Arrays

FORMAT = "talik-model-1"
_UNREADABLE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    EOFError,
    KeyError,
    ValueError,  # also of JSON and of text that is not UTF-8
    NotImplementedError,  # a compression that zipfile does not know
    RuntimeError,  # an encrypted member
)
"""What a damaged archive raises in one place or another."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGEST = 8 * 2**30
"""A member that claims to be larger than this (bytes) is not read."""


def write_model(path: Path, facts: dict[str, Any], arrays: Arrays) -> Path:
    """Write a model file; the same model gives the same bytes. Returns `path`."""
    content = {f"{name}.npy": _npy(array) for name, array in sorted(arrays.items())}
    head = {
        "format": FORMAT,
        "talik": code_version(),
        "sha256": {name: hash_bytes(part) for name, part in content.items()},
        **facts,
    }
    text = json.dumps(head, sort_keys=True, indent=1, allow_nan=False).encode()
    with (
        whole_file(Path(path)) as part,
        zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive,
    ):
        for name, data in {"model.json": text, "model.sha256": hash_bytes(text).encode(), **content}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return Path(path)


def read_model(path: Path, leave_out: str = "") -> tuple[dict[str, Any], Arrays]:
    """Facts and arrays of a model file, checked byte for byte against the hashes inside.

    Arrays whose name starts with `leave_out` are not read.

    The hashes find damage, not malice: who can change an array can change its hash. No content is ever executed.

    Raises:
        InputError: not a model file, of a later format, truncated or changed.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive, leave_out)
    except _UNREADABLE as err:
        raise _damaged(path, str(err)) from err


def _read(path: Path, archive: zipfile.ZipFile, leave_out: str) -> tuple[dict[str, Any], Arrays]:
    huge = [i.filename for i in archive.infolist() if i.file_size > _LARGEST]
    if huge:
        raise _damaged(path, f"{huge[0]} is larger than any model")
    text = archive.read("model.json")
    if archive.read("model.sha256").decode() != hash_bytes(text):
        raise _damaged(path, "model.json was changed")
    head = json.loads(text)
    if head.get("format") != FORMAT:
        raise ConfigError(
            f"{path}: model format {head.get('format')!r}; this talik reads {FORMAT!r}. Update talik or train again."
        )
    arrays = {}
    for name, digest in head["sha256"].items():
        if leave_out and name.startswith(leave_out):
            continue
        data = archive.read(name)
        if hash_bytes(data) != digest:
            raise _damaged(path, f"{name} was changed")
        arrays[name.removesuffix(".npy")] = np.load(io.BytesIO(data), allow_pickle=False)
    return {k: v for k, v in head.items() if k != "sha256"}, arrays


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"{path}: not a whole talik model file ({why}). Copy it again, or train the model again."
    )
