"""Monthly forcing of the process model from a climatology, patterns of warming and a warming series."""
