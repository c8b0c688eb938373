"""Process-model and inversion ensembles: harmonised, masked, summarised."""
