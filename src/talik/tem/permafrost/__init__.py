"""Carbon and nitrogen of permafrost: what was frozen, what thaws, and what becomes of it."""
