"""One flow: its live map, the ways its sagas went, how long they took, and the file that it follows."""
