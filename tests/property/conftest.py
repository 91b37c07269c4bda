"""How all property tests run: a busy machine is no failure, so no example has a deadline."""

from hypothesis import settings

settings.register_profile("saga", deadline=None)
settings.load_profile("saga")
