"""Prediction over cubes of predictors that do not fit in memory: plan, tiles, store."""
