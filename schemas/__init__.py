"""The events of the example: one module a bounded context."""
