"""Abrupt thaw: areas of terrain that pass from state to state, and the carbon that each state exchanges."""
