"""`talik tem factorial` as a user meets it: bad input is named before anything runs; a good run says what it did."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from typer.testing import CliRunner

from talik.cli import app
from talik.cli.tem import audit_text

_path = Path(__file__).parents[1] / "tem" / "scenarios.py"
_spec = importlib.util.spec_from_file_location("tem_scenarios", _path)
scenarios = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(scenarios)
runner = CliRunner()

MILD = {"climate": ["mild.nc"], "co2": "low"}
WARM = {"climate": ["warm.nc"], "co2": "high"}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled functions go to a folder of the test session, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the world, good ones, and some that are not."""
    folder = scenarios.files(tmp_path_factory.mktemp("factorial"))
    scenarios.climate(folder / "hole.nc", 2004, 2010, without=(2004,))
    scenarios.climate(folder / "gap.nc", 2004, 2010, without=(2007,))
    scenarios.climate(folder / "short.nc", 2004, 2009)
    scenarios.climate(folder / "one-year.nc", 2004, 2005)
    scenarios.co2(folder / "co2-short.csv", last={"low": 2008})
    scenarios.soil_carbon(folder / "negative.nc", negative=True)
    with xr.load_dataset(folder / "land.nc") as land:
        land.drop_vars("cell_area").to_netcdf(folder / "no-area.nc")
        land.drop_vars(["sand", "silt", "clay"]).to_netcdf(folder / "no-texture.nc")
    return folder


def talik(project: Path, *options: str, command: str = "factorial", code: int = 0) -> Any:
    result = runner.invoke(app, ["tem", command, str(project), *options])
    assert result.exit_code == code, result.output
    return result


def scenario(**changes: Any) -> dict[str, Any]:
    """Another section factorial, with one scenario changed or added."""
    return {"factorial": scenarios.factorial(scenarios={"warm": WARM, "mild": MILD, **changes})}


def permafrost(**changes: Any) -> dict[str, Any]:
    return {"permafrost": {"reference_year": 2005, "soil_carbon": {"files": ["carbon.nc"]}, **changes}}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"permafrost": None}, "tem.factorial: needs the section permafrost"),
        ({"factorial": None}, "the section tem has no factorial. Add scenarios and experiments"),
        ({"factorial": {"scenarios": {}}}, "tem.factorial.scenarios"),
        (
            {"factorial": scenarios.factorial(experiments="publisht")},
            "tem.factorial.experiments: 'publisht' is unknown; choose one of: published, sensitivities",
        ),
        (
            {"factorial": scenarios.factorial(experiments={"S_PF": {"permafrost": "fixed"}})},
            "every experiment changes something",
        ),
        (
            {"factorial": scenarios.factorial(experiments={"S_Trans": {}, "odd": {"rain": "fixed"}})},
            "rain",
        ),
        (
            {"factorial": scenarios.factorial(experiments={"S_Trans": {}, "odd": {"co2": {"fixed": 2003}}})},
            "co2 fixed at 2003; the scenario holds 2004..2010",
        ),
        (
            {
                "factorial": scenarios.factorial(
                    experiments={"S_Trans": {}, "odd": {"thawed_years": [1996, 2005]}}
                )
            },
            "tem.factorial.experiments.odd: thawed_years 1996..2005; expected years of the run, 2001 or later, up to "
            "the reference year 2005",
        ),
        (permafrost(thawed_years=[2001, 2006]), "thawed_years 2001..2006; expected years of the run"),
        (
            {"factorial": scenarios.factorial(variables=["npp", "rain"])},
            "tem.factorial.variables: 'rain' is unknown; choose from: gpp, npp",
        ),
        (
            {"factorial": scenarios.factorial(monthly=["cVeg"])},
            "tem.factorial.monthly: 'cVeg' is unknown; choose from: gpp, npp",
        ),
        (
            scenario(mild={**MILD, "climate": ["short.nc"]}),
            "the scenarios end in 2009, 2010, but their experiments are compared year by year",
        ),
        (
            scenario(mild={**MILD, "climate": ["hole.nc"]}),
            "tem.factorial.scenarios.mild: holds 2005..2010, the years before end with 2003; expected 2004 first",
        ),
        (
            scenario(mild={**MILD, "climate": ["gap.nc"]}),
            "gap.nc: tas: 2007-01, 2007-02, 2007-03 and 9 more missing. Expected every month once",
        ),
        (
            scenario(mild={**MILD, "climate": ["joined.nc"]}),
            "holds 2001..2010, the years before end with 2003",
        ),
        (scenario(mild={**MILD, "climate": ["missing-*.nc"]}), "no file fits 'missing-*.nc'"),
        (
            {
                "factorial": scenarios.factorial(
                    scenarios={"brief": {"climate": ["one-year.nc"], "co2": "high"}}
                )
            },
            "brief: holds 2004..2005; expected the reference year 2005 and years after it",
        ),
        (permafrost(reference_year=2003), "expected the reference year 2003 and years after it"),
        (permafrost(reference_year=2010), "expected the reference year 2010 and years after it"),
        (scenario(mild={**MILD, "co2": "medium"}), "scenario is 'medium'; choose one of: high, low"),
        (
            {"co2": {"files": ["co2-short.csv"], "scenario": "high"}},
            "co2-short.csv: no CO2 for 2 of 7 years, first 2009",
        ),
        (permafrost(soil_carbon={}), "tem.permafrost: no soil_carbon.files and no profiles of"),
        (
            permafrost(soil_carbon={"files": ["carbon.nc"], "gaps": "error"}),
            "carbon.nc: soil_carbon lacks some depths in 1 of 8 cells",
        ),
        (permafrost(soil_carbon={"files": ["negative.nc"]}), "negative.nc: soil_carbon: 1 of 8 cells, first"),
        (permafrost(profiles={"tundra": [1, 2, 3, 4]}), "tem.permafrost.profiles: 'tundra' is unknown"),
        (permafrost(profiles={"wet_tundra": [1, -2, 3, 4]}), "profiles.wet_tundra is 1, -2, 3, 4"),
        ({"land": {"files": ["no-area.nc"]}}, "no cell_area in the land files"),
        ({"land": {"files": ["no-texture.nc"]}}, "no-texture.nc: no sand; expected soil texture"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(folder: Path, changes: dict[str, Any], says: str) -> None:
    result = talik(scenarios.project(folder, "bad", **changes), code=2)
    assert says in result.stderr, result.stderr
    assert "Traceback" not in result.output
    assert not (folder / "bad").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            permafrost(reference_year=2000),
            "reference_year is 2000, the run is 2001..2003; expected a year of the run",
        ),
        (permafrost(reference_year=2002, thawed_years=[2000, 2002]), "thawed_years 2000..2002"),
        (permafrost(soil_carbon={"files": ["negative.nc"]}), "negative.nc: soil_carbon: 1 of 8 cells, first"),
    ],
)
def test_a_plain_run_with_bad_permafrost_writes_nothing(
    folder: Path, changes: dict[str, Any], says: str
) -> None:
    result = talik(
        scenarios.project(folder, "bad-run", **{"factorial": None, **changes}), command="run", code=2
    )
    assert says in result.stderr, result.stderr
    assert not (folder / "bad-run").exists()


def test_a_dry_run_says_what_would_run(folder: Path) -> None:
    project = scenarios.project(folder, "dry", factorial=scenarios.factorial(experiments="published"))
    result = talik(project, "--dry-run")
    assert "8 cells in 9 columns, 2001..2003" in result.stderr
    assert "10 experiments of 4 climates under warm, mild, to 2010" in result.stderr
    for note in (
        "1 of 9 cells are ice and are left out",
        "soil_carbon lacks some depths in 1 of 8 cells, first (66.25, -149.75): taken as not observed",
        "soil carbon: 1 of 9 columns have the mean profile of their community (wet_tundra)",
        "tas: K to degC",
    ):
        assert note in result.stderr
    told = json.loads(talik(project, "--dry-run", "--json").stdout)
    assert told["soil_carbon"] == {"observed": 8, "community": 1}
    assert told["experiments"]["S_CO2&Prec"] == ["precipitation", "co2"]
    assert [row["step"] for row in told["plan"]] == [
        "tem-spinup-cells", "tem-stock", "tem-factorial-cells", "tem-factorial"
    ]  # fmt: skip
    assert not (folder / "dry").exists()


def test_a_plain_run_before_the_reference_year_says_that_nothing_is_frozen(folder: Path) -> None:
    told = talik(scenarios.project(folder, "early"), "--dry-run", command="run")
    assert "reference_year is 2005, the run is 2001..2003: nothing is frozen yet" in told.stderr
    assert "1 of 9 columns have the mean profile of their community (wet_tundra)" in told.stderr


def test_spin_up_then_experiments(folder: Path) -> None:
    """The second command goes on from the first, and both print their audit."""
    few = scenarios.factorial(
        experiments={"S_Trans": {}, "S_PF": {"permafrost": "fixed"}}, variables=["npp", "nep"]
    )
    project = scenarios.project(folder, "good", factorial=few)
    spun = talik(project, command="spinup")
    assert "pools stood still in" in spun.stdout
    assert str(folder / "good" / "tem-spinup.nc") in spun.stdout
    result = talik(project, "--resume")
    assert "tem-spinup-cells: 3 units, 3 done" in result.stderr
    assert "warm: year 2006 of 2010, 2 experiments" in result.stderr
    for scenario in ("warm", "mild"):
        assert (
            f"no permafrost in the reference year, so no frozen carbon, in 0 of 9 columns ({scenario})"
            in result.stdout
        )
    for name in ("tem-history.nc", "tem-experiments.nc", "tem-experiments-audit.json"):
        assert str(folder / "good" / name) in result.stdout
    with xr.open_dataset(folder / "good" / "tem-experiments.nc") as ds:
        assert {"npp", "nep"} == {
            n for n in ds.data_vars if "experiment" in ds[n].dims and "year" in ds[n].dims
        }
        assert "thawedCarbonByDepth" in ds


def test_columns_without_permafrost_are_told() -> None:
    audit = {"columns": 9, "without_permafrost": {"ssp126": 2, "ssp585": 3}}
    assert audit_text(audit).splitlines() == [
        "no permafrost in the reference year, so no frozen carbon, in 2 of 9 columns (ssp126)",
        "no permafrost in the reference year, so no frozen carbon, in 3 of 9 columns (ssp585)",
    ]
