"""Do proposed towers help more than others? `python -m benchmarks.network_design run OUT [WORLDS]`, `... summary OUT`.

In worlds whose flux is known, a network stands where it is easy to go. A forest learns from it; `talik design` proposes
towers; the forest learns again with them. The same is done with as many places taken at random, and the errors of the
regional budget and of the map are compared world by world. `run` writes a line of JSON a world and goes on where it
stopped. Worlds come from a function, so that other truths can be put in their place (see `World`).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import xarray as xr

from talik.regions import EqualAreaGrid, grid_of, land_fraction
from talik.rng import named_rng
from talik.upscaling.design import make_folds
from talik.upscaling.distances import arc_km, unit_vectors
from talik.upscaling.evaluate import hold_out
from talik.upscaling.forest import Forest
from talik.upscaling.model import Model, train
from talik.upscaling.network import design_network
from talik.upscaling.network_choice import NetworkSettings
from talik.upscaling.training import Training, prepare

TOWERS = 5
RANDOM = 8
"""Random networks of as many towers, for the mean error of a random choice."""
TREES = 200
CRITERIA = ("variance", "dissimilarity", "influence")
UNITS = {"warmth": "K", "light": "W m-2", "wetness": "1", "carbon": "kg m-2", "shrubs": "1"}


@dataclass(frozen=True)
class World:
    """A truth and what can be seen of it."""

    predictors: xr.Dataset
    """The cube, as `talik upscale predict` takes it: one whole year or more."""
    truth: xr.DataArray
    """(month, y, x) flux, g m-2 month-1; NaN outside the domain."""
    sample: Callable[[pd.DataFrame], pd.DataFrame]
    """Table of site-months (site_id, lat, lon, year, month, nee and all predictors) at places (site_id, lat, lon); a
    place measures the same whatever other places are asked for."""
    network: pd.DataFrame
    """site_id, lat, lon of the towers that stand."""
    names: Sequence[str]
    """Predictors, month among them."""
    units: dict[str, str]
    land: xr.DataArray | None = None
    """(y, x) share of land of the cells of an uneven world; not given: cells are alike."""

    def area(self) -> np.ndarray:
        """(y, x) of land, in any unit; 0 outside the domain."""
        valid = np.isfinite(self.truth.values[0])
        if self.land is None:
            return valid.astype(float)
        return np.where(valid, self.land.values * grid_of(self.predictors).cell_area().values, 0.0)


def synthetic_world(seed: int, *, cell_m: float = 100_000.0, sites: int = 30, years: int = 2) -> World:
    """An Arctic of random predictors, a flux that is a random function of them plus a field they do not tell.

    Towers stand near roads: four places on land from which the chance of a tower falls off over 400 km, and where it is
    warm rather than cold. The field that predictors do not tell has a range of 600 km and a third of the spread of the
    flux between places; every place has an error of its own, every month noise.
    """
    rng = named_rng(seed, "network world")
    grid = EqualAreaGrid.epsg6931(cell_m, x=(-3.8e6, 3.8e6), y=(-3.8e6, 3.8e6))
    lon, lat = (v.values for v in grid.lonlat())
    land = (land_fraction(grid).values > 0.5) & (lat > 55)
    smooth = [_field(grid, rng, km) for km in (1500.0, 800.0, 500.0, 300.0)]
    wetness, carbon, shrubs, hidden = smooth[1], smooth[2], smooth[3], _field(grid, rng, 600.0)
    warm = -0.45 * (lat - 65) + 3 * smooth[0]
    month = np.arange(12)
    season = -np.cos((month + 0.5) / 6 * np.pi)[:, None, None]
    warmth = 268 + warm + (14 + 2 * wetness) * season
    light = 130 + (125 + 0.5 * (lat - 65)) * season
    growth = _function(rng)
    decay = _function(rng)
    at = np.stack([warm / 6, wetness, carbon, shrubs], axis=-1)
    active = 1 / (1 + np.exp(-(warmth - 273) / 3))
    reference = land & np.isfinite(warm)
    productive = _standard(growth(at), reference)
    leaky = _standard(decay(at), reference)
    nee = -active * np.maximum(season, 0) * (45 + 18 * productive) + active * (28 + 9 * leaky) + 4 + leaky
    mean = nee.mean(axis=0)
    nee = nee + 0.33 * float(mean[reference].std()) * hidden
    truth = xr.DataArray(
        np.where(land, nee, np.nan), dims=("month", *grid.dims), coords=grid.coords(), name="nee"
    )
    static = {"wetness": wetness, "carbon": 20 + 6 * carbon, "shrubs": shrubs}
    cube = grid.frame().assign_coords(time=pd.date_range("2020-01-01", periods=12, freq="MS"))
    for name, values in {"warmth": warmth, "light": light + 0 * warmth, **static}.items():
        dims = ("time", *grid.dims) if values.ndim == 3 else grid.dims
        attrs = {"units": UNITS[name], "grid_mapping": "crs"}
        cube[name] = (dims, np.where(land, values, np.nan).astype("f4"), attrs)
    spread = float(np.nanstd(truth.mean("month")))

    def sample(places: pd.DataFrame) -> pd.DataFrame:
        tables = []
        for place in places.itertuples():
            j, i = _cell(grid, place.lat, place.lon)
            own = named_rng(seed, f"place {j} {i}")
            lasting = own.normal(0, 0.3 * spread)
            table = pd.DataFrame(
                {"year": np.repeat(2019 + np.arange(years), 12), "month": np.tile(month + 1, years)}
            )
            k = table["month"].to_numpy() - 1
            table.insert(0, "site_id", place.site_id)
            table["lat"], table["lon"] = place.lat, place.lon
            for name in UNITS:
                table[name] = (
                    cube[name].values[k, j, i] if cube[name].ndim == 3 else cube[name].values[j, i]
                ).astype(float)
            table["nee"] = (
                truth.values[k, j, i] + lasting + own.normal(0, 0.15 * np.nanstd(truth.values), len(k))
            )
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    rows, columns = np.nonzero(land)
    roads = rng.choice(len(rows), 4, replace=False, p=_chance(warm[rows, columns]))
    points = unit_vectors(lat[rows, columns], lon[rows, columns])
    km = np.stack([arc_km(np.linalg.norm(points - points[r], axis=1)) for r in roads]).min(axis=0)
    chance = np.exp(-km / 400) * _chance(warm[rows, columns])
    chosen = rng.choice(len(rows), sites, replace=False, p=chance / chance.sum())
    network = pd.DataFrame(
        {
            "site_id": [f"S{k:02d}" for k in range(sites)],
            "lat": lat[rows, columns][chosen],
            "lon": lon[rows, columns][chosen],
        }
    )
    return World(cube, truth, sample, network, ["month", *UNITS], UNITS)


def _field(grid: EqualAreaGrid, rng: np.random.Generator, range_km: float) -> np.ndarray:
    """Gaussian random field of mean 0 and variance 1 with correlation exp(-(d/L)**2 / 2), by waves of random length."""
    x, y = np.meshgrid(grid.x / 1e3 / range_km, grid.y / 1e3 / range_km)
    waves = rng.normal(size=(200, 2))
    phase = rng.uniform(0, 2 * np.pi, 200)
    out = np.zeros(grid.shape)
    for (a, b), p in zip(waves, phase, strict=True):
        out += np.cos(a * x + b * y + p)
    return out * np.sqrt(2 / 200)


def _function(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A random smooth function of (..., 4): 30 ridges."""
    w, b, a = rng.normal(0, 0.9, (4, 30)), rng.uniform(-2, 2, 30), rng.normal(0, 1, 30)
    return lambda v: np.tanh(v @ w + b) @ a


def _standard(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return (values - values[where].mean()) / values[where].std()


def _chance(warm: np.ndarray) -> np.ndarray:
    out = np.exp(0.25 * (warm - warm.max()))
    return out / out.sum()


def _cell(grid: EqualAreaGrid, lat: float, lon: float) -> tuple[int, int]:
    from talik.regions.ellipsoid import to_plane

    x, y = to_plane(lon, lat)
    return int(np.searchsorted(grid.y_edges, y) - 1), int(np.searchsorted(grid.x_edges, x) - 1)


def trained(
    world: World, places: pd.DataFrame, *, validate: bool, trees: int, cv: str
) -> tuple[Training, Model]:
    """A forest of the towers at `places`; validated, so that its errors are known."""
    training = prepare(world.sample(places), "nee", "site_id", world.names, units=world.units)
    learner = Forest(trees=trees)
    held = None
    if validate:
        folds = make_folds(training, cv, distance_km=200.0)
        held = hold_out(training, learner, folds, 448, fast=cv == "loso")
    return training, train(training, learner, held=held, design=cv)


def errors(world: World, model: Model) -> tuple[float, float]:
    """Error of the mean flux of the domain, and RMSE of the map of annual means, g m-2 yr-1."""
    truth = 12 * world.truth.mean("month").values
    valid = np.isfinite(truth)
    predicted = np.zeros(int(valid.sum()))
    for month in range(12):
        table = pd.DataFrame({"month": np.full(len(predicted), month + 1)})
        for name in world.names:
            if name != "month":
                values = world.predictors[name].values
                table[name] = (values[month] if values.ndim == 3 else values)[valid].astype(float)
        predicted += model.predict(table)
    error, area = predicted - truth[valid], world.area()[valid]
    return float(np.average(error, weights=area)), float(np.sqrt(np.average(error**2, weights=area)))


def one_world(
    make: Callable[[int], World], seed: int, *, towers: int = TOWERS, trees: int = TREES, random: int = RANDOM,
    criteria: Sequence[str] = CRITERIA, cv: str = "cluster",
) -> dict[str, Any]:  # fmt: skip
    """Errors of a world without more towers, with those of each criterion, and with random ones.

    A value is [error of the budget, RMSE of the map], g m-2 yr-1.
    """
    world = make(seed)
    _, model = trained(world, world.network, validate="variance" in criteria, trees=trees, cv=cv)
    out: dict[str, Any] = {"seed": seed, "before": errors(world, model)}
    with tempfile.TemporaryDirectory() as folder:
        cube = Path(folder) / "cube.nc"
        world.predictors.to_netcdf(cube, engine="netcdf4")
        land = None
        if world.land is not None:
            world.land.rename("land").to_netcdf(Path(folder) / "land.nc", engine="netcdf4")
            land = f"{Path(folder) / 'land.nc'}:land"
        for criterion in criteria:
            settings = NetworkSettings(towers=towers, criterion=criterion)  # type: ignore[arg-type]
            found = design_network(model, [cube], settings, land_fraction=land)
            out[criterion] = errors(world, _with(world, found.proposed[["lat", "lon"]], trees))
            if criterion == "variance" and found.field is not None:
                out["field"] = found.field.field.model_dump()
                out["flags"] = list(found.field.flags)
                out["expected_left"] = float(found.proposed["variance_left"].iloc[-1])
                out["expected_left_random"] = float(found.curve["random_mean"].iloc[-1])
    rng = named_rng(seed, "random towers")
    y, x = np.nonzero(np.isfinite(world.truth.values[0]))
    lat, lon = _centres(world)
    chance = world.area()[y, x] / world.area().sum()
    out["random"] = []
    for _ in range(random):
        chosen = rng.choice(len(y), towers, replace=False, p=None if world.land is None else chance)
        places = pd.DataFrame({"lat": lat[y, x][chosen], "lon": lon[y, x][chosen]})
        out["random"].append(errors(world, _with(world, places, trees)))
    return out


def _centres(world: World) -> tuple[np.ndarray, np.ndarray]:
    grid = grid_of(world.predictors)
    if isinstance(grid, EqualAreaGrid):
        lon, lat = grid.lonlat()
        return lat.values, lon.values
    lon, lat = np.meshgrid(grid.x, grid.y)
    return lat, lon


def _with(world: World, places: pd.DataFrame, trees: int) -> Model:
    more = places.assign(site_id=[f"N{k:02d}" for k in range(len(places))])
    return trained(world, pd.concat([world.network, more]), validate=False, trees=trees, cv="loso")[1]


def summary(found: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a criterion and measure: root mean square over worlds of the errors before, with random towers (each a
    random network of its own) and with the proposed ones; paired difference to the mean random one (negative: better)
    of absolute errors, its standard error, and the share of worlds in which it is better.
    """
    rows = []
    for criterion in [c for c in CRITERIA if c in found[0]]:
        for k, measure in enumerate(("budget", "map")):
            before = np.array([abs(w["before"][k]) for w in found])
            ours = np.array([abs(w[criterion][k]) for w in found])
            others = [np.abs([r[k] for r in w["random"]]) for w in found]
            mean = np.array([o.mean() for o in others])
            away = ours - mean
            rows.append(
                {
                    "criterion": criterion,
                    "error of": measure,
                    "worlds": len(found),
                    "before": np.sqrt((before**2).mean()),
                    "random": np.sqrt(np.mean([(o**2).mean() for o in others])),
                    "proposed": np.sqrt((ours**2).mean()),
                    "difference": away.mean(),
                    "standard error": away.std(ddof=1) / np.sqrt(len(away)),
                    "better": (away < 0).mean(),
                    "beats": np.mean([(o > v).mean() for o, v in zip(others, ours, strict=True)]),
                }
            )
    return pd.DataFrame(rows)


def _job(seed: int) -> dict[str, Any]:
    return one_world(synthetic_world, seed)


def run(out: Path, worlds: int, workers: int = 1, job: Callable[[int], dict[str, Any]] = _job) -> None:
    """A line of JSON a world; worlds that are there are not made again."""
    done = {json.loads(line)["seed"] for line in out.read_text().splitlines()} if out.exists() else set()
    left = [seed for seed in range(worlds) if seed not in done]
    with ProcessPoolExecutor(workers) as pool, out.open("a") as file:
        for found in pool.map(job, left):
            file.write(json.dumps(found) + "\n")
            file.flush()
            print(found["seed"], found["before"], {c: found[c] for c in CRITERIA}, flush=True)


def show(out: Path) -> None:
    """Print `summary` of what `run` wrote, and what the variance criterion expected."""
    found = [json.loads(line) for line in out.read_text().splitlines()]
    print(summary(found).round(2).to_string(index=False))
    expected = [w["expected_left"] for w in found]
    others = [w["expected_left_random"] for w in found]
    print(f"variance left, expected: proposed {np.mean(expected):.2f}, random {np.mean(others):.2f}")
    print(f"worlds with a flag of the fit: {sum(bool(w['flags']) for w in found)} of {len(found)}")


def main() -> None:
    what, out = sys.argv[1], Path(sys.argv[2])
    if what == "run":
        run(out, int(sys.argv[3]) if len(sys.argv) > 3 else 40, int(os.environ.get("WORKERS", "1")))
    elif what == "summary":
        show(out)
    else:
        sys.exit("expected run OUT [WORLDS] or summary OUT")


if __name__ == "__main__":
    main()
