"""Keys go where every other client of Kafka puts them."""

from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from saga.core.partition import key_partition


@given(st.binary() | st.binary(min_size=250, max_size=300), st.integers(1, 1_000))
@example(b"", 1)
@example(b"x" * 256, 7)
@example(b"x" * 257, 7)
@example(b"x" * 1_000, 7)
def test_the_partition_is_the_one_of_the_java_producer(key: bytes, partitions: int) -> None:
    assert key_partition(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
