"""The truth of a world: what its ecosystems, fires, wetlands and waters exchange with the air, month by month."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from talik.errors import InputError
from talik.flux import make_flux_dataset, write_netcdf
from talik.flux.table import FLUXES
from talik.osse.ecosystem import PERTURBED, Run, communities_of, simulate
from talik.osse.fields import smooth_fields, smooth_series
from talik.osse.geography import Land, make_land, world_grid
from talik.osse.settings import WorldSettings
from talik.osse.weather import Weather, make_weather
from talik.regions import LatLonGrid
from talik.rng import named_rng
from talik.tem.output import month_seconds

Array = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

TRUTH = "truth"
KEPT = (
    "nee", "gpp", "reco", "ra", "rh", "npp", "nep", "cVeg", "cSoil", "evspsbl", "mrso", "snw", "thawDepth", "tsl",
    "permafrostFraction", "activeLayerThickness",
)  # fmt: skip
"""What is kept of the process model."""
SOIL_LAYERS = 6
"""Of soil temperature, from the surface."""
_PARTS = 3
"""Blocks that the cells of the truth make."""
_YEAR_S = 365.25 * 86400.0

_HETEROGENEITY = 0.15
"""Standard deviation of the logarithm of productivity between places of one climate and soil."""
_BURNT_A_YEAR = {"boreal_forest": 1 / 180, "grassland": 1 / 150, "wet_tundra": 1 / 900}
_LOST_BY_FIRE = {"boreal_forest": 3.0, "grassland": 0.4, "wet_tundra": 1.8}
"""kg C m-2 (boreal: 2.9 to 3.4 in North America, Walker et al. 2020; the others are guesses of that order)."""
_FIRE_YEARS_SD = 1.1
"""Of the logarithm of the area that burns."""
_CH4_AT_10C = 2.4e-3
"""kg C m-2 month-1 of wetland at 10 degC in the upper soil: some 10 g C m-2 a year."""
_CH4_Q10 = 2.8
_CH4_UPTAKE = 1.0e-5
"""kg C m-2 month-1 that dry soil takes up in summer."""
_CH4_LAKE = 0.7e-3
"""kg C m-2 month-1 of lake without ice."""
_LAKE_CO2, _RIVER_CO2, RIVERS = 8.0e-3, 0.14, 0.004
"""kg C m-2 month-1 of lake and of river without ice; area of rivers per land."""


@dataclass(frozen=True, eq=False)
class Nature:
    """Cells of a world that are no ice, their weather and community, and what they exchange in `settings.period`.

    `months` has by (time, cell), kg C m-2 s-1 per land area and with the signs of `talik.flux`: nee, gpp, reco, ra, rh,
    npp, nep, fFire, fch4, and `water` (CO2 that leaves lakes and rivers, up); states of the process model: cVeg, cSoil,
    mrso, snw, thawDepth, tsl (time, depth, cell); permafrostFraction and activeLayerThickness (year, cell).
    """

    settings: WorldSettings
    land: Land
    weather: Weather
    community: tuple[str, ...]
    months: xr.Dataset


def model_names(settings: WorldSettings) -> tuple[str, ...]:
    """Names of the process models of a world."""
    return tuple(f"model-{i + 1}" for i in range(settings.ensemble.models))


def model_grid(settings: WorldSettings) -> LatLonGrid:
    """The coarse cells of the process models."""
    return world_grid(settings, settings.ensemble.lat_step, settings.ensemble.lon_step)


def model_land(settings: WorldSettings) -> Land:
    """The cells of the process models that are no ice."""
    land = make_land(settings, model_grid(settings))
    return land.where(~land.ice)


def runs_of(settings: WorldSettings) -> dict[str, Run]:
    """The truth and each model, as runs of the process model."""
    out = {TRUTH: _run(settings, TRUTH, make_land(settings), 0.0)}
    coarse = make_land(settings, model_grid(settings))
    for name in model_names(settings):
        bias = named_rng(settings.seed, f"osse/{name}/climate").normal(0.0, settings.ensemble.climate_sd_k)
        out[name] = _run(settings, name, coarse, float(bias))
    return out


def _run(settings: WorldSettings, name: str, land: Land, bias_k: float) -> Run:
    weather = make_weather(settings, land).where(~land.ice)
    land = land.where(~land.ice)
    rng = named_rng(settings.seed, f"osse/{name}/parameters")
    sd = settings.ensemble.parameter_sd
    factors = {p: np.full(land.size, float(np.exp(rng.normal(0.0, sd)))) for p in PERTURBED}
    if name == TRUTH:
        factors["cmax"] = factors["cmax"] * np.exp(_HETEROGENEITY * land.latent)
    warmer = Weather(
        weather.first_year, weather.tas + bias_k, weather.pr, weather.rsds, weather.vpd, weather.co2
    )
    return Run(land, warmer, factors)


def block_names(settings: WorldSettings) -> tuple[str, ...]:
    """Units in which the process model runs for all cells of the truth and of the models."""
    return tuple(f"cells-{i}" for i in range(len(_blocks(_sizes(settings)))))


def write_block(out: Path, settings: WorldSettings, unit: str) -> None:
    """Run the process model for some of the cells of the truth and of the models; one file, the cells in a row."""
    runs = runs_of(settings)
    block = _blocks({name: run.land.size for name, run in runs.items()})[block_names(settings).index(unit)]
    parts = [_part(runs[name], cells) for name, cells in _filled(block, columns_of_a_block(settings))]
    found = simulate(parts)[: len(block)]
    first, last = settings.period
    whole = xr.concat(
        found, dim="cell", data_vars="minimal", coords="minimal", compat="override", join="override"
    )
    whole = whole[list(KEPT)].isel(depth=slice(0, SOIL_LAYERS))
    whole = whole.sel(time=slice(str(first), str(last)), year=slice(first, last))
    whole["run"] = ("cell", np.repeat([name for name, _ in block], [cells.size for _, cells in block]))
    whole.to_netcdf(out, engine="netcdf4", encoding={n: {"zlib": True, "complevel": 1} for n in KEPT})


def columns_of_a_block(settings: WorldSettings) -> int:
    """Cells that run together: a third of the truth's. What was compiled for it serves `talik tem run` with such blocks
    too."""
    return -(-_sizes(settings)[TRUTH] // _PARTS)


def _sizes(settings: WorldSettings) -> dict[str, int]:
    fine, coarse = (make_land(settings, grid) for grid in (None, model_grid(settings)))
    cells = {name: int((~coarse.ice).sum()) for name in model_names(settings)}
    return {TRUTH: int((~fine.ice).sum()), **cells}


def _blocks(sizes: Mapping[str, int]) -> list[list[tuple[str, Int64]]]:
    """For each block its runs and their cells. The last is filled up with cells that it has already: all have the same
    number of columns, so that the model is compiled once."""
    size = -(-sizes[TRUTH] // _PARTS)
    all_cells = [(name, i) for name, cells in sizes.items() for i in range(cells)]
    out = []
    for start in range(0, len(all_cells), size):
        held = all_cells[start : start + size]
        names = list(dict.fromkeys(name for name, _ in held))
        out.append([(name, np.array([i for of, i in held if of == name])) for name in names])
    return out


def _filled(block: Sequence[tuple[str, Int64]], size: int) -> list[tuple[str, Int64]]:
    """A block with its first cells once more at the end, to `size` cells."""
    missing = size - sum(cells.size for _, cells in block)
    name, cells = block[0]
    return [*block, (name, np.resize(cells, missing))] if missing else list(block)


def _part(run: Run, cells: Int64) -> Run:
    return Run(run.land.where(cells), run.weather.where(cells), {n: v[cells] for n, v in run.factors.items()})


def joined(blocks: Sequence[Path], name: str) -> xr.Dataset:
    """The cells of one run from the files of `write_block`, in the order of `block_names`: the order of its land."""
    parts = []
    for path in blocks:
        with xr.open_dataset(path, engine="netcdf4") as held:
            mine = np.flatnonzero(held["run"].values == name)
            if mine.size:
                parts.append(held.isel(cell=mine).drop_vars("run").load())
    return xr.concat(
        parts, dim="cell", data_vars="minimal", coords="minimal", compat="override", join="override"
    )


def write_nature(out: Path, settings: WorldSettings, blocks: Sequence[Path]) -> None:
    """The truth: the process model, less what burns, and fire, methane and inland waters beside it."""
    run = _run(settings, TRUTH, make_land(settings), 0.0)
    months = joined(blocks, TRUTH)
    weather = run.weather.of_years(*settings.period)
    community = communities_of(run.weather, run.land)
    fire, expected = fires(settings, run.land, weather, community)
    months = without_burnt(months, expected)
    months["fFire"] = (("time", "cell"), fire)
    months["fch4"] = (("time", "cell"), methane(settings, run.land, months))
    months["water"] = (("time", "cell"), water_carbon(settings, run.land, weather))
    months.to_netcdf(
        out, engine="netcdf4", encoding={n: {"zlib": True, "complevel": 1} for n in months.data_vars}
    )


def read_nature(path: Path, settings: WorldSettings) -> Nature:
    """The truth from its file; land and weather are made anew from the settings.

    InputError: a file of another world.
    """
    whole = make_land(settings)
    weather = make_weather(settings, whole).where(~whole.ice)
    land = whole.where(~whole.ice)
    with xr.open_dataset(path, engine="netcdf4") as held:
        months = held.load()
    if (
        months.sizes["cell"] != land.size
        or months.sizes["year"] != settings.period[1] - settings.period[0] + 1
    ):
        raise InputError(
            f"{path}: holds {months.sizes['cell']} cells and {months.sizes['year']} years; this world has {land.size} "
            f"cells and {settings.period[0]}-{settings.period[1]}. Make the world again."
        )
    return Nature(
        settings,
        land,
        weather.of_years(*settings.period),
        tuple(communities_of(weather, land)),
        months,
    )


def fires(
    settings: WorldSettings, land: Land, weather: Weather, community: Sequence[str]
) -> tuple[Array, Array]:
    """Emissions (time, cell) and their mean over all years that could be (cell,), kg C m-2 s-1 of land.

    The area that burns in a year is its mean times a lognormal factor, smooth in space, times how dry the summer's air
    is beside the mean; it burns from June to August. Tundra burns rarely, polar desert not at all.
    """
    years = len(weather.years)
    burnt = np.array([_BURNT_A_YEAR.get(name, 0.0) for name in community])
    lost = np.array([_LOST_BY_FIRE.get(name, 0.0) for name in community])
    z = smooth_series(settings.seed, "fire", land.lat, land.lon, steps=years, length_km=500.0)
    factor = np.exp(_FIRE_YEARS_SD * z - 0.5 * _FIRE_YEARS_SD**2)
    dry = weather.vpd.reshape(years, 12, -1)[:, 5:8]
    season = dry / dry.mean(axis=0).sum(axis=0)
    seconds = _seconds(weather)
    months = np.zeros((years, 12, land.size))
    months[:, 5:8] = burnt * lost * factor[:, None] * season
    return months.reshape(12 * years, -1) / seconds[:, None], burnt * lost / _YEAR_S


def without_burnt(months: xr.Dataset, burnt: Array) -> xr.Dataset:
    """Ecosystem fluxes where what burns in the long run is not respired; burnt : (cell,), kg C m-2 s-1.

    It is taken off soil respiration by the share of each month, so that land with fire gains between fires what it
    loses in them.
    """
    out = months.copy()
    rh = months["rh"].to_numpy()
    mean = rh.mean(axis=0)
    share = np.minimum(np.divide(burnt, mean, out=np.zeros_like(mean), where=mean > 0), 0.5)
    less = rh * share
    for name, sign in (("rh", -1.0), ("reco", -1.0), ("nee", -1.0), ("nep", 1.0)):
        out[name] = months[name] + sign * less
    return out


def methane(settings: WorldSettings, land: Land, months: xr.Dataset) -> Array:
    """(time, cell) kg C m-2 s-1 of land: the densities of wetlands, lakes and dry soil times their shares."""
    of = methane_densities(settings, land, months)
    dry = 1.0 - land.wetland - land.lake
    return land.wetland * of["wetland"] + land.lake * of["lake"] + dry * of["dry"]


def methane_densities(settings: WorldSettings, land: Land, months: xr.Dataset) -> dict[str, Array]:
    """(time, cell) kg C m-2 s-1 up, of `wetland` by soil temperature, of `lake` without ice, of `dry` soil, which takes
    up some in summer."""
    rng = named_rng(settings.seed, "osse/truth/methane")
    rate = _CH4_AT_10C * float(np.exp(rng.normal(0.0, 0.25)))
    place = np.exp(
        0.3 * smooth_fields(settings.seed, ("methane",), land.lat, land.lon, length_km=900.0)["methane"]
    )
    soil = months["tsl"].isel(depth=slice(0, 3)).mean("depth").to_numpy()
    thawed = np.clip((soil + 0.5) / 1.0, 0.02, 1.0)
    month = _YEAR_S / 12.0
    return {
        "wetland": place * rate * _CH4_Q10 ** ((soil - 10.0) / 10.0) * thawed / month,
        "dry": np.asarray(-_CH4_UPTAKE * (soil > 2.0) / month, np.float64),
        "lake": np.asarray(_CH4_LAKE * (soil > 0.0) / month, np.float64),
    }


def water_carbon(settings: WorldSettings, land: Land, weather: Weather) -> Array:
    """(time, cell) kg C m-2 s-1 of land: CO2 from lakes and rivers in months above freezing."""
    rng = named_rng(settings.seed, "osse/truth/waters")
    rate = float(np.exp(rng.normal(0.0, 0.2)))
    open_water = np.clip((weather.tas + 1.0) / 4.0, 0.0, 1.0)
    return open_water * rate * (land.lake * _LAKE_CO2 + RIVERS * _RIVER_CO2) / (_YEAR_S / 12.0)


def truth_dataset(nature: Nature) -> xr.Dataset:
    """The truth as a flux dataset (time, lat, lon) with nee, gpp, reco, rh, fFire, fch4 and nbe; cells of ice exchange
    nothing and hold zero."""
    land, months = nature.land, nature.months
    whole = make_land(nature.settings)
    ice = whole.where(whole.ice)
    coords = {"time": months["time"], "lat": land.grid.y, "lon": land.grid.x}

    def on_grid(values: Array, name: str) -> xr.DataArray:
        out = land.on_grid(values)
        out[..., ice.row, ice.column] = 0.0
        return xr.DataArray(out, coords, ("time", "lat", "lon"), name, FLUXES[name].attributes)

    names = ("nee", "gpp", "reco", "rh", "fFire", "fch4")
    found = {name: on_grid(months[name].to_numpy(), name) for name in names}
    net = (months["nee"] + months["fFire"] + months["water"]).to_numpy() * land.land_share
    found["nbe"] = on_grid(net, "nbe")
    return make_flux_dataset(
        found,
        approach="process",
        source="the truth of a made-up world",
        coverage=xr.DataArray(
            np.isfinite(found["nee"].isel(time=0, drop=True).to_numpy()).astype(float), dims=("lat", "lon")
        ),
        title=f"world {nature.settings.seed}",
    )


def write_truth(out: Path, nature: Nature) -> None:
    """`truth_dataset` as a NetCDF file."""
    write_netcdf(truth_dataset(nature), out, step="osse", config_key=nature.settings.nature_key())


def _seconds(weather: Weather) -> Array:
    return np.concatenate([month_seconds(year) for year in weather.years])
