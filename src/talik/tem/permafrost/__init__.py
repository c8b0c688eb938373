"""Carbon and nitrogen of permafrost: what is frozen at the start, what thaws, and what becomes of it."""
