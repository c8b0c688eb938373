"""The data-driven inventory: class areas times fluxes, inland waters, fire, abrupt thaw, human and lateral fluxes."""
