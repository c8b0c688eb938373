"""Climate that drives the process model: months of wanted cells, from NetCDF files and tables of many layouts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr

from talik.errors import ConfigError, GridError, InputError
from talik.provenance import hash_file
from talik.sources.climate_cells import Array, Cells, IntArray, Points, locate, nearest, wanted_cells
from talik.sources.climate_checks import require_climate
from talik.sources.climate_dataset import assemble
from talik.sources.climate_grids import Piece, first_values, monthly, open_grid, pieces_of
from talik.sources.climate_layouts import (
    TABLES,
    VARIABLES,
    ClimateVariable,
    Layout,
    check_layout,
    needed,
    require_one_run,
    spare_note,
)
from talik.sources.climate_months import month_name, month_number
from talik.sources.climate_tables import is_table, read_climate_table

LARGEST_HASHED = 256 * 2**20
"""Files larger than this (bytes) are not hashed: reading a cell must not read the whole file."""
SAME_PLACE_KM = 1.0
"""How far the points of two variables may lie apart and still be one cell."""


def read_climate(
    paths: str | Path | Sequence[str | Path],
    *,
    layout: Layout = "auto",
    cells: Cells | None = None,
    period: tuple[int, int] | None = None,
    calendar: str = "real",
    variables: Sequence[str] | None = None,
    lazy: bool = False,
) -> xr.Dataset:
    """Monthly climate of cells: `tas` (degC), `pr` (mm month-1, the sum of the month), `rsds` (W m-2) or `clt` (0..1).

    The Dataset has dimensions (time, cell), float64, whole calendar years without a gap; `time` is the first day of
    each month, with `time_bnds`; `lat` and `lon` (-180..180) are those of the grid points taken. Attributes say source,
    layout, calendar, notes (what was changed on reading, what is doubtful, and what the attribute `talik_note` of a
    file says) and the sha256 of the files. Values that lie below zero by round-off (0.01 mm month-1 or W m-2) are zero;
    values beyond 1e19 are missing.

    paths : NetCDF files in any order, or one table; files of a variable are joined in time.
    layout : of the files; "auto" goes by name and content. See the guide for what each expects.
    cells : (lat, lon) in degrees; the nearest grid point stands for each, in this order. None takes all that have a
    value in the first step.
    period : first and last year. None takes all years, which every variable must have.
    calendar : "real", or "as-is" to take the 12 means of a 360-day year for months.
    variables : None for tas, pr and rsds, or clt where there is no rsds; or some of these by name.
    lazy : True returns dask arrays whose values are read when they are used, and not checked: call `require_climate`.

    Raises:
        InputError: files that cannot be read, months missing or twice, values that cannot be right; all are listed.
        UnitsError: units that are missing or do not fit.
        GridError: cells outside the grid, or variables on different grids.
        ConfigError: an argument that makes no sense.
    """
    check_layout(layout)
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(p) for p in paths]
    asked = _asked_variables(variables)
    if calendar not in ("real", "as-is"):
        raise ConfigError(f"calendar {calendar!r} is unknown; choose 'real' or 'as-is'.")
    if period is not None and period[0] > period[1]:
        raise ConfigError(f"period {period} runs backwards; expected (first year, last year).")
    if not files:
        raise ConfigError("no climate files given; expected at least one path.")
    wanted = None if cells is None else wanted_cells(cells)
    if layout in TABLES or (layout == "auto" and is_table(files[0])):
        if len(files) != 1:
            raise ConfigError(f"{len(files)} tables given; expected one. Put their rows into one table.")
        climate = read_climate_table(files[0], layout, wanted, period, asked)
        climate.attrs.update(_inputs(files))
    else:
        with ExitStack() as opened:
            climate = _read_grids(files, layout, wanted, period, calendar, asked, lazy, opened)
            climate.attrs.update(_inputs(files))
            if lazy:
                opened.pop_all()
                return climate
    climate.attrs["notes"] += [f"{p.column}: {p.found}" for p in require_climate(climate)]
    return climate


def _read_grids(
    files: Sequence[Path],
    layout: Layout,
    wanted: Array | None,
    period: tuple[int, int] | None,
    calendar: str,
    asked: Sequence[ClimateVariable],
    lazy: bool,
    opened: ExitStack,
) -> xr.Dataset:
    pieces: list[Piece] = []
    grids: list[Points] = []
    told: list[str] = []
    for path in files:
        dataset = open_grid(path)
        opened.callback(dataset.close)
        told += [str(dataset.attrs["talik_note"])] if "talik_note" in dataset.attrs else []
        pieces += pieces_of(dataset, path, layout, asked, grids)
    require_one_run([p.name for p in pieces if p.name is not None])
    notes = [*told, *_calendar_notes(pieces, calendar)]
    found = {p.variable.name for p in pieces}
    read = needed(asked, found)
    notes += spare_note(read, found)
    series = {v.name: _join(sorted((p for p in pieces if p.variable is v), key=_first), period) for v in read}
    _require_same_months(series)
    places, place_notes = _places(series, wanted)
    used = {id(p.points): p.points for held in series.values() for p in held}
    index = {key: _index(points, places) for key, points in used.items()}
    arrays = {}
    for name, held in series.items():
        parts = [_part(p, index[id(p.points)], lazy) for p in held]
        arrays[name] = xr.concat(parts, dim="time", combine_attrs="override") if len(parts) > 1 else parts[0]
        arrays[name].attrs = held[0].variable.attributes(
            str(held[0].data.name), held[0].units, ", ".join(p.path.name for p in held)
        )
        notes += [n for p in held for n in (*p.points.notes, *_changes(p))]
    layouts = sorted({p.layout for held in series.values() for p in held})
    runs = sorted(
        {f"{p.name.source} {p.name.scenario}" for held in series.values() for p in held if p.name is not None}
    )
    attrs = {
        "source": ", ".join(runs or dict.fromkeys(f.name for f in files)),
        "layout": ", ".join(layouts),
        "calendar": ", ".join(sorted({p.axis.calendar for held in series.values() for p in held})),
        "notes": list(dict.fromkeys([*notes, *place_notes])),
    }
    return assemble(arrays, places, attrs)


def _part(piece: Piece, index: IntArray, lazy: bool) -> xr.DataArray:
    """Months of a piece; one that is read now gives its memory back, for there may be hundreds of files."""
    part = monthly(piece, index)
    if not lazy:
        part = part.compute()
        piece.close()
    return part


def _asked_variables(names: Sequence[str] | None) -> list[ClimateVariable]:
    unknown = sorted(set(names or ()) - set(VARIABLES))
    if unknown or (names is not None and not names):
        raise ConfigError(
            f"variables {', '.join(unknown) or 'is empty'}; choose among {', '.join(VARIABLES)}."
        )
    if names is None:
        return list(VARIABLES.values())
    return [VARIABLES[n] for n in names]


def _calendar_notes(pieces: Sequence[Piece], calendar: str) -> list[str]:
    notes = []
    for piece in pieces:
        if piece.axis.calendar != "360_day":
            continue
        if calendar == "real":
            raise InputError(
                f"{piece.where()}: calendar 360_day has months of 30 days; expected a calendar with real months. Give "
                "calendar='as-is' (in a project file `calendar: as-is`) to take its 12 monthly means as months."
            )
        notes.append("360-day calendar: its 12 monthly means are taken as months, sums are those of 30 days")
    return notes


def _join(pieces: Sequence[Piece], period: tuple[int, int] | None) -> list[Piece]:
    """The pieces of a variable within a period, in order; a gap or an overlap is an error that names the months."""
    parts = list(pieces)
    if period is not None:
        first, last = month_number(period[0], 1), month_number(period[1], 12)
        parts = [p for piece in pieces if (p := piece.within(first, last)) is not None]
        have = [pieces[0].axis.month.min(), max(p.axis.month.max() for p in pieces)]
        if not parts or have[0] > first or have[1] < last:
            raise InputError(
                f"{pieces[0].where()}: asked for {period[0]}..{period[1]}, but the files hold {month_name(have[0])}.."
                f"{month_name(have[1])}. Choose a period inside, or add files."
            )
    for one, following in pairwise(parts):
        end, start = int(one.axis.month.max()), int(following.axis.month.min())
        if start != end + 1:
            stop = min(end, int(following.axis.month.max()))
            fault = (
                f"{month_name(end + 1)}..{month_name(start - 1)} are missing between"
                if start > end
                else f"{month_name(start)}..{month_name(stop)} are in both"
            )
            raise InputError(
                f"{one.variable.name}: months {fault} {one.path} and {following.path}. Files must follow each other "
                "without a gap or an overlap; add or remove one."
            )
    return parts


def _require_same_months(series: Mapping[str, list[Piece]]) -> None:
    spans = {n: (held[0].axis.month.min(), held[-1].axis.month.max()) for n, held in series.items()}
    if len(set(spans.values())) > 1:
        runs = ", ".join(f"{n} {month_name(a)}..{month_name(b)}" for n, (a, b) in spans.items())
        low, high = max(a for a, _ in spans.values()), min(b for _, b in spans.values())
        raise InputError(
            f"climate files: variables cover different months: {runs}. Give a period inside "
            f"{month_name(low)}..{month_name(high)}, or the missing files."
        )


def _places(series: Mapping[str, list[Piece]], wanted: Array | None) -> tuple[Array, list[str]]:
    """Latitude and longitude of the points taken, (cell, 2), those of the first variable; and notes."""
    first = next(iter(series.values()))[0]
    points = first.points
    notes = []
    if wanted is not None:
        index = locate(points, wanted)
    else:
        index = points.order()
        present = np.isfinite(first_values(first))[index]
        if not present.any():
            raise InputError(f"{first.where()}: the first step holds no value at all. Copy the file again.")
        if not present.all():
            notes.append(
                f"{int((~present).sum())} of {present.size} grid points hold no {first.variable.name} and are left out"
            )
        index = index[present]
    return np.stack([points.lat[index], points.lon[index]], axis=1), notes


def _index(points: Points, places: Array) -> IntArray:
    """The points of a file at the places taken; another grid is an error."""
    index, distance = nearest(points, places[:, 0], places[:, 1])
    worst = int(np.argmax(distance))
    if distance[worst] > SAME_PLACE_KM:
        raise GridError(
            f"{points.where}: its grid differs from that of the first variable: ({places[worst, 0]:g}, "
            f"{places[worst, 1]:g}) is {distance[worst]:.0f} km from its nearest point. Regrid one of them first."
        )
    return index


def _changes(piece: Piece) -> list[str]:
    """What the values of a piece go through, as sentences."""
    name, data = piece.variable.name, piece.data
    out = []
    if data.name != name:
        out.append(f"{data.name} read as {name}")
    if piece.units != piece.variable.units:
        out.append(f"{name}: {piece.units} to {piece.variable.units}")
    if piece.axis.daily:
        out.append(f"{name}: daily {'summed' if name == 'pr' else 'averaged'} to months")
    if piece.axis.calendar in ("noleap", "365_day") and name == "pr" and piece.units != piece.variable.units:
        out.append("calendar without leap years: every February has 28 days")
    return out


def _inputs(files: Sequence[Path]) -> dict[str, str]:
    """The attributes `talik_inputs` (JSON, file name to sha256) and, for files too large to hash, `not_hashed`."""
    once = len({f.name for f in files}) == len(files)
    names = {f: f.name if once else str(f) for f in files}
    small = [f for f in files if f.stat().st_size <= LARGEST_HASHED]
    out = {"talik_inputs": json.dumps({names[f]: hash_file(f) for f in small}, sort_keys=True)}
    if len(small) < len(files):
        out["not_hashed"] = ", ".join(names[f] for f in files if f not in small)
    return out


def _first(piece: Piece) -> int:
    return int(piece.axis.month.min())
