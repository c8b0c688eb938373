"""A world whose fluxes are known, and what would be measured and modelled in it (observing-system simulation)."""
