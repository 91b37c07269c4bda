"""Flow files: their text becomes a `Flow` of the core, or problems that say where and what to do."""
