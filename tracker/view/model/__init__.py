"""The read model: the newest state of every saga in SQL, SQLite or PostgreSQL. Only here is SQL spoken.

It can be thrown away at any time: all of it is made from Kafka.
"""
