"""Bulk jobs: one action for many sagas, or a redrive, worked on behind the scenes."""
