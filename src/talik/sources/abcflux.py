"""ABCflux: the published database in both versions, and the authors' training tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from talik.errors import InputError
from talik.sources.predictors import PREDICTORS, to_physical
from talik.sources.site_table import SiteTable, numbers, tidy

V1_TO_V2: Mapping[str, str] = MappingProxyType(
    {
        "study_id": "site_id",
        "meas_year": "year",
        "interval_month": "month",
        "tair_int": "tair",
        "precip_int": "precip",
        "par_ppfd": "ppfd",
        "sol_depth": "soil_depth",
        "soil_perc_carbon": "soil_perc_c",
        "gap_fill_perc": "gap_fill_perc_nee",
        "citation": "citation_co2",
        "extraction_source": "extraction_source_co2",
        "chamber_nr_measurement_days": "chamber_nr_measurement_days_co2",
    }
)
"""Columns whose name changed from version 1 to version 2; the others keep theirs."""

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "ec": "EC",
        "eddy covariance": "EC",
        "ch": "Chamber",
        "chamber": "Chamber",
        "5-min chamber flux": "Chamber",
        "diff": "Diffusion",
        "diffusion": "Diffusion",
    }
)
"""Spellings of the flux method in the source tables, lower case."""

PARTITION_ORDER = ("reichstein", "lasslop")
"""Of several tower rows of one month the first of these gives GPP and Reco, other methods between them."""

AVERAGED = ("Chamber", "Diffusion")
"""Methods whose rows of one site and month are averaged."""

CANONICAL: Mapping[str, str] = MappingProxyType(
    {
        "latitude": "lat",
        "longitude": "lon",
        "ch4_flux_total": "ch4",
        "gap_fill_perc_nee": "gap_fill_perc",
    }
)
"""Columns of version 2 that have another name in talik."""

SITE_MEASURED = ("soil_moisture", "ndvi", "soil_ph")
"""Columns measured at the site in units of its own; the gridded predictors of these names are something else."""

_TEXT_NUMBERS = ("gap_fill_perc", "gap_fill_perc_ch4", "precip", "tair", "tsoil_surface", "disturb_year")
_LAND_COVER = "landcover_"
_SOURCE = "_row"


def is_v1(table: pd.DataFrame) -> bool:
    """Version 1 as released by ORNL DAAC (doi:10.3334/ORNLDAAC/1934)."""
    return {"study_id", "meas_year", "interval_month"} <= set(map(str.lower, map(str, table.columns)))


def is_v2(table: pd.DataFrame) -> bool:
    """Version 2, published or as in the pre-release of April 2024."""
    return {"site_name", "site_reference", "year", "month", "ch4_flux_total"} <= set(table.columns)


def is_training_table(table: pd.DataFrame) -> bool:
    """A training table of the authors (abcflux-v1-ml): a site number, a flux, and predictors by source product."""
    return {"site", "month", "tsoil_era5_l1", "snowcover_era5"} <= set(table.columns)


def read_v1(path: Path, table: pd.DataFrame) -> SiteTable:
    """Version 1; GPP is stored negative and comes out as a magnitude."""
    rows = table.rename(columns={c: str(c).lower() for c in table.columns}).rename(columns=dict(V1_TO_V2))
    return _database(path, rows, "abcflux-v1")


def read_v2(path: Path, table: pd.DataFrame) -> SiteTable:
    """Version 2; one row a site and month: of several partitionings Reichstein's, chambers averaged."""
    rows = table.copy()
    if "site_id" not in rows:
        reference = rows["site_reference"].where(rows["site_reference"].notna(), "-")
        rows["site_id"] = rows["site_name"].astype(str) + " | " + reference.astype(str)
    if "vegetation" not in rows:
        given = rows.get("land_cover_bawld_norm", rows.get("land_cover_bawld"))
        if given is not None:
            rows["vegetation"] = (
                given.astype("string").str.strip().str.title().replace({"Wet Tundra": "Tundra Wetland"})
            )
    return _database(path, rows, "abcflux-v2")


def read_training_table(path: Path, table: pd.DataFrame) -> SiteTable:
    """A training table of the authors: predictors to physical units, classes from their dummies.

    Of the land-cover classes only those with a column of their own are known; the rest is the class "other".
    """
    rows = pd.DataFrame(index=table.index)
    rows["site_id"] = table["site"].map(lambda v: f"{v:03.0f}" if isinstance(v, int | float) else str(v))
    rows["year"], rows["month"] = table["year"], table["month"]
    notes = [
        "fluxes in g C m-2 month-1 as documented",
        "predictors from the products' integers to physical units; other columns as they are",
    ]
    for flux in ("nee", "gpp", "reco"):
        if f"{flux}_obs" in table:
            values = numbers(table[f"{flux}_obs"], path)
            rows[flux] = -values if flux == "gpp" else values
    if "gpp" in rows:
        notes.insert(0, "GPP is stored negative; sign changed")
    if "latitude" in table and "longitude" in table:
        rows["lat"], rows["lon"] = table["latitude"], table["longitude"]
    taken = {"site", "year", "month", "latitude", "longitude", "nee_obs", "gpp_obs", "reco_obs"}
    for predictor in PREDICTORS.values():
        for column, stored in predictor.columns.items():
            if column in table and predictor.name not in rows:
                rows[predictor.name] = to_physical(numbers(table[column], path), predictor.name, stored)
                taken.add(column)
    covers = [c for c in table.columns if str(c).startswith(_LAND_COVER)]
    if len(covers) > 1:
        rows["vegetation_type"] = _class_of(table[covers])
        taken |= set(covers)
        notes.append("vegetation_type from land-cover dummies; classes without one are 'other'")
    others = [c for c in table.columns if c not in taken and c not in rows]
    rows = pd.concat([rows, table[others]], axis=1)
    return SiteTable(tidy(rows, path), "abcflux-v1-ml", tuple(notes), (), headed=None)


def _class_of(dummies: pd.DataFrame) -> pd.Series:
    known = dummies.notna().all(axis=1)
    codes = np.array([str(c).removeprefix(_LAND_COVER) for c in dummies.columns], object)
    values = dummies.fillna(0).to_numpy()
    label = np.where(values.max(axis=1) > 0, codes[values.argmax(axis=1)], "other")
    return pd.Series(label, index=dummies.index).where(known)


def _database(path: Path, rows: pd.DataFrame, version: str) -> SiteTable:
    notes = ["fluxes in g C m-2 month-1 as documented"]
    own = [name for name in SITE_MEASURED if name in rows]
    if own:
        notes.append(f"{', '.join(own)} as measured at the site, in mixed units: now with the ending _site")
    rows = rows.rename(columns={name: f"{name}_site" for name in own})
    for theirs, ours in CANONICAL.items():
        if theirs in rows:
            known = rows.pop(theirs)
            rows[ours] = known.where(known.notna(), rows[ours]) if ours in rows else known
    for name in _TEXT_NUMBERS:
        if name in rows and not pd.api.types.is_numeric_dtype(rows[name]):
            rows[name] = _from_text(rows[name], path)
    for name in ("nee", "gpp", "reco", "ch4", "lat", "lon"):
        if name in rows:
            rows[name] = numbers(rows[name], path)
    if "gpp" not in rows and "nee" not in rows and "ch4" not in rows:
        raise InputError(f"{path}: {version} table without nee, gpp or ch4_flux_total; is it a site list?")
    if "gpp" in rows:
        rows["gpp"] = -rows["gpp"]
        notes.insert(0, "GPP is stored negative; sign changed")
    if "flux_method" in rows:
        rows["flux_method"] = _methods(rows["flux_method"], path)
    rows = _several_methods(rows)
    before = len(rows)
    rows = _one_row_a_month(rows)
    source = rows.pop(_SOURCE).to_numpy(np.int64)
    dropped = [("another row of the same site and month (partitioning or plot)", before - len(rows))]
    if version == "abcflux-v2":
        notes.append("ch4_flux_total taken as g C m-2 month-1 (the source gives no unit)")
    lost = tuple(d for d in dropped if d[1])
    return SiteTable(tidy(rows, path, source), version, tuple(notes), lost, source, headed=None)


def _methods(column: pd.Series, path: Path) -> pd.Series:
    given = column.astype(object).where(column.notna())
    known = given.map(lambda v: METHODS.get(str(v).strip().lower()) if v is not None and v == v else None)
    bad = sorted({str(v) for v in given[known.isna() & given.notna()]})
    if bad:
        raise InputError(
            f"{path}: flux_method {', '.join(bad[:5])} is unknown; expected one of {', '.join(METHODS)}"
        )
    return known


def _several_methods(rows: pd.DataFrame) -> pd.DataFrame:
    """A place with towers and chambers is one site for each method."""
    if "flux_method" not in rows:
        return rows
    methods = rows.groupby("site_id")["flux_method"].transform("nunique")
    split = (methods > 1) & rows["flux_method"].notna()
    rows["site_id"] = rows["site_id"].where(~split, rows["site_id"] + " | " + rows["flux_method"].astype(str))
    return rows


def _one_row_a_month(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a site, year and month; rows without a site or a date stay.

    The column `_SOURCE` says which row of `rows` each is, of several the best. Towers: GPP and Reco of one row, the
    first in the order of partition methods that has either; of the other columns the first value there is. Chambers and
    diffusion: the mean of numbers.
    """
    keys = ["site_id", "year", "month"]
    rows = rows.assign(**{_SOURCE: np.arange(len(rows))})
    dated = rows[keys].notna().all(axis=1)
    ordered = rows[dated].assign(_rank=_rank(rows[dated])).sort_values([*keys, "_rank", _SOURCE])
    grouped = ordered.groupby(keys, sort=True, dropna=False)
    one = grouped.first()
    together = [c for c in ("gpp", "reco", "partition_method") if c in rows]
    if together:
        best = ordered.drop_duplicates(keys).set_index(keys)
        one[together] = best.loc[one.index, together]
    if "flux_method" in rows:
        several = ordered[ordered["flux_method"].isin(AVERAGED)]
        numeric = [c for c in several.select_dtypes("float").columns if c not in (*keys, "_rank")]
        means = several.groupby(keys, sort=True, dropna=False)[numeric].mean()
        one.loc[means.index, numeric] = means
    out = pd.concat([one.reset_index(), rows[~dated]]).sort_values(_SOURCE)
    return out.drop(columns="_rank").reset_index(drop=True)


def _rank(rows: pd.DataFrame) -> pd.Series:
    """Order of preference of rows of one month: those with a partitioned flux first, then by method."""
    empty = rows[[c for c in ("gpp", "reco") if c in rows]].isna().all(axis=1)
    if "partition_method" not in rows:
        return 3 * empty
    place = {PARTITION_ORDER[0]: 0, PARTITION_ORDER[1]: 2}
    method = [place.get(str(v).strip().lower(), 1) for v in rows["partition_method"]]
    return 3 * empty + np.array(method, np.int64)


def _from_text(column: pd.Series, path: Path) -> pd.Series:
    """Numbers that carry their unit: "35 %", "12 cm"."""
    text = column.astype(object).where(column.notna())
    stripped = text.map(
        lambda v: str(v).replace("%", "").replace("cm", "").strip() if v is not None and v == v else None
    )
    return numbers(pd.Series(stripped, index=column.index, name=column.name), path)
