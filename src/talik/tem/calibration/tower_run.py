"""The model at towers under some parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pandas as pd

from talik.errors import InputError
from talik.tem.calibration.forward import Predicted, Sites, predict, prepare
from talik.tem.calibration.free import NOTHING
from talik.tem.calibration.settings import CalibrationSettings
from talik.tem.calibration.site_forcing import SiteFiles
from talik.tem.calibration.site_model import modelled, targets_of
from talik.tem.calibration.towers import Tower
from talik.tem.inputs import read_columns, read_run
from talik.tem.settings import Files, TemSettings

Array = npt.NDArray[np.float64]


class TowerRun:
    """Towers with their forcing, and parameters and organic soil as in a project's section `tem`.

    wanted : that section; sites : what `forward.predict` runs; place : column of each tower.
    """

    def __init__(
        self,
        towers: Sequence[Tower],
        settings: CalibrationSettings,
        forcing: SiteFiles,
        parameters: Mapping[str, Mapping[str, float]],
        organic_soil: Mapping[str, Mapping[str, float]],
    ) -> None:
        model, years = settings.model, settings.data.years
        section = {
            "climate": {"files": [str(forcing.climate)]},
            "co2": {"files": [str(forcing.co2)]},
            "land": {"files": [str(forcing.land)]},
            "cells": [(t.lat, t.lon) for t in towers],
            "equilibrium": model.equilibrium.model_copy(
                update={"climate": model.equilibrium.climate or years}
            ),
            "spin_up": model.spin_up.model_copy(update={"climate": model.spin_up.climate or years}),
            "soil_heat": model.soil_heat,
            "substeps": model.substeps,
            "parameters": parameters,
            "organic_soil": organic_soil,
        }
        self.wanted = TemSettings.model_validate(section)
        files = Files(
            climate=(str(forcing.climate),),
            co2=(str(forcing.co2),),
            land=(str(forcing.land),),
            restart=None,
            period=years,
            scenarios={},
        )
        self.towers = tuple(towers)
        self.place = {tower.site: i for i, tower in enumerate(towers)}
        columns = read_columns(self.wanted, files.paths("land"))
        self.sites: Sites = prepare(columns, read_run(self.wanted, files, columns), self.wanted)

    @cached_property
    def predicted(self) -> Predicted:
        """What the model gives, with one start.

        Raises:
            InputError: a tower whose equilibrium is not found with these parameters.
        """
        found: Predicted = jax.jit(lambda fixed, x: predict(self.sites, NOTHING, fixed, x))(
            self.sites.fixed, jnp.zeros((1, 0))
        )
        lost = [
            t.site for t, good in zip(self.towers, np.asarray(found.balanced)[0], strict=True) if not good
        ]
        if lost:
            raise InputError(
                f"{', '.join(lost)}: pools find no equilibrium with the parameters given. Move them towards those of "
                "the table, or leave the tower out."
            )
        return found

    def at(self, table: pd.DataFrame) -> Array:
        """What the model gives for rows of `Observations.table`, (row,)."""
        found: Array = np.asarray(modelled(self.predicted, targets_of(table, self.sites, self.place)))[0]
        return found
