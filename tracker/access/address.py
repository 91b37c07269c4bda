"""Where a request comes from, when reverse proxies stand before us."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from saga.core.errors import DeclarationError

Network = IPv4Network | IPv6Network
_IPV6_SITE_BITS = 64


class Way(NamedTuple):
    """How a request came: from which address, encrypted or not, and whether through a proxy of ours."""

    address: str
    https: bool
    proxied: bool


def proxy_networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, separated by commas.

    Raises
    ------
    DeclarationError
        One is neither.
    """
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise DeclarationError(
            f"SAGA_ACCESS_PROXIES: {error}: name addresses or networks, such as 10.0.0.7,10.1.0.0/16"
        ) from None


def way_of(
    peer: str, scheme: str, forwarded_for: str, forwarded_proto: str, proxies: Sequence[Network]
) -> Way:
    """Believes what proxies of ours add to a request, and nothing that others could have written there."""
    if not _within(peer, proxies):
        return Way(peer, scheme in ("https", "wss"), False)
    address = peer
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        if not _is_address(hop):
            break
        address = hop
        if not _within(hop, proxies):
            break
    proto = forwarded_proto.rpartition(",")[2].strip().lower() or scheme
    return Way(address, proto in ("https", "wss"), True)


def counted_as(address: str) -> str:
    """What tries are counted by: who has one IPv6 address has 2**64 of them."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(IPv6Network((found, _IPV6_SITE_BITS), strict=False))
    return address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _within(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)
