"""Pictures, from values to nodes."""
