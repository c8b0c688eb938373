<<<<<<< HEAD
"""Carbon and nitrogen of permafrost: what was frozen, what thaws, and what becomes of it."""
=======
"""Carbon and nitrogen of permafrost: what is frozen at the start, what thaws, and what becomes of it."""
>>>>>>> wt-stock
