"""The projector: follows what stands in Kafka, and keeps the read model up to date."""
