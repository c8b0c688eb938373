"""A post as a row of a file: the keys of YAML and CSV, read with every mistake named, and written."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

from talik.errors import PostError
from talik.posts.post import GASES, Post
from talik.yamlio import PrintedFloat

REQUIRED = ("id", "gas", "mean", "low", "high", "unit", "region", "period", "approach", "source")
OPTIONAL = ("part_of", "origin", "covers", "partly", "area_mkm2", "members", "note", "rounding", "sum_of")
_TEXTS = ("id", "gas", "unit", "region", "period", "approach", "source", "part_of", "origin", "note")


def read_rows(text: str, name: str) -> list[tuple[str, dict[str, str]]]:
    """Rows of CSV text with a header line, each with its place ("file, line 3"); empty cells are absent values."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as err:
        raise PostError(f"{name}, line {reader.line_num}: not readable as CSV: {err}.") from err
    header = list(reader.fieldnames or [])
    check_keys(header, REQUIRED, OPTIONAL, f"{name}, line 1")
    entries = []
    for line, row in rows:
        if None in row or None in row.values():
            raise PostError(
                f"{name}, line {line}: {len(header)} columns expected. Quote cells that contain commas, "
                "and write decimals with a point."
            )
        entries.append((f"{name}, line {line}", {k: v.strip() for k, v in row.items() if v.strip()}))
    return entries


def post_of(raw: Mapping[str, Any], where: str) -> Post:
    """The post of a row; PostError names `where` and the key."""
    check_keys(list(raw), REQUIRED, OPTIONAL, where, unit_hint=True)
    for key in _TEXTS:
        if key in raw and not isinstance(raw[key], str):
            raise PostError(f"{where}: {key} must be text; found {raw[key]!r}. Put it in quotes.")
    mean, low, high = (a_number(raw[key], key, where) for key in ("mean", "low", "high"))
    if "rounding" in raw:
        given = str(raw["rounding"]).split()
        units = [a_number(word, "rounding", where) for word in (given * 3 if len(given) == 1 else given)]
        if len(units) != 3:
            raise PostError(
                f"{where}: rounding is {raw['rounding']!r}; expected one unit, or three of mean, low, high."
            )
    else:
        units = [printed_unit(raw[key]) for key in ("mean", "low", "high")]
    members = a_number(raw["members"], "members", where) if "members" in raw else None
    return Post(
        id=raw["id"],
        gas=raw["gas"],
        mean=mean,
        low=low,
        high=high,
        unit=raw["unit"],
        region=raw["region"],
        period=raw["period"],
        approach=raw["approach"],
        source=raw["source"],
        part_of=raw.get("part_of"),
        origin=raw.get("origin"),
        covers=frozenset(words(raw.get("covers", ""), "covers", where)),
        partly=frozenset(words(raw.get("partly", ""), "partly", where)),
        rounding=(units[0], units[1], units[2]),
        area_mkm2=a_number(raw["area_mkm2"], "area_mkm2", where) if "area_mkm2" in raw else None,
        members=int(members) if members is not None else None,
        note=raw.get("note", ""),
        where=where,
    )


def row_of(post: Post) -> dict[str, Any]:
    """A post as a row, without keys that have no value; `post_of` gives the same post back."""
    row = {key: value for key, value in post.to_dict().items() if key in REQUIRED + OPTIONAL}
    row |= {key: " ".join(row[key]) for key in ("covers", "partly")}
    row["rounding"] = " ".join(
        map(repr, post.rounding[:1] if len(set(post.rounding)) == 1 else post.rounding)
    )
    return {key: value for key, value in row.items() if value not in (None, "")}


def to_csv(posts: Iterable[Post]) -> str:
    """Posts as CSV text that `read_rows` reads."""
    out = io.StringIO()
    table = csv.DictWriter(out, [*REQUIRED, *OPTIONAL[:-1]], lineterminator="\n")
    table.writeheader()
    table.writerows(row_of(post) for post in posts)
    return out.getvalue()


def check_keys(
    found: list[Any],
    required: tuple[str, ...],
    optional: tuple[str, ...],
    where: str,
    unit_hint: bool = False,
) -> None:
    """PostError for an unknown key, or for one that is required and missing."""
    for key in found:
        if key not in required + optional:
            raise PostError(f"{where}: unknown key {key!r}; known are {', '.join(required + optional)}.")
    for key in required:
        if key not in found:
            units = f" (one of: {'; '.join(GASES.values())})" if unit_hint and key == "unit" else ""
            raise PostError(f"{where}: {key} is missing{units}.")


def a_number(value: Any, key: str, where: str) -> float:
    """A finite or non-finite float from a YAML number or CSV text; text that is no plain number is an error."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise PostError(f"{where}: {key} must be a number; found {value!r}.")
    if isinstance(value, str) and ("_" in value or not value.strip()):
        raise PostError(f"{where}: {key} must be a number; found {value!r}.")
    try:
        return float(value)
    except ValueError as err:
        hint = " Write decimals with a point." if "," in str(value) else ""
        raise PostError(f"{where}: {key} must be a number; found the text {value!r}.{hint}") from err


def printed_unit(value: Any) -> float:
    """Unit of the last printed digit: 1 for ``12``, 0.1 for ``2.9`` or ``25.0``; NaN stays NaN-safe (1)."""
    text = value.text if isinstance(value, PrintedFloat) else str(value)
    mantissa, _, exponent = text.lower().partition("e")
    if not math.isfinite(float(text)):
        return 1.0
    decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return float(f"1e{-decimals}")


def words(value: Any, key: str, where: str) -> list[str]:
    """A list of words, from a YAML list or text separated by blanks, ``+`` or ``;``."""
    if isinstance(value, str):
        return value.replace("+", " ").replace(";", " ").split()
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        return value
    raise PostError(f"{where}: {key} must be a list of names; found {value!r}.")
