"""Model-data fusion: DALEC and its posterior given drivers and observations of a pixel (what CARDAMOM does).

Importing it sets JAX up as `talik.jax64` says.
"""

import talik.jax64 as _jax64  # noqa: F401  (before JAX computes anything)
