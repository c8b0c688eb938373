"""Regional fire emissions: the real table, the factors it implies, and tables that cannot be right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from talik.errors import ConfigError, InputError, UnitsError
from talik.sources.gfed_factors import FIRE_TYPES, REGIONS, EmissionFactors
from talik.sources.gfed_regions import UNITS, implied_factors, read_gfed_regions

TABLE = "data/gfed41s-regional/gfed41s_annual_by_region.csv.gz"
NORTH = ["BONA", "BOAS"]


@pytest.fixture(scope="module")
def real(shared):
    return read_gfed_regions(shared / TABLE)


def made(years=(2016, 2017), scale=1.0):
    """A table whose emissions are dry matter times the published factors, cut to whole printed units."""
    factors = EmissionFactors()
    rows = []
    for year in years:
        burned = {
            (r, k): scale * (200.0 + 10 * i + 7 * j)
            for i, r in enumerate(REGIONS)
            for j, k in enumerate(FIRE_TYPES)
        }
        for species, unit in UNITS.items():
            per = dict.fromkeys(FIRE_TYPES, 1000.0) if species == "DM" else factors.of(species)
            mass = {key: dm * per[key[1]] / 1000.0 / unit.teragrams for key, dm in burned.items()}
            for region in (*REGIONS, "Global"):
                where = REGIONS if region == "Global" else (region,)
                for kind, name in (*FIRE_TYPES.items(), ("ALL", "All fire types combined")):
                    kinds = FIRE_TYPES if kind == "ALL" else (kind,)
                    value = np.floor(sum(mass[r, k] for r in where for k in kinds))
                    rows.append((species, unit.text, name, region, year, value, value * unit.teragrams))
    columns = ["species", "source_unit_text", "fire_type", "region", "year", "emission", "emission_Tg"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def table():
    return made()


@pytest.fixture
def written(tmp_path):
    def write(table):
        path = tmp_path / "regions.csv"
        table.to_csv(path, index=False)
        return path

    return write


def test_the_printed_totals_of_the_real_table(real):
    """Tg C of all fires as the data set's own documentation says."""
    carbon = real[(real["species"] == "C") & (real["fire_type"] == "ALL")].set_index(["region", "year"])
    found = {
        key: carbon.loc[key, "emission_Tg"]
        for key in (("BOAS", 2003), ("BOAS", 2021), ("BONA", 2021), ("BONA", 2014))
    }
    assert found == {("BOAS", 2003): 275, ("BOAS", 2021): 385, ("BONA", 2021): 259, ("BONA", 2014): 111}
    mean = carbon["emission_Tg"].unstack("year").loc[["BONA", "BOAS"], 1997:2020].mean(axis=1)
    assert mean.values == pytest.approx([64, 135], abs=1.0)
    assert len(real) == 15_750
    assert set(real.loc[real["beta"], "year"]) == set(range(2017, 2022))
    assert real["beta"].mean() == pytest.approx(5 / 25)


def test_every_published_factor_follows_from_the_real_table(real):
    """Species over dry matter, bounded because both are cut to whole units, without looking at the table of factors."""
    bounds = implied_factors(real)
    assert len(bounds) == 5 * 6
    factors = EmissionFactors()
    for row in bounds.itertuples():
        assert row.low <= factors.of(row.species)[row.fire_type] <= row.high, row
    boreal = bounds[bounds["fire_type"] == "BORF"].set_index("species")
    assert boreal.loc["CH4", "low"] == pytest.approx(5.96, rel=0.004)
    assert boreal.loc["CO2", "high"] / boreal.loc["CO2", "low"] < 1.02
    assert not (
        bounds.set_index("species").loc["CH4", "high"] < bounds.set_index("species").loc["CH4", "low"]
    ).any()


def test_northern_totals_2000_2020(real):
    """Means of the two boreal regions: gas and element mass."""
    rows = real[real["region"].isin(NORTH) & real["year"].between(2000, 2020) & (real["fire_type"] == "ALL")]
    mean = rows.groupby("species")[["emission_Tg", "unit_Tg", "element_Tg"]].sum() / 21
    assert mean.loc["CO2", "element_Tg"] == pytest.approx(623.333 * 12.011 / 44.009, rel=1e-5)
    assert mean.loc["CH4", "emission_Tg"] == pytest.approx(2.6086, abs=1e-4)
    assert mean.loc["CH4", "element_Tg"] == pytest.approx(2.6086 * 12.011 / 16.043, rel=1e-4)
    assert mean.loc["N2O", "element_Tg"] == pytest.approx(0.154 * 28.014 / 44.013, rel=1e-6)
    assert mean.loc["CO2", "unit_Tg"] == 20.0
    # per CO2-carbon, gas masses of the printed domain values (121, 1.8, 0.12), not element masses, fit these regions
    for species, domain in (("CH4", 1.8 / 121), ("N2O", 0.12 / 121)):
        ratio = mean.loc[species] / mean.loc["CO2", "element_Tg"]
        assert abs(ratio["emission_Tg"] / domain - 1) < 0.1
        assert abs(ratio["element_Tg"] / domain - 1) > 0.2


def test_a_made_table_reads(written, table):
    read = read_gfed_regions(written(table.sample(frac=1.0, random_state=0)))
    assert len(read) == len(table)
    assert read["element_Tg"].isna().equals(read["species"] == "DM")
    without = read_gfed_regions(written(table.drop(columns="emission_Tg")))
    np.testing.assert_allclose(without["emission_Tg"], table["emission_Tg"])


@pytest.mark.parametrize(
    ("column", "value", "error", "message"),
    [
        ("species", "SO2", InputError, "species 'SO2' is unknown; known are C, CH4"),
        ("region", "MOON", InputError, "region 'MOON' is unknown"),
        ("fire_type", "Camp fires", InputError, "fire_type 'Camp fires' is unknown"),
        ("source_unit_text", "1E9 g C", UnitsError, "C is in '1E9 g C' in 1 rows; expected '1E12 g C'"),
        ("emission", -1.0, InputError, "1 of 1260 rows, first C SAVA BONA 2016: the emission is negative"),
        ("emission", np.nan, InputError, "emission is missing or no number"),
        ("emission_Tg", 1.0, UnitsError, "emission_Tg of C is 1 where 97 x 1 was expected .1 rows."),
    ],
)
def test_one_wrong_entry(written, table, column, value, error, message):
    broken = table.copy()
    broken.loc[0, column] = value
    with pytest.raises(error, match=message):
        read_gfed_regions(written(broken))


def test_wrong_tables(written, table):
    with pytest.raises(InputError, match="no column year"):
        read_gfed_regions(written(table.drop(columns="year")))
    with pytest.raises(InputError, match=r"rows are missing .C SAVA BONA.*= 1260 rows, found 1259"):
        read_gfed_regions(written(table.drop(index=0)))
    with pytest.raises(InputError, match="given twice"):
        read_gfed_regions(written(pd.concat([table, table.iloc[:1]])))
    lost = table.drop(columns="emission_Tg")
    kind = lost["fire_type"] == FIRE_TYPES["PEAT"]
    with pytest.raises(
        InputError, match=r"fire_type does not add up to ALL in 180 cases.* expected at most 6"
    ):
        read_gfed_regions(written(lost.assign(emission=lost["emission"].mask(kind, 0.0))))
    north = lost["region"].isin(NORTH)
    with pytest.raises(InputError, match="region does not add up to Global"):
        read_gfed_regions(written(lost.assign(emission=lost["emission"].mask(north, 0.0))))


@pytest.mark.parametrize(("species", "factor"), [("CH4", 12.011 / 16.043), ("N2O", 28.014 / 44.013)])
def test_element_mass_is_told_from_gas_mass(written, table, species, factor):
    scaled = table.drop(columns="emission_Tg")
    scaled["emission"] = (scaled["emission"] * factor).where(scaled["species"] == species, scaled["emission"])
    with pytest.raises(
        UnitsError, match=f"{species} of AGRI is .* g per kg of dry matter; expected .* element mass"
    ):
        read_gfed_regions(written(scaled))


def test_factors_can_be_changed_and_are_checked():
    changed = EmissionFactors().with_factors("CH4", BORF=6.5)
    assert changed.of("CH4")["BORF"] == 6.5
    assert changed.of("CH4")["PEAT"] == EmissionFactors().of("CH4")["PEAT"] == 20.8
    assert (EmissionFactors().of("CO2")["BORF"], EmissionFactors().of("N2O")["BORF"]) == (1489.0, 0.41)
    with pytest.raises(ConfigError, match="expected SAVA, BORF"):
        EmissionFactors().with_factors("CH4", BOREAL=6.5)
    with pytest.raises(ConfigError, match=r"expected 0..4000 g kg-1"):
        EmissionFactors().with_factors("CH4", BORF=-1.0)
    with pytest.raises(ConfigError, match="no emission factors of SO2; known are CO2"):
        EmissionFactors().of("SO2")
    with pytest.raises(TypeError):
        EmissionFactors().of("CH4")["BORF"] = 1.0


def test_carbon_of_each_kind_exceeds_that_of_its_gases():
    """CO2, CO and CH4 hold most of the carbon of a fire, and never more than all of it."""
    factors = EmissionFactors()
    for kind in FIRE_TYPES:
        gases = sum(
            factors.of(g)[kind] * 12.011 / m for g, m in (("CO2", 44.009), ("CO", 28.010), ("CH4", 16.043))
        )
        assert 0.9 < gases / factors.of("C")[kind] <= 1.0 + 0.02
