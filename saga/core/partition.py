"""The partition that Kafka's own clients give a key: murmur2, as in the Java producer."""

import struct
from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C
_WORDS = [struct.Struct(f"<{words}I") for words in range(65)]


def key_partition(key: bytes, partitions: int) -> int:
    """The partition of this key among so many, equal to that of every client of Apache Kafka."""
    return _murmur2(key) % partitions


@lru_cache(maxsize=65_536)
def _murmur2(key: bytes) -> int:
    """The positive 31-bit murmur2 hash of `org.apache.kafka.common.utils.Utils`."""
    length = len(key)
    h = _SEED ^ length
    words = length // 4
    unpack = _WORDS[words] if words < len(_WORDS) else struct.Struct(f"<{words}I")
    for k in unpack.unpack_from(key):
        k = k * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = h * _M & _MASK ^ k
    rest = key[words * 4 :]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return (h ^ h >> 15) & 0x7FFFFFFF
