"""The REST API: HTTP around `tracker.view.queries`, and commands to the tracker."""
