"""Searches that people have saved."""

from tracker.view.model.views import NAME_LENGTH_MAX, SavedView, ViewStore, views_of

__all__ = ["NAME_LENGTH_MAX", "SavedView", "ViewStore", "views_of"]
