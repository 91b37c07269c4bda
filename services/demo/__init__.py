"""The example as a whole: Kafka, the four services, a tracker, and orders that keep it busy."""
