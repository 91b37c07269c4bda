"""How fresh the read model is."""

from tracker.view.model.freshness import Freshness, Tracked, freshness

__all__ = ["Freshness", "Tracked", "freshness"]
