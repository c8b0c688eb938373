"""The parts of a page of a project; each says what it shows, or None where the project has nothing for it."""
