"""Tables from disk as they are: CSV, gzipped CSV and Parquet."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any

import pandas as pd

from talik.errors import InputError

MISSING = ("", "NA", "NaN", "nan", "-9999", "-9999.0", "-99999", "<NA>", "N/A", "#N/A", "null", "None")
"""Entries of a text table that mean no value."""


def read_table(path: Path, labels: tuple[str, ...] = ()) -> tuple[pd.DataFrame, list[str]]:
    """A table and notes on how it was read; the format is known by its content, not by the file name.

    Text is UTF-8, else latin-1 (noted). -9999 and NA are missing values; in Parquet files -9999 is too. Columns named
    in `labels` stay the text they are in a text file (007, NA); only an empty entry is missing there.

    Raises:
        InputError: no such file, empty, damaged, or not a table.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file. Check the path.")
    content = path.read_bytes()
    notes: list[str] = []
    if content[:4] == b"PAR1":
        table = _parquet(path, content)
    else:
        if content[:2] == b"\x1f\x8b":
            content = _unzipped(path, content)
        table = _text(path, content, notes, labels)
    if not len(table.columns) or not len(table):
        raise InputError(
            f"{path}: the table has {len(table)} rows and {len(table.columns)} columns; nothing to read"
        )
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise InputError(f"{path}: column {', '.join(map(str, twice))} occurs twice. Rename or remove one.")
    return table, notes


def first_lines(path: Path, count: int) -> list[str]:
    """The first lines of a text file, unzipped if need be; fewer if it is shorter, none if it cannot be read."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            lines = [file.readline(65_536) for _ in range(count)]
    except (OSError, EOFError, zlib.error):
        return []
    return [line.decode("latin-1").removeprefix("\u00ef\u00bb\u00bf").strip() for line in lines if line]


def _parquet(path: Path, content: bytes) -> pd.DataFrame:
    import pyarrow

    try:
        table = pd.read_parquet(io.BytesIO(content), engine="pyarrow")
    except (pyarrow.ArrowException, OSError, ValueError) as err:
        raise InputError(
            f"{path}: damaged Parquet file ({str(err).splitlines()[0]}). Copy it again."
        ) from err
    numeric = table.select_dtypes("number").columns
    table[numeric] = table[numeric].mask(table[numeric].isin([-9999.0, -99999.0]))
    return table.reset_index(drop=True)


def _unzipped(path: Path, content: bytes) -> bytes:
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"{path}: damaged gzip file ({err}). Copy it again.") from err


def _text(path: Path, content: bytes, notes: list[str], labels: tuple[str, ...]) -> pd.DataFrame:
    if b"\0" in content[:4096]:
        raise InputError(f"{path}: not a table (binary content). talik reads CSV, gzipped CSV and Parquet.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
        notes.append("text is not UTF-8; read as latin-1")
    separator = _separator(text)
    try:
        header = (
            pd.read_csv(io.StringIO(text), sep=separator, nrows=0, skipinitialspace=True).columns
            if labels
            else ()
        )
        kept = [c for c in header if str(c).strip() in labels]
        missing: Any = list(MISSING)
        if kept:
            missing = {c: [""] if c in kept else list(MISSING) for c in header}
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            decimal="," if separator == ";" else ".",
            dtype=dict.fromkeys(kept, "str"),
            na_values=missing,
            keep_default_na=False,
            skipinitialspace=True,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as err:
        raise InputError(f"{path}: not a CSV table ({str(err).splitlines()[0]})") from err
    if separator == ";":
        notes.append("columns are separated by semicolons; a comma is read as the decimal sign")
    return table.rename(columns=lambda c: str(c).strip())


def _separator(text: str) -> str:
    """Comma, semicolon or tab, whichever the header has most of."""
    header = text.split("\n", 1)[0]
    return max((",", ";", "\t"), key=header.count)
