"""Ranges of addresses, as Kubernetes takes them."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

NO_RANGE: Final = "is no range of addresses: write one whose host bits are 0, such as 10.0.0.0/8 or 2001:db8::/32"


def network(text: str) -> IPv4Network | IPv6Network | None:
    """The range, None when the text is none: an address without a length, or one with host bits, is none."""
    try:
        return ip_network(text) if "/" in text else None
    except ValueError:
        return None


def is_inside(part: IPv4Network | IPv6Network, whole: IPv4Network | IPv6Network) -> bool:
    """Whether the range is a smaller one inside of the other."""
    if isinstance(part, IPv4Network) and isinstance(whole, IPv4Network):
        return part != whole and part.subnet_of(whole)
    if isinstance(part, IPv6Network) and isinstance(whole, IPv6Network):
        return part != whole and part.subnet_of(whole)
    return False
