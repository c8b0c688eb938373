"""Eddy-covariance towers in a world: where they stand, when they run, what they report and get wrong.

`place_towers` puts a network where the real one is, or by area alone; `place_at` makes one tower at a given point;
`sample` is what towers at given places report, as rows of talik's own site table. Each tower draws from streams of its
own name, so that one tower more changes no other one's numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import ConfigError, InputError
from talik.files import write_text
from talik.flux.units import amount_from_rate
from talik.osse.fields import smooth_fields
from talik.osse.nature import Nature, methane_densities
from talik.osse.predictors import predictor_values
from talik.osse.settings import Towers
from talik.regions.masks import SECTORS, sector_polygons, sectors
from talik.rng import named_rng

if TYPE_CHECKING:
    import pandas as pd

Array = npt.NDArray[np.float64]
Placement = Literal["accessible", "random"]

SITES: Mapping[tuple[str, str], int] = {
    ("alaska", "Boreal"): 11,
    ("alaska", "Tundra"): 21,
    ("canada", "Boreal"): 28,
    ("canada", "Tundra"): 11,
    ("europe", "Boreal"): 24,
    ("europe", "Tundra"): 8,
    ("siberia", "Boreal"): 15,
    ("siberia", "Tundra"): 8,
}
"""Eddy-covariance sites with monthly NEE or GPP north of 49 N, by sector of `talik.regions` and biome, counted in
ABCflux v2 (April 2024; Virkkala et al. 2022, ESSD 14, 179, describe version 1). Greenland is in Europe, as there."""
ON_WETLAND: Mapping[str, float] = {"Boreal": 0.28, "Tundra": 0.77}
"""Share of these sites on bog, fen, permafrost bog or tundra wetland, of the 80 whose land cover is given."""
RECORD_SHAPE = 1.4
"""Shape of the gamma distribution of the length of records, which last 6.7 years there (standard deviation 5.5)."""
TUNDRA = ("alpine_tundra_polar_desert", "wet_tundra")
WINTER = (10, 11, 12, 1, 2, 3, 4)
"""Months whose gaps are those of winter. Of the months within records ABCflux v2 lacks 18 % in winter, 12 % else."""

_MILD_K, _COAST_KM, _ROADS = 12.0, 1500.0, 0.7
"""How access falls with cold and with distance from the sea, and the standard deviation of the logarithm of what roads
and stations add. A choice: within a sector and biome the real sites are on the whole no warmer than their land."""
_ROADS_KM = 400.0
_SAME_ERROR = 0.9
"""Correlation of what sets GPP and Reco of a site apart from those of its cell: a greener place respires more."""
_LEAST_WETLAND = 0.01
_CH4_FLOOR = 0.02
"""Standard deviation of monthly CH4 that does not grow with the flux, g C m-2 month-1."""
_TRIES = 200
_SECTOR_RULES = (60.0, 49.0)
"""Those of `sectors`, in its words, so that the polygons are made once."""
_FLUXES = ("nee", "gpp", "reco", "ch4")


@dataclass(frozen=True, slots=True)
class Place:
    """A tower: where it stands and the months it runs, `start` counted from the first month of the world's period.

    wetland : whether it stands on the wetland of its cell. methane : whether it measures CH4.
    """

    site_id: str
    lat: float
    lon: float
    start: int
    months: int
    wetland: bool
    methane: bool


def write_towers(out: Path, nature: Nature) -> None:
    """The site table of the network that the settings describe."""
    wanted = nature.settings.towers
    places = place_towers(nature, wanted.count, wanted.placement)
    write_text(out, sample(nature, places).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def place_towers(
    nature: Nature, count: int, placement: Placement = "accessible", name: str = "tower"
) -> list[Place]:
    """Towers `name`-001 and so on.

    accessible : sector and biome by the shares of `SITES`, in them cells by land area times `access`, over one plus the
    towers that a cell has already. random : cells by land area alone. In a cell a tower stands anywhere on its land.
    The first towers of a larger network are those of a smaller one of the same name.
    """
    land, groups = nature.land, strata(nature)
    shares = {group: SITES[group] for group in SITES if (groups == _label(group)).any()}
    weight = land.land_area_m2 * (access(nature) if placement == "accessible" else 1.0)
    taken, out = np.zeros(land.size), []
    for i in range(count):
        site = f"{name}-{i + 1:03d}"
        rng = named_rng(nature.settings.seed, f"osse/towers/{site}/place")
        now = weight
        if placement == "accessible":
            total = sum(shares.values())
            group = rng.choice(len(shares), p=[n / total for n in shares.values()])
            now = weight * (groups == _label(list(shares)[group])) / (1.0 + taken)
        cell = int(rng.choice(land.size, p=now / now.sum()))
        taken[cell] += 1
        lat, lon = _inside(nature, cell, str(groups[cell]).partition("/")[0], rng)
        out.append(
            place_at(nature, site, lat, lon, on_wetland=ON_WETLAND if placement == "accessible" else None)
        )
    return out


def place_at(
    nature: Nature, site_id: str, lat: float, lon: float, *, on_wetland: Mapping[str, float] | None = None
) -> Place:
    """A tower at a point, its record and ground drawn from its own stream.

    on_wetland : chance of standing on wetland by biome; by default the share of wetland in the cell. For another record
    or ground use `dataclasses.replace`. InputError: no land of the world there.
    """
    cell = cell_of(nature, lat, lon)
    wanted, months = nature.settings.towers, nature.months.sizes["time"]
    rng = named_rng(nature.settings.seed, f"osse/towers/{site_id}/record")
    wet, gas, begin, length = rng.random(), rng.random(), rng.random(), rng.gamma(RECORD_SHAPE)
    share = float(nature.land.wetland[cell])
    chance = share if on_wetland is None else on_wetland[_biome(nature.community[cell])]
    first, last = (12 * (year - nature.settings.period[0]) for year in start_years(nature))
    start = min(int(first + begin * (last + 12 - first)), months - 1)
    lasts = max(round(12 * wanted.mean_years * length / RECORD_SHAPE), 1)
    return Place(
        site_id,
        float(lat),
        float(lon),
        start,
        min(lasts, months - start),
        bool(wet < chance and share >= _LEAST_WETLAND),
        bool(gas < wanted.ch4_share),
    )


def start_years(nature: Nature) -> tuple[int, int]:
    """First and last year in which towers begin. ConfigError: years outside the period."""
    first, last = nature.settings.period
    wanted = nature.settings.towers.first_years or (first, max(first, last - 3))
    if not first <= wanted[0] <= wanted[1] <= last:
        raise ConfigError(
            f"towers.first_years is {wanted[0]}, {wanted[1]}; expected years of the period {first}-{last}, in order."
        )
    return wanted


def cell_of(nature: Nature, lat: float, lon: float) -> int:
    """Number of the cell that holds a point. InputError: no land of the world there."""
    grid, land = nature.land.grid, nature.land
    row = int(np.searchsorted(grid.y_edges, lat, side="right")) - 1
    column = (
        int(np.searchsorted(grid.x_edges, (lon - grid.x_edges[0]) % 360.0 + grid.x_edges[0], "right")) - 1
    )
    found = np.flatnonzero((land.row == row) & (land.column == column))
    if not found.size:
        raise InputError(
            f"tower at {lat:g} N, {lon:g} E: this world has no land there. Choose a point in one of its "
            f"{land.size} cells, such as {land.lat[0]:g} N, {land.lon[0]:g} E."
        )
    return int(found[0])


def access(nature: Nature) -> Array:
    """(cell,) how easily a cell is reached, mean 1: mild, near the sea, by roads that nobody has mapped."""
    land = nature.land
    warm = nature.weather.tas.mean(axis=0) / _MILD_K
    roads = smooth_fields(nature.settings.seed, ("roads",), land.lat, land.lon, length_km=_ROADS_KM)["roads"]
    out = np.exp(warm - warm.mean() - land.from_sea_km / _COAST_KM + _ROADS * roads)
    return np.asarray(out / out.mean())


def strata(nature: Nature) -> npt.NDArray[np.str_]:
    """(cell,) sector and biome, such as ``canada/Tundra``; ``rest`` for land outside the four sectors."""
    land = nature.land
    held = sectors(land.grid).sel(region=list(SECTORS)).to_numpy()[:, land.row, land.column]
    named = np.where(held.sum(axis=0) > 0.0, np.array(SECTORS)[held.argmax(axis=0)], "rest")
    return np.array([f"{a}/{_biome(b)}" for a, b in zip(named, nature.community, strict=True)])


def sample(nature: Nature, places: Iterable[Place]) -> pd.DataFrame:
    """What towers report: rows of talik's site table (one a site and month with data), places in the order given.

    A tower has the flux of its cell (per area of land), of the wetland or the drier part of it; times what sets it
    apart; less the share of Reco that calm nights hide. NEE has a random error; GPP, and with it Reco, that of the
    partitioning, so that NEE is Reco less GPP to rounding. CH4 is that of wetland or of dry ground. g C m-2 month-1.

    InputError: two towers of one name, or a place without land.
    """
    import pandas as pd

    places = list(places)
    if len({place.site_id for place in places}) < len(places):
        raise InputError("towers: two have the same site_id. Name each one.")
    if not places:
        raise InputError("towers: no places given. Name one at least.")
    cells = [cell_of(nature, place.lat, place.lon) for place in places]
    truth = _truth(nature)
    found = [_report(nature, place, cell, truth) for place, cell in zip(places, cells, strict=True)]
    values = predictor_values(nature)
    time, parts = pd.DatetimeIndex(nature.months["time"].to_numpy()), []
    frozen = nature.months["permafrostFraction"].to_numpy().mean(axis=0)
    for place, cell, (at, fluxes) in zip(places, cells, found, strict=True):
        about = {
            "site_id": place.site_id,
            "lat": round(place.lat, 4),
            "lon": round(place.lon, 4),
            "biome": _biome(nature.community[cell]),
            "year": time.year[at],
            "month": time.month[at],
            **fluxes,
            "flux_method": "EC",
            "vegetation": _vegetation(nature, place, cell, bool(frozen[cell] > 0.5)),
            "permafrost": "Yes" if frozen[cell] > 0.5 else "No",
            "tair": nature.weather.tas[at, cell],
            "precip": nature.weather.pr[at, cell],
        }
        parts.append(pd.DataFrame({**about, **_predictors(values, at, cell)}, index=range(at.size)))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def _predictors(values: Mapping[str, Array], at: npt.NDArray[np.int64], cell: int) -> dict[str, object]:
    """As the file of predictors has them, in single precision."""
    out: dict[str, object] = {}
    for name, held in values.items():
        one = (
            held[at, cell] if held.ndim == 2 else held[at] if name == "co2" else np.full(at.size, held[cell])
        )
        out[name] = (
            one.astype(np.int64) if name == "vegetation_type" else one.astype(np.float32).astype(float)
        )
    return out


def _truth(nature: Nature) -> dict[str, Array]:
    """(time, cell) g C m-2 month-1: gpp and reco of land, ch4 of wetland and of dry ground."""
    per = methane_densities(nature.settings, nature.land, nature.months)
    rates = {name: nature.months[name].to_numpy() for name in ("gpp", "reco")}
    rates |= {"wetland": per["wetland"], "dry": per["dry"]}
    time = nature.months["time"]

    def monthly(values: Array) -> Array:
        rate = xr.DataArray(values, {"time": time}, ("time", "cell"), attrs={"units": "kg m-2 s-1"})
        return np.asarray(amount_from_rate(rate, "g m-2 month-1").to_numpy())

    return {name: monthly(values) for name, values in rates.items()}


def _report(
    nature: Nature, place: Place, cell: int, truth: Mapping[str, Array]
) -> tuple[npt.NDArray[np.int64], dict[str, Array]]:
    """Months with data, and the fluxes of these. Errors of all months are drawn, so that a longer record keeps them."""
    wanted, size = nature.settings.towers, nature.months.sizes["time"]
    rng = named_rng(nature.settings.seed, f"osse/towers/{place.site_id}/errors")
    common, own, hidden, gas = rng.normal(size=4)
    noise, split, gas_noise, gas_floor = rng.normal(size=(4, size))
    gap = rng.random(size)
    ours = _part(wanted, float(nature.land.wetland[cell]), wet=place.wetland)
    apart = _SAME_ERROR * common + np.sqrt(1.0 - _SAME_ERROR**2) * own
    gpp = truth["gpp"][:, cell] * ours["gpp"] * _lognormal(common, wanted.site_sd)
    reco = truth["reco"][:, cell] * ours["reco"] * _lognormal(apart, wanted.site_sd)
    nee = (1.0 - wanted.night_bias * hidden) * reco - gpp + wanted.random_error * noise
    gpp = gpp + 0.5 * wanted.relative_error * (gpp + reco) * split
    ch4 = truth["wetland" if place.wetland else "dry"][:, cell]
    ch4 = (
        ch4 * _lognormal(gas, 2.0 * wanted.site_sd) * (1.0 + wanted.ch4_error * gas_noise)
        + _CH4_FLOOR * gas_floor
    )
    winter = np.isin(nature.months["time"].dt.month.to_numpy(), WINTER)
    months = np.arange(size)
    runs = (months >= place.start) & (months < place.start + place.months)
    at = np.flatnonzero(runs & (gap >= np.where(winter, wanted.winter_gap, wanted.summer_gap)))
    held = {"nee": nee, "gpp": gpp, "reco": nee + gpp, "ch4": ch4 if place.methane else np.full(size, np.nan)}
    return at, {name: held[name][at] for name in _FLUXES}


def _part(wanted: Towers, wetland: float, *, wet: bool) -> dict[str, float]:
    """GPP and Reco of the wetland, or of the rest, over those of the cell; both parts together are the cell."""
    ratio = {"gpp": wanted.wetland_gpp, "reco": wanted.wetland_reco}
    return {name: (r if wet else 1.0) / (wetland * r + 1.0 - wetland) for name, r in ratio.items()}


def _lognormal(z: float, sd: float) -> float:
    """Factor of mean 1."""
    return float(np.exp(sd * z - 0.5 * sd**2))


def _vegetation(nature: Nature, place: Place, cell: int, frozen: bool) -> str:
    """Land cover in the words of BAWLD; what is no wetland and no tundra is boreal forest there, dry grassland too."""
    tundra = nature.community[cell] in TUNDRA
    if not place.wetland:
        return "dry tundra" if tundra else "boreal forest"
    if tundra:
        return "wet tundra"
    if frozen:
        return "permafrost bog"
    return (
        "fen"
        if named_rng(nature.settings.seed, f"osse/towers/{place.site_id}/peat").random() < 0.5
        else "bog"
    )


def _inside(nature: Nature, cell: int, sector: str, rng: np.random.Generator) -> tuple[float, float]:
    """A point on the land of a cell, in its sector; the centre if none is found."""
    import shapely

    land = nature.land
    grid, row, column = land.grid, land.row[cell], land.column[cell]
    south, north = np.sin(np.radians(grid.y_edges[row : row + 2]))
    lat = np.degrees(np.arcsin(rng.uniform(south, north, _TRIES)))
    lon = rng.uniform(grid.x_edges[column], grid.x_edges[column + 1], _TRIES)
    shape = sector_polygons(*_SECTOR_RULES)[sector]
    shapely.prepare(shape)
    good = np.flatnonzero(shapely.contains_xy(shape, lon, lat))
    return (
        (float(lat[good[0]]), float(lon[good[0]]))
        if good.size
        else (float(land.lat[cell]), float(land.lon[cell]))
    )


def _biome(community: str) -> str:
    return "Tundra" if community in TUNDRA else "Boreal"


def _label(group: Sequence[str]) -> str:
    return "/".join(group)
