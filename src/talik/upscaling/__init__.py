"""Learn monthly fluxes from sites, say how good the model is where there is none, and predict."""
