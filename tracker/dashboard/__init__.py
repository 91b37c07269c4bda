"""The pages: what `tracker.view.queries` answers, as trees that a browser draws and keeps up to date."""
