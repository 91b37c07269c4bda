"""One saga: where it is, what it waits for, everything that happened, and what is still to come."""
