"""Toolik Field Station under its real climate, 1901-2100: thaw, soil temperature, pools and fluxes, judged.

`python -m benchmarks.tem_toolik [FIGURE.png]` with the test data (TALIK_SHARED) prints the tables of the documentation
and draws its figure.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

SOILS = {
    "wet sedge tundra": ("wet_tundra", {}),
    "tussock tundra": (
        "wet_tundra",
        {"wet_tundra": {"moss_m": 0.10, "fibric_m": 0.067, "humic_m": 0.145, "wetness": 0.5}},
    ),
    "heath": ("alpine_tundra_polar_desert", {}),
}
"""Community and organic soil of the three kinds of ground around Toolik (DVM-DOS-TEM)."""
CALM = {"U12 A": "Toolik 1 km grid", "U12 B": "Toolik MAT", "U13": "Toolik LTER"}
TARGETS = {
    "wet_tundra": {"C_V": 750.0, "C_S": 12000.0, "N_S": 733.0, "NPP": 120.0, "N uptake": 0.80},
    "alpine_tundra_polar_desert": {"C_V": 450.0, "C_S": 6000.0, "N_S": 260.0, "NPP": 65.0, "N uptake": 0.50},
}
"""Calibration targets of McGuire et al. (1992) at Toolik."""


def run(data: Path, community: str, organic: dict[str, Any]) -> xr.Dataset:
    """The two cells of the station's map, 1901-2100."""
    from talik.tem.inputs import read_columns, read_run
    from talik.tem.run import run_columns
    from talik.tem.settings import Files, TemSettings

    folder = data / "dvmdostem-toolik-10x10"
    names = {
        "climate": ("historic-climate.nc", "projected-climate.nc"),
        "co2": ("co2.nc", "projected-co2.nc"),
        "land": ("run-mask.nc", "soil-texture.nc", "topo.nc"),
    }
    paths = {kind: tuple(str(folder / n) for n in of) for kind, of in names.items()}
    files = Files(**paths, restart=None, period=None)
    settings = TemSettings.model_validate(
        {
            "climate": {"files": files.climate},
            "co2": {"files": files.co2},
            "land": {"files": files.land, "community": community},
            "organic_soil": organic,
        }
    )
    columns = read_columns(settings, files.paths("land"))
    climate = read_run(settings, files, columns)
    return run_columns(columns, climate, settings)[0].dataset().mean("cell")


def observed(data: Path) -> pd.DataFrame:
    """Thaw at the CALM sites of Toolik, m, by year."""
    table = pd.read_csv(data / "permafrost-cci-validation" / "alt_insitu_1997-2019.csv.gz")
    here = table[table["code"].isin(CALM)]
    return here.pivot_table(index="year", columns="code", values="alt_cm") / 100.0


def annual(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Annual sums, g m-2."""
    days = ds["time"].dt.days_in_month
    return (ds[name] * days * 86400.0 * 1000.0).groupby("time.year").sum()


def report(data: Path) -> dict[str, xr.Dataset]:
    """Print the tables, return the runs."""
    thaw = observed(data)
    print("CALM, m:", thaw.mean().round(3).to_dict(), f"{thaw.index.min()}-{thaw.index.max()}")
    runs = {}
    for ground, (community, organic) in SOILS.items():
        ds = runs[ground] = run(data, community, organic)
        alt = ds["activeLayerThickness"].to_series()
        both = pd.concat([alt.rename("model"), thaw.mean(axis=1).rename("calm")], axis=1).dropna()
        tsl = ds["tsl"].sel(time=slice("1997", "2015"))
        print(
            f"\n{ground}: ALT {both.index.min()}-{both.index.max()} model {both['model'].mean():.2f} CALM ",
            end="",
        )
        print(f"{both['calm'].mean():.2f} m, correlation of years {both.corr().iloc[0, 1]:.2f}")
        print(
            "  annual mean soil temperature by depth",
            dict(zip(ds["depth"].values, tsl.mean("time").values.round(1), strict=True)),
        )
        early = slice(1901, 1910)
        found = {
            "C_V": 1e3 * float(ds["cVeg"].sel(time=slice("1901", "1910")).mean()),
            "C_S": 1e3 * float(ds["cSoil"].sel(time=slice("1901", "1910")).mean()),
            "N_S": 1e3 * float(ds["nSoil"].sel(time=slice("1901", "1910")).mean()),
            "NPP": float(annual(ds, "npp").sel(year=early).mean()),
            "N uptake": float(annual(ds, "fNup").sel(year=early).mean()),
        }
        for name, target in TARGETS[community].items():
            print(f"  {name:9s} {found[name]:9.1f}  target {target:9.1f}  ratio {found[name] / target:.2f}")
        for years in ((1901, 1930), (1981, 2010), (2071, 2100)):
            at = slice(*years)
            fluxes = {
                n: round(float(annual(ds, n).sel(year=at).mean()), 1) for n in ("gpp", "npp", "rh", "nep")
            }
            depth = float(ds["activeLayerThickness"].sel(year=at).mean())
            talik = float(ds["talikThickness"].sel(year=at).mean())
            print(f"  {years[0]}-{years[1]} ALT {depth:.2f} m, talik {talik:.2f} m, {fluxes}")
    return runs


def draw(runs: dict[str, xr.Dataset], thaw: pd.DataFrame, path: Path) -> None:
    """Annual cycle of soil temperature and of fluxes, thaw and fluxes by year."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ds = runs["tussock tundra"]
    present = ds.sel(time=slice("1981", "2010")).groupby("time.month").mean()
    fig, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    month = np.arange(1, 13)
    for depth, shade in zip(ds["depth"].values, np.linspace(0.9, 0.1, ds.sizes["depth"]), strict=True):
        axes[0, 0].plot(
            month, present["tsl"].sel(depth=depth), color=plt.cm.viridis(shade), label=f"{100 * depth:.0f} cm"
        )
    axes[0, 0].axhline(0, color="0.7", lw=0.8)
    axes[0, 0].legend(ncol=2, frameon=False, fontsize=8)
    axes[0, 0].set(title="Soil temperature 1981-2010, tussock tundra (degC)", xlabel="month", xticks=month)
    for name, colour in (("gpp", "tab:green"), ("reco", "tab:red"), ("nee", "k")):
        axes[0, 1].plot(month, present[name] * 86400.0 * 1e3, color=colour, label=name.upper())
    axes[0, 1].axhline(0, color="0.7", lw=0.8)
    axes[0, 1].legend(frameon=False)
    axes[0, 1].set(title="Fluxes 1981-2010 (g C m$^{-2}$ d$^{-1}$)", xlabel="month", xticks=month)
    for ground, held in runs.items():
        axes[1, 0].plot(held["year"], held["activeLayerThickness"], label=ground)
    for code in thaw:
        axes[1, 0].plot(thaw.index, thaw[code], "k.", ms=3, label="CALM U12, U13" if code == "U13" else None)
    axes[1, 0].set(
        title="Active-layer thickness (m)", yscale="log", yticks=[0.3, 0.5, 1, 2, 5, 10], xlabel="year"
    )
    axes[1, 0].yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes[1, 0].legend(frameon=False, fontsize=8)
    for name, colour in (("gpp", "tab:green"), ("npp", "tab:olive"), ("rh", "tab:red"), ("nep", "k")):
        yearly = annual(ds, name)
        axes[1, 1].plot(yearly["year"], yearly, color=colour, label=name.upper(), lw=0.8)
    axes[1, 1].axhline(0, color="0.7", lw=0.8)
    axes[1, 1].legend(frameon=False, ncol=2)
    axes[1, 1].set(title="Carbon fluxes, tussock tundra (g C m$^{-2}$ yr$^{-1}$)", xlabel="year")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110)


if __name__ == "__main__":
    where = Path(os.environ.get("TALIK_SHARED", Path(__file__).parents[2] / "shared")) / "data"
    held = report(where)
    if len(sys.argv) > 1:
        draw(held, observed(where), Path(sys.argv[1]))
