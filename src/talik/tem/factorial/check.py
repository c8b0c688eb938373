"""All input of the experiments read once, so that they start only if all of it is good."""

from __future__ import annotations

from typing import Any

from talik.tem.factorial.block import read_climates, sections_of
from talik.tem.factorial.design import climate_of, experiments_of
from talik.tem.inputs import CHECKED_TOGETHER, Columns
from talik.tem.permafrost.setup import stock_of, thawed_years
from talik.tem.settings import Files, TemSettings


def check_experiments(settings: TemSettings, files: Files, columns: Columns) -> dict[str, Any]:
    """What the experiments run; errors are those of the readers and of `read_climates`."""
    wanted, permafrost = sections_of(settings)
    stock = stock_of(columns, permafrost, files.paths("soil_carbon"))
    designed = experiments_of(wanted.experiments)
    notes = dict.fromkeys(stock.notes)
    last = 0
    for start in range(0, columns.lat.size, CHECKED_TOGETHER):
        cells = range(start, min(start + CHECKED_TOGETHER, columns.lat.size))
        history, scenarios = read_climates(settings, files, columns.part(cells))
        notes.update(dict.fromkeys(history.notes))
        for climate in scenarios.values():
            last = climate.years[-1]
            notes.update(dict.fromkeys(climate.notes))
            for experiment in designed.values() if start == 0 else ():
                climate_of(experiment, climate, permafrost.reference_year)
    for name, experiment in designed.items():
        own = permafrost.model_copy(
            update={"thawed_years": experiment.thawed_years or permafrost.thawed_years}
        )
        thawed_years(own, history.first_year, f"tem.factorial.experiments.{name}")
    return {
        "scenarios": list(wanted.scenarios),
        "experiments": {name: e.factors() for name, e in designed.items()},
        "climates": len({e.climate_key() for e in designed.values()}),
        "last_year": last,
        "soil_carbon": {str(k): int((stock.source == k).sum()) for k in dict.fromkeys(stock.source.tolist())},
        "notes": list(notes),
    }
