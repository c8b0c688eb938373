"""The state model of abrupt thaw: golden values, an independent solver, conservation, order of convergence."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from talik.errors import ConfigError, InputError
from talik.inventory.thaw.kernels import Network, Plan, advance, plan
from talik.inventory.thaw.read import parse_table, published, published_text
from talik.inventory.thaw.result import Settings, run, total
from talik.inventory.thaw.simulate import simulate

TABLE = published()
RUNS = {scenario: run(TABLE, Settings(scenario=scenario, draws=100)) for scenario in ("rcp45", "rcp85")}

# areas in km2 that an independent run of the published parameter files gave, to 1 km2
AREAS = {
    ("rcp85", "hillslopes", "hillslopes", 2000): (898816, 1797, 9387),
    ("rcp85", "hillslopes", "hillslopes", 2020): (881937, 11867, 16196),
    ("rcp85", "hillslopes", "hillslopes", 2100): (657302, 62933, 189764),
    ("rcp45", "hillslopes", "hillslopes", 2020): (893809, 4844, 11347),
    ("rcp45", "hillslopes", "hillslopes", 2100): (815537, 23958, 70505),
    ("rcp85", "mineral_lowlands", "yedoma", 2000): (170135, 3031, 71967, 62867),
    ("rcp85", "mineral_lowlands", "non_yedoma", 2000): (596665, 8905, 112271, 206159),
    ("rcp85", "mineral_lowlands", "yedoma", 2020): (158615, 14280, 71891, 63214),
    ("rcp85", "mineral_lowlands", "non_yedoma", 2020): (558061, 46642, 113309, 205987),
    ("rcp85", "mineral_lowlands", "yedoma", 2100): (106621, 56460, 74498, 70420),
    ("rcp85", "mineral_lowlands", "non_yedoma", 2100): (406307, 168284, 133833, 215576),
    ("rcp45", "mineral_lowlands", "yedoma", 2020): (159569, 13352, 71866, 63214),
    ("rcp45", "mineral_lowlands", "non_yedoma", 2020): (559513, 45229, 113271, 205987),
    ("rcp45", "mineral_lowlands", "yedoma", 2100): (123767, 41623, 72305, 70305),
    ("rcp45", "mineral_lowlands", "non_yedoma", 2100): (433449, 144738, 130415, 215398),
    ("rcp85", "organic_lowlands", "boreal", 2000): (457381, 58720, 60606, 220023, 240921),
    ("rcp85", "organic_lowlands", "tundra", 2000): (182835, 16398, 19605, 74403, 84409),
    ("rcp85", "organic_lowlands", "boreal", 2020): (412768, 78210, 78346, 223413, 244914),
    ("rcp85", "organic_lowlands", "tundra", 2020): (171299, 21729, 24080, 74853, 85688),
    ("rcp85", "organic_lowlands", "boreal", 2100): (262375, 112819, 119438, 278940, 264078),
    ("rcp85", "organic_lowlands", "tundra", 2100): (126277, 34772, 36885, 88267, 91449),
}
# CH4, CO2 and balance in Tg C yr-1 (2000-2020, then 2000-2100) and cumulative balance to 2300 in Pg C, uptake positive,
# each with half a unit of its last printed digit
FLUXES = {
    ("rcp85", "hillslopes"): ("-4.06 -0.34 -4.43", "-5.81 -39.9 -45.9", "-28.8"),
    ("rcp45", "hillslopes"): ("-3.87 3.63 -0.26", "-4.47 -9.74 -14.3", "-12.6"),
    ("rcp85", "mineral_lowlands"): ("-7.76 -11.64 -21.05", "-12.8 -33.0 -47.2", "-25.9"),
    ("rcp45", "mineral_lowlands"): ("-7.70 -11.42 -20.77", "-11.8 -28.7 -42.0", "-20.0"),
    ("rcp85", "organic_lowlands"): ("-19.05 -19.31 -38.36", "-22.4 -43.2 -65.7", "-22.3"),
}


def near(found: float, printed: str) -> None:
    """`found` (up positive) agrees with a printed value (uptake positive) to 0.5 % or half its last digit."""
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    assert abs(found + float(printed)) <= max(0.005 * abs(float(printed)), half) * (1 + 1e-9), (
        found,
        printed,
    )


@pytest.mark.parametrize("case", list(AREAS), ids=lambda c: "-".join(map(str, c)))
def test_areas(case: tuple[str, str, str, int]) -> None:
    scenario, terrain, part, year = case
    course = RUNS[scenario].terrains[terrain].courses[part]
    np.testing.assert_allclose(course.area[course.years.index(year), :, 0], AREAS[case], rtol=0, atol=0.5001)


@pytest.mark.parametrize("case", list(FLUXES), ids="-".join)
def test_means_and_sums(case: tuple[str, str]) -> None:
    recent, century, to_2300 = FLUXES[case]
    means = RUNS[case[0]].terrains[case[1]].means
    for span, printed in (((2000, 2020), recent), ((2000, 2100), century)):
        for kind, text in zip(("ch4", "co2", "balance"), printed.split(), strict=True):
            near(means[kind, span].mean, text)  # type: ignore[index]
    near(0.3 * means["balance", (2000, 2300)].mean, to_2300)


def test_agreement_with_print() -> None:
    """Published: organic lowlands 19 and 19, all 31 and 31 Tg C yr-1; 80 +- 19 Pg C to 2300; 7 % of 18.4 Mkm2."""
    rcp85 = RUNS["rcp85"]
    organic, recent = rcp85.terrains["organic_lowlands"].means, (2000, 2020)
    assert organic["co2", recent].mean == pytest.approx(19.3, abs=0.05)
    assert organic["ch4", recent].mean == pytest.approx(19.1, abs=0.05)
    assert rcp85.totals["co2", recent].mean == pytest.approx(31.3, abs=0.05)
    assert rcp85.totals["ch4", recent].mean == pytest.approx(30.9, abs=0.05)
    assert 0.3 * rcp85.totals["balance", (2000, 2300)].mean == pytest.approx(77.0, abs=0.5)
    features = sum(
        c.area[100, c.counted("features"), 0].sum()
        for t in rcp85.terrains.values()
        for c in t.courses.values()
    )
    assert features == pytest.approx(1.25e6, abs=0.005e6)
    assert round(100 * features / 18.4e6) == 7


def test_features_only() -> None:
    courses = RUNS["rcp85"].terrains["organic_lowlands"].courses
    assert total(courses, "co2", (2000, 2020), "features")[0] == pytest.approx(31.8, abs=0.05)
    assert total(courses, "ch4", (2000, 2020), "features")[0] == pytest.approx(19.1, abs=0.05)


def test_area_is_conserved() -> None:
    for found in RUNS.values():
        for terrain in found.terrains.values():
            for course in terrain.courses.values():
                whole = course.area.sum(axis=1)
                np.testing.assert_allclose(whole, np.broadcast_to(whole[0], whole.shape), rtol=1e-14)
                assert course.area.min() >= 0.0
                held = course.held.sum(axis=1)
                np.testing.assert_allclose(held, np.broadcast_to(whole[0], held.shape), rtol=1e-13)


def oracle(
    area: np.ndarray, net: Network, rate: np.ndarray, growth: np.ndarray, times: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Areas at `times` and cumulative integrals from DOP853, from the matrix of the system."""
    n = area.size
    matrices = np.zeros((2, n, n))
    for k, (i, j) in enumerate(zip(net.origin, net.target, strict=True)):
        for matrix, value in zip(matrices, (rate[k], growth[k]), strict=True):
            matrix[i, i] -= value
            matrix[j, i] += value

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return np.concatenate([(matrices[0] + t * matrices[1]) @ y[:n], y[:n]])

    found = [np.concatenate([area, np.zeros(n)])]
    for first, last in itertools.pairwise(times):  # ends of steps: values between them are interpolated
        solved = solve_ivp(slope, (first, last), found[-1], "DOP853", rtol=1e-12, atol=1e-12 * area.sum())
        found.append(solved.y[:, -1])
    return np.array(found)[:, :n], np.array(found)[:, n:]


def network(part: str, terrain: str) -> tuple[Network, list[str]]:
    found = TABLE.terrains[terrain].parts[part]
    states = list(found.states)
    origin = np.array([states.index(t.origin) for t in found.transitions])
    target = np.array([states.index(t.target) for t in found.transitions])
    return Network(origin, target), states


@pytest.mark.parametrize(("terrain", "part"), [(k, p) for k, t in TABLE.terrains.items() for p in t.parts])
def test_published_terrains_against_a_solver_of_scipy(terrain: str, part: str) -> None:
    net, states = network(part, terrain)
    found = TABLE.terrains[terrain].parts[part]
    rates = [found.rate(t.rate, "rcp85") for t in found.transitions]
    rate, growth = np.array([r.rate for r in rates]), np.array([r.growth for r in rates])
    spin = np.array([found.rate(t.rate, "spin_up").rate for t in found.transitions])
    start = np.array([found.states[s].area_km2 for s in states])
    in_2000 = oracle(start, net, spin, 0 * spin, [0.0, 100.0])[0][-1]
    area, integral = oracle(in_2000, net, rate, growth, [0.0, 20.0, 100.0, 300.0])
    course = simulate(TABLE.terrains[terrain], TABLE, "rcp85", [1900, 2000, 2020, 2100, 2300])[part]
    np.testing.assert_allclose(course.area[1:, :, 0], area, rtol=1e-10)
    np.testing.assert_allclose(np.cumsum(course.held[1:, :, 0], axis=0), integral[1:], rtol=1e-10)


@st.composite
def systems(draw: st.DrawFn) -> tuple[np.ndarray, Network, np.ndarray, np.ndarray, float]:
    """A random network of 2 to 4 states, with rates to 3 a year that may grow or fall to zero."""
    states = draw(st.integers(2, 4))
    count = draw(st.integers(1, 5))
    origin = np.array(draw(st.lists(st.integers(0, states - 1), min_size=count, max_size=count)))
    shift = np.array(draw(st.lists(st.integers(1, states - 1), min_size=count, max_size=count)))
    numbers = st.lists(st.floats(0.0, 3.0), min_size=count, max_size=count)
    first, last, years = (
        np.array(draw(numbers)),
        np.array(draw(numbers)),
        draw(st.sampled_from([1.0, 7.0, 20.0])),
    )
    area = np.array(draw(st.lists(st.floats(1.0, 1e6), min_size=states, max_size=states)))
    return area, Network(origin, (origin + shift) % states), first, (last - first) / years, years


@given(systems())
@settings(max_examples=15)
def test_any_network_against_a_solver_of_scipy(
    system: tuple[np.ndarray, Network, np.ndarray, np.ndarray, float],
) -> None:
    area, net, rate, growth, years = system
    times = [0.0, 0.3 * years, years]
    by = plan(net, rate[:, None], growth[:, None], years, 0.7 * years)
    found, held = advance(area[:, None], net, rate[:, None], growth[:, None], times, by)
    expected, integral = oracle(area, net, rate, growth, times)
    whole = area.sum()
    np.testing.assert_allclose(found[:, :, 0], expected, rtol=1e-10, atol=2e-11 * whole)
    np.testing.assert_allclose(held.sum(axis=0)[:, 0], integral[-1], rtol=1e-10, atol=2e-11 * whole * years)
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=1e-13)


@pytest.mark.parametrize("order", [2, 3, 4, 5])
def test_halving_the_step_shows_the_order(order: int) -> None:
    """The error of a series cut at power p falls by 2**p when the step is halved."""
    net = Network(np.array([0, 1, 2, 1]), np.array([1, 2, 0, 0]))
    rate, growth = np.array([[0.2], [0.3], [0.1], [0.05]]), np.array([[0.02], [0.0], [-0.004], [0.01]])
    area, times = np.array([[5.0], [2.0], [1.0]]), [0.0, 8.0]
    exact, exact_held = advance(area, net, rate, growth, times, Plan(0.05, 14))
    errors = []
    for step in (0.25, 0.125, 0.0625):
        found, held = advance(area, net, rate, growth, times, Plan(step, order))
        errors.append((np.abs(found - exact).max(), np.abs(held - exact_held).max()))
    measured = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    np.testing.assert_allclose(measured, order, atol=0.25)


def test_constant_rates_decay_exponentially() -> None:
    net, rate = Network(np.array([0]), np.array([1])), np.array([[0.07, 0.4]])
    by = plan(net, rate, 0 * rate, 50, 50)
    areas, held = advance(np.array([[100.0, 100.0], [0.0, 0.0]]), net, rate, 0 * rate, [0, 50], by)
    np.testing.assert_allclose(areas[1, 0], 100 * np.exp(-50 * rate[0]), rtol=1e-11)
    np.testing.assert_allclose(held[0, 0], -100 * np.expm1(-50 * rate[0]) / rate[0], rtol=1e-13)


def test_mean_is_not_that_of_annual_values() -> None:
    """The trapezoid over annual hillslope CO2 of 2000 to 2020 is off by 1.3 %; the integral is not."""
    course = RUNS["rcp85"].terrains["hillslopes"].courses["hillslopes"]
    density = course.carbon["co2"][100, :, 0] / course.held[100, :, 0]
    trapezoid = np.trapezoid(course.area[100:121, :, 0], axis=0) @ density / 20
    exact = RUNS["rcp85"].terrains["hillslopes"].means["co2", (2000, 2020)].mean
    assert abs(trapezoid / exact - 1) == pytest.approx(0.013, abs=0.001)


def test_factor_of_a_transition_is_a_second_transition() -> None:
    """One transition at twice a rate moves the same area as two at that rate."""
    doubled = published_text().replace(
        "- {from: undisturbed, to: active, rate: disturbance}",
        "- {from: undisturbed, to: active, rate: disturbance, factor: 2}",
    )
    twice = published_text().replace(
        "- {from: undisturbed, to: active, rate: disturbance}",
        "- {from: undisturbed, to: active, rate: disturbance}\n"
        "          - {from: undisturbed, to: active, rate: disturbance}",
    )
    found = [
        simulate(table.terrains["hillslopes"], table, "rcp85", [1900, 2000, 2100])["hillslopes"].area
        for table in (parse_table(doubled, "a"), parse_table(twice, "b"))
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-13)
    published_area = RUNS["rcp85"].terrains["hillslopes"].courses["hillslopes"].area[200]
    assert found[0][-1, 1, 0] > 1.5 * published_area[1, 0]


def test_balance_without_reburial() -> None:
    """From the areas: undisturbed 3.6, active -99 - 2189, stabilised 31 + 1 g C m-2 yr-1, uptake positive."""
    other = run(TABLE, Settings(balance="without_reburial", draws=100))
    course = RUNS["rcp85"].terrains["hillslopes"].courses["hillslopes"]
    expected = -1e-6 * np.array([3.6, -2288.0, 32.0]) @ course.held[100:120, :, 0].sum(axis=0) / 20
    recent = (2000, 2020)
    assert other.terrains["hillslopes"].means["balance", recent].mean == pytest.approx(expected, rel=1e-12)
    for key in TABLE.terrains:
        same, before = other.terrains[key].means, RUNS["rcp85"].terrains[key].means
        assert same["co2", recent] == before["co2", recent]
        assert (same["balance", recent] == before["balance", recent]) == (key != "hillslopes")
    assert other.notes == (
        "balance without_reburial in hillslopes; it changes the balance, not CO2 and CH4.",
    )


def test_a_choice_made_here_is_told() -> None:
    assert "RCP4.5 were not published" in RUNS["rcp45"].notes[0]
    assert RUNS["rcp85"].notes == ()


def test_rate_below_zero() -> None:
    text = published_text().replace(
        "rcp85: {rate: 2.0e-4, growth: 1.0e-4}", "rcp85: {rate: 2.0e-4, growth: -1.0e-6}"
    )
    with pytest.raises(
        InputError, match=r"hillslopes, rcp85: rate disturbance starts at 0.0002 yr-1.*below zero"
    ):
        run(parse_table(text, "mine.yaml"))
    assert run(parse_table(text, "mine.yaml"), Settings(to=2120, draws=100)).spans == (
        (2000, 2020),
        (2000, 2100),
        (2000, 2120),
    )


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        (
            Settings(scenario="rcp26"),
            "scenario 'rcp26' is not in the table of terrains; choose one of: rcp45, rcp85",
        ),
        (Settings(to=2010), "ends in 2010; expected a year from 2020 to 3000"),
        (Settings(draws=10), "10 draws are too few"),
        (
            Settings(balance="reburied"),
            "balance 'reburied' is in no terrain of the table; found: without_reburial",
        ),
    ],
)
def test_settings_that_cannot_run(settings_: Settings, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        run(TABLE, settings_)
