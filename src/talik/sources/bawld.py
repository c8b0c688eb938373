"""Land cover of half-degree cells from tables of BAWLD (Olefeldt et al. 2021, Earth Syst. Sci. Data 13, 5127-5149)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from talik.errors import InputError
from talik.provenance import hash_file
from talik.regions.ellipsoid import band_area_m2
from talik.regions.sphere import wrap_longitude
from talik.sources.bawld_classes import CLASSES, PARENTS
from talik.sources.table_file import read_table

Array = npt.NDArray[np.float64]
CODES = tuple(CLASSES)
AREA_COLUMNS = ("Shp_Area", "Shape_Area")
MONTHS = tuple(f"CD_Tmp_m{m}" for m in range(12))
ANNUAL = "CD_Tmp_An"
CELL_DEGREES = 0.5
AREA_TOLERANCE = 0.005
"""Share of a whole cell by which its area may differ from that of the ellipsoid."""
ROUNDING = 0.02
"""Percent points by which one printed share may be off; a sum of n shares by n times this."""
COLDEST, WARMEST = -60.0, 45.0
"""Monthly means of air temperature outside these, degC, do not exist."""
WETSCAPES = (1, 15)
NAMED = 3


def read_bawld(path: str | Path) -> xr.Dataset:
    """Land cover of BAWLD cells, from a CSV table (gzipped or not) with one or several rows a cell.

    The Dataset has dimensions (cell, cover) with `cover` the 19 class codes, and (cell, month) for temperature, cells
    in ascending order of `cell_id`. Coordinates: `cell_id`, `lat`, `lon` (centres, degrees, -180..180).

    fraction : share of `cell_area`, 0..1. fraction_low, fraction_high : its 95 % limits; absent if the file has none.
    cell_area : m2, as in the file. It is the part of the cell inside the domain of BAWLD (on coasts without the sea),
        and the classes add up to it: area of a class = fraction x cell_area, *not* times `domain_share` again.
    domain_share : share of the whole half-degree cell that is `cell_area`, 0..1.
    wetscape : class 1..15 of the cell. tair (cell, month), tair_annual : degC. Absent if the file has none.

    Attribute `notes` says what was left out or is off by rounding. Rows without a cell are left out and noted.

    Raises:
        InputError: a class column is missing or unknown; rows of one cell contradict each other; shares that are
            missing, negative, above 100 %, fractions in place of percent, outside their limits, or that do not add up
            to their parent and to 100 %; centres off the half-degree grid; areas that are not those of the cells on
            the WGS84 ellipsoid times the share in the domain.
    """
    path = Path(path)
    table, notes = read_table(path)
    notes = [f"{path.name}: {n}" for n in notes]
    limits = _check_columns(table, path)
    cells = _one_row_a_cell(_numeric(table, _wanted(table, limits), path), path, notes)
    _check_places(cells, path)
    _check_shares(cells, path)
    if limits:
        _check_limits(cells, path, notes)
    _check_sums(cells, path)
    _check_areas(cells, path)
    return _dataset(cells, limits, path).assign_attrs(
        source="BAWLD land cover (Olefeldt et al. 2021)",
        source_file=path.name,
        basis="part of the cell inside the BAWLD domain",
        notes=notes,
        talik_inputs=json.dumps({path.name: hash_file(path)}, sort_keys=True),
    )


def _check_columns(table: pd.DataFrame, path: Path) -> bool:
    """Whether the file has limits; InputError for missing and unknown columns."""
    columns = {str(c) for c in table.columns}
    missing = [c for c in ("Cell_ID", "Lat", "Long", "Area_Pct", *CODES, *PARENTS) if c not in columns]
    if not columns & set(AREA_COLUMNS):
        missing.append(" or ".join(AREA_COLUMNS))
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; expected the 19 classes of BAWLD with their parents "
            f"{', '.join(PARENTS)}, Cell_ID, Long, Lat, Area_Pct and the area in m2. Add or rename the columns."
        )
    stems = {c[:-2] for c in columns if re.fullmatch(r"[A-Z]{3}_[LH]", c)}
    unknown = sorted(stems - set(CODES) - set(PARENTS))
    if unknown:
        raise InputError(
            f"{path}: limits of {', '.join(unknown)}, which is no class of BAWLD; known are {', '.join(CODES)}. "
            "Rename or remove the columns."
        )
    wanted = {f"{c}_{end}" for c in CODES for end in "LH"}
    if stems and wanted - columns:
        raise InputError(
            f"{path}: some limits are missing: {', '.join(sorted(wanted - columns))}; expected XXX_L and XXX_H "
            "of every class, or of none. Complete them, or remove them all."
        )
    months = [c for c in (*MONTHS, ANNUAL) if c in columns]
    if months and len(months) < len(MONTHS) + 1:
        raise InputError(
            f"{path}: has temperatures {months[0]}..{months[-1]} ({len(months)} columns); expected {MONTHS[0]} to "
            f"{MONTHS[-1]} and {ANNUAL}, or none of them."
        )
    return bool(stems)


def _wanted(table: pd.DataFrame, limits: bool) -> list[str]:
    area = next(c for c in AREA_COLUMNS if c in table)
    shares = [*CODES, *PARENTS]
    ends = [f"{c}_{end}" for c in CODES for end in "LH"] if limits else []
    extra = [c for c in ("WETSCAPE", *MONTHS, ANNUAL) if c in table]
    return ["Cell_ID", "Lat", "Long", "Area_Pct", area, *shares, *ends, *extra]


def _numeric(table: pd.DataFrame, columns: list[str], path: Path) -> pd.DataFrame:
    """The columns as float64, the area called `area`."""
    out = {}
    for name in columns:
        values = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
        text = table[name][values.isna() & table[name].notna()]
        if len(text) or np.isinf(values).any():
            told = repr(text.iloc[0]) if len(text) else "an infinite value"
            raise InputError(f"{path}: column {name} holds {told}; expected numbers. Correct the table.")
        out["area" if name in AREA_COLUMNS else name] = values
    return pd.DataFrame(out)


def _one_row_a_cell(rows: pd.DataFrame, path: Path, notes: list[str]) -> pd.DataFrame:
    """One row a cell, by ascending number; rows without a cell are noted, contradictions are errors."""
    empty = rows["Cell_ID"].isna()
    held = [c for c in (*CODES, *PARENTS, "area") if c in rows]
    orphans = empty & rows[held].notna().any(axis=1)
    if orphans.any():
        raise InputError(
            f"{path}: {int(orphans.sum())} rows have land cover but no Cell_ID. Add it, or empty these rows."
        )
    if empty.any():
        notes.append(f"{path.name}: {int(empty.sum())} of {len(rows)} rows name no cell and are left out")
    rows = rows[~empty]
    if rows.empty:
        raise InputError(f"{path}: no row has a Cell_ID; expected one or more. Give the table of the cells.")
    cells = rows.drop_duplicates().sort_values("Cell_ID", kind="stable")
    twice = cells[cells["Cell_ID"].duplicated(keep=False)]
    if len(twice):
        first = twice[twice["Cell_ID"] == twice["Cell_ID"].iloc[0]]
        differ = [c for c in first.columns if first[c].nunique(dropna=False) > 1]
        raise InputError(
            f"{path}: rows of one cell contradict each other in {twice['Cell_ID'].nunique()} cells, first "
            f"{first['Cell_ID'].iloc[0]:g} in {', '.join(differ[:NAMED])}; expected the same land cover in each. "
            "Correct or remove one."
        )
    optional = [c for c in cells if c == "WETSCAPE"]
    gaps = [str(c) for c in cells if c not in optional and cells[c].isna().any()]
    if gaps:
        count = int(cells[gaps].isna().any(axis=1).sum())
        raise InputError(
            f"{path}: {count} of {len(cells)} cells lack values of {', '.join(gaps[:NAMED])}; expected a number in "
            "every column of a cell (0 where a class is absent). Fill or remove these rows."
        )
    return cells.reset_index(drop=True)


def _fail(cells: pd.DataFrame, wrong: pd.Series | npt.NDArray[np.bool_], path: Path, what: str) -> None:
    """InputError that says how many cells are wrong and names the first."""
    bad = np.flatnonzero(np.asarray(wrong))
    if bad.size:
        named = ", ".join(f"{cells['Cell_ID'][i]:g}" for i in bad[:NAMED])
        raise InputError(f"{path}: {bad.size} of {len(cells)} cells (first Cell_ID {named}): {what}")


def _check_places(cells: pd.DataFrame, path: Path) -> None:
    lat, lon = cells["Lat"], cells["Long"]
    _fail(cells, lat.abs() >= 90.0, path, "Lat beyond 90 degrees. Are Lat and Long exchanged?")
    _fail(cells, (lon < -180.0) | (lon > 360.0), path, "Long outside -180..360 degrees. Correct it.")
    off = [np.abs(np.mod(v / CELL_DEGREES, 1.0) - 0.5) > 1e-3 for v in (lat, lon)]
    _fail(
        cells,
        off[0] | off[1],
        path,
        "Lat, Long are no centres of half-degree cells (such as 68.25, 19.25). Give centres, not corners or sites.",
    )
    if "WETSCAPE" in cells:
        found = cells["WETSCAPE"]
        strange = found.notna() & ((found % 1 != 0) | ~found.between(*WETSCAPES))
        _fail(cells, strange, path, f"WETSCAPE is none of {WETSCAPES[0]}..{WETSCAPES[1]}. Correct it.")
    if ANNUAL in cells:
        held = cells[[*MONTHS, ANNUAL]]
        wrong = ((held < COLDEST) | (held > WARMEST)).any(axis=1)
        remedy = f"air temperature outside {COLDEST:g}..{WARMEST:g} degC. Is it in kelvin?"
        _fail(cells, wrong, path, remedy)


def _check_shares(cells: pd.DataFrame, path: Path) -> None:
    """Percent, 0 to 100."""
    total = cells[list(CODES)].sum(axis=1)
    if ((total - 1.0).abs() < 0.02).all():
        raise InputError(
            f"{path}: the classes add up to 1 in every cell; expected percent, which add up to 100. Multiply by 100."
        )
    for name in [c for c in cells if str(c)[:3] in (*CODES, *PARENTS)]:
        wrong = (cells[name] < 0.0) | (cells[name] > 100.0 + ROUNDING)
        _fail(cells, wrong, path, f"{name} lies outside 0..100 %. Correct it; mark missing cells as empty.")
    share = cells["Area_Pct"]
    _fail(cells, (share <= 0.0) | (share > 100.0 + ROUNDING), path, "Area_Pct lies outside 0..100 %.")


def _check_limits(cells: pd.DataFrame, path: Path, notes: list[str]) -> None:
    """low <= value <= high; what rounding explains is noted."""
    for end, sign in (("L", 1.0), ("H", -1.0)):
        limit = cells[[f"{c}_{end}" for c in CODES]].to_numpy()
        beyond = sign * (limit - cells[list(CODES)].to_numpy())
        word = "above" if end == "L" else "below"
        wrong = beyond > ROUNDING + 1e-9
        if wrong.any():
            cell, code = (int(i[0]) for i in np.nonzero(wrong))
            raise InputError(
                f"{path}: {int(wrong.sum())} limits XXX_{end} lie {word} their value, first {CODES[code]}_{end} of "
                f"cell {cells['Cell_ID'][cell]:g} by {beyond[cell, code]:g} percent points; expected low <= value "
                "<= high. Are columns exchanged?"
            )
        slight = int((beyond > 1e-9).sum())
        if slight:
            notes.append(f"{path.name}: {slight} limits XXX_{end} lie {word} their value by rounding")


def _check_sums(cells: pd.DataFrame, path: Path) -> None:
    for parent, parts in PARENTS.items():
        off = (cells[parent] - cells[list(parts)].sum(axis=1)).abs()
        what = (
            f"{parent} is not {' + '.join(parts)} (up to {off.max():.3g} percent points). Correct the table."
        )
        _fail(cells, off > ROUNDING * len(parts) + 1e-9, path, what)
    off = (cells[list(CODES)].sum(axis=1) - 100.0).abs()
    what = f"the 19 classes do not add up to 100 % (off by up to {off.max():.3g}). Is a class missing?"
    _fail(cells, off > ROUNDING * len(CODES) + 1e-9, path, what)


def _check_areas(cells: pd.DataFrame, path: Path) -> None:
    half = CELL_DEGREES / 2.0
    whole = band_area_m2(cells["Lat"] - half, cells["Lat"] + half, CELL_DEGREES)
    expected = whole * cells["Area_Pct"] / 100.0
    off = np.asarray((cells["area"] - expected).abs() / whole)
    worst = int(np.argmax(off))
    what = (
        f"the area is not that of the half-degree cell on the ellipsoid times Area_Pct, first by most "
        f"{cells['area'][worst]:.6g} in place of {expected[worst]:.6g} m2. Expected m2 of the part inside the domain."
    )
    _fail(cells, off > AREA_TOLERANCE, path, what)


def _dataset(cells: pd.DataFrame, limits: bool, path: Path) -> xr.Dataset:
    def column(name: str) -> Array:
        return cells[name].to_numpy(dtype=np.float64)

    def shares(end: str) -> Array:
        return cells[[f"{c}{end}" for c in CODES]].to_numpy(dtype=np.float64) / 100.0

    area = {"units": "m2", "standard_name": "cell_area", "origin": f"{path.name}, inside the BAWLD domain"}
    out = xr.Dataset(
        {
            "fraction": (("cell", "cover"), shares(""), _share("share of cell_area")),
            "cell_area": ("cell", column("area"), area),
            "domain_share": (
                "cell",
                column("Area_Pct") / 100.0,
                _share("share of the whole half-degree cell inside the BAWLD domain"),
            ),
        },
        coords={
            "cover": ("cover", np.array(CODES), {"long_name": "land-cover class of BAWLD"}),
            "cover_name": ("cover", np.array([c.name for c in CLASSES.values()])),
            "cell_id": ("cell", column("Cell_ID").astype(np.int64), {"long_name": "Cell_ID of BAWLD"}),
            "lat": ("cell", column("Lat"), {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": (
                "cell",
                wrap_longitude(column("Long")),
                {"standard_name": "longitude", "units": "degrees_east"},
            ),
        },
    )
    if limits:
        out["fraction_low"] = (("cell", "cover"), shares("_L"), _share("lower 95 % limit of fraction"))
        out["fraction_high"] = (("cell", "cover"), shares("_H"), _share("upper 95 % limit of fraction"))
    if "WETSCAPE" in cells:
        out["wetscape"] = ("cell", column("WETSCAPE"), _share("wetscape of BAWLD, 1 to 15"))
    if ANNUAL in cells:
        attrs = {"units": "degC", "standard_name": "air_temperature", "long_name": "monthly air temperature"}
        out["tair"] = (("cell", "month"), cells[list(MONTHS)].to_numpy(dtype=np.float64), attrs)
        out["tair_annual"] = ("cell", column(ANNUAL), {**attrs, "long_name": "annual air temperature"})
        out = out.assign_coords(month=("month", np.arange(1, 13), {"long_name": "calendar month"}))
    return out


def _share(long_name: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name}
