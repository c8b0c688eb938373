"""Figures of fusion: what is drawn is what was given, both widths, and words that say the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from talik.fusion.figures import (
    alt_calibration_bands,
    alt_parameter_widths,
    alt_pixel_series,
    alt_regional_assumptions,
    alt_sampler_agreement,
    calibration_bands,
    parameter_widths,
    pixel_series,
    regional_assumptions,
    sampler_agreement,
)
from talik.fusion.switches import BEST, bounds
from talik.report.style import RED, Width, png

WIDTHS: tuple[Width, ...] = ("wide", "narrow")


def quantiles(middle: np.ndarray, sd: float) -> dict[str, np.ndarray]:
    steps = {"q2.5": -1.96, "q25": -0.674, "q50": 0.0, "q75": 0.674, "q97.5": 1.96}
    return {name: middle + z * sd for name, z in steps.items()}


def months() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    time = pd.date_range("2001-01-01", periods=60, freq="MS")
    season = 3 * np.clip(np.sin(2 * np.pi * (np.arange(60) - 3) / 12), 0, None)
    parts = []
    for name, middle, units in (
        ("gpp", season * 2, "g C m⁻² d⁻¹"),
        ("nee", 0.6 - season, "g C m⁻² d⁻¹"),
        ("lai", season / 2, "1"),
    ):
        observed = middle + 0.4 * rng.standard_normal(60)
        use = np.where(np.arange(60) < 30, "assimilated", "left_out")
        if name == "lai":
            observed, use = np.where(np.arange(60) < 30, observed, np.nan), np.full(60, "assimilated")
        parts.append(
            pd.DataFrame(
                {"variable": name, "time": time, "units": units, "observed": observed, "sd": 0.4, "use": use}
                | quantiles(middle, 0.5)
            )
        )
    return pd.concat(parts, ignore_index=True)


def draws() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    low, high = bounds(BEST)
    prior = np.exp(rng.uniform(np.log(low), np.log(high), (500, 28)))
    middle = np.exp(0.5 * (np.log(low) + np.log(high)))
    share = np.linspace(0.05, 1, 28)
    return prior, np.exp(np.log(middle) + share * (np.log(prior) - np.log(middle)))


def totals() -> pd.DataFrame:
    rows = [("common quantile", np.nan, np.nan, 450.0), ("independent", np.nan, np.nan, 4.0)]
    rows += [
        ("kernel copula", d, a, 60 + d / 20 + 200 * a) for d in (300, 1000, 3000) for a in (0, 0.25, 0.5)
    ]
    return pd.DataFrame(
        [
            {"region": "siberia", "variable": "nbp", "method": m, "length_km": d, "alpha": a, "mean": 300.0}
            | {k: float(v) for k, v in quantiles(np.array(290.0), sd).items()}
            for m, d, a, sd in rows
        ]
    )


def agreement() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"output": name, "sampler": s, "units": units, "truth": at + 0.2 * sd}
            | {k: float(v) for k, v in quantiles(np.array(at + shift * sd), sd).items()}
            for name, at, sd, units in (
                ("gpp", 640.0, 140.0, "g C m⁻² year⁻¹"),
                ("nee", -70.0, 25.0, "g C m⁻² year⁻¹"),
                ("rh", 237.0, 70.0, "g C m⁻² year⁻¹"),
                ("mrt", 73.0, 30.0, "years"),
            )
            for s, shift in (("NUTS", 0.0), ("DE-MCz", 0.05), ("AP-MCMC", 0.9))
        ]
    )


def rank_sets() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    sets = {f"parameter_{i}": rng.random(40) for i in range(6)}
    return sets | {"too_narrow": rng.beta(0.4, 0.4, 40), "gpp": rng.random(40)}


def drawn(width: Width) -> dict[str, Figure | None]:
    prior, posterior = draws()
    return {
        "series": pixel_series(months(), width),
        "parameters": parameter_widths(prior, posterior, truth=posterior[0], width=width),
        "regional": regional_assumptions(totals(), "siberia", "nbp", width),
        "calibration": calibration_bands(rank_sets(), width),
        "samplers": sampler_agreement(agreement(), width),
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_draws_at_every_width(width: Width):
    for name, figure in drawn(width).items():
        assert figure is not None, name
        assert png(figure, dpi=40).startswith(b"\x89PNG"), name


def test_points_are_those_that_were_observed_and_bands_the_limits():
    figure = pixel_series(months())
    assert figure is not None
    gpp = figure.axes[0]
    by_colour = {c.lines[0].get_color(): c.lines[0] for c in gpp.containers}
    assert {colour: len(line.get_xdata()) for colour, line in by_colour.items()} == {"#22303c": 30, RED: 30}
    outer = gpp.collections[0].get_paths()[0].get_extents()
    rows = months().query("variable == 'gpp'")
    assert outer.y0 == pytest.approx(rows["q2.5"].min())
    assert outer.y1 == pytest.approx(rows["q97.5"].max())


def test_every_assumption_is_a_row_at_its_numbers():
    figure = regional_assumptions(totals(), "siberia", "nbp")
    assert figure is not None
    ax = figure.axes[0]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[:3] == ["common quantile", "independent", "300 km, α = 0"]
    assert len(labels) == 11
    first = ax.collections[0].get_segments()[0]
    np.testing.assert_allclose(first[:, 0], totals().loc[0, ["q2.5", "q97.5"]].astype(float))


def test_only_ranks_that_leave_the_band_are_red():
    figure = calibration_bands(rank_sets())
    assert figure is not None
    red = [ax.get_title(loc="left") for ax in figure.axes if ax.lines and ax.lines[0].get_color() == RED]
    assert red == ["too narrow"]
    assert alt_calibration_bands(rank_sets()) == (
        "Ranks of the truth in 40 posteriors, of 8 quantities, against the 95 % band: 1 leave it: too narrow."
    )


def test_width_beside_a_parameter_is_its_share_of_the_prior():
    prior, posterior = draws()
    figure = parameter_widths(prior, posterior)
    assert figure is not None
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert labels[0] == "k litter to som  5 %"
    assert labels[-1] == "combustion litter  100 %"
    assert "Narrowest against the prior: k litter to som 5 %" in alt_parameter_widths(prior, posterior)


def test_words_say_the_numbers():
    rows = months()
    rows["observed"] = np.where(rows["use"] == "left_out", rows["q97.5"] + 1, rows["q50"])
    rows.loc[rows["variable"] == "lai", "observed"] = np.nan
    told = alt_pixel_series(rows, "US-Atq")
    assert "at US-Atq" in told
    assert "100 % of 60 values assimilated; 0 % of 60 values left out" in told
    assert "independent 282 to 298" in alt_regional_assumptions(totals(), "siberia", "nbp")
    assert "GPP NUTS 640, DE-MCz 647, AP-MCMC 766" in alt_sampler_agreement(agreement())


def test_nothing_to_draw_is_none():
    assert pixel_series(months().iloc[:0]) is None
    assert regional_assumptions(totals(), "alaska", "nbp") is None
    assert calibration_bands({}) is None
    assert sampler_agreement(agreement().iloc[:0]) is None
    prior, posterior = draws()
    assert parameter_widths(prior, posterior * np.nan) is None
