"""Tells public IP addresses from private and special ones."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = (
    # Teredo and 6to4 addresses embed an IPv4 address, which an unknown relay connects to.
    IPv6Network("2001::/23"),
    IPv6Network("2002::/16"),
    # In IANA's special-purpose registries, but unknown to older versions of Python.
    IPv6Network("3fff::/20"),
    IPv4Network("192.0.0.0/24"),
    # Azure's virtual machine agent: a public address by range, but local to the machine.
    IPv4Network("168.63.129.16/32"),
)


def is_public(address: str) -> bool:
    """Whether an IP address, as the resolver writes it, belongs to the public internet."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None and parsed not in _NAT64:
            return parsed in _GLOBAL_UNICAST and _is_ordinary(parsed)
        # Connections to IPv4-mapped and NAT64 addresses reach the IPv4 address in the last four bytes.
        parsed = IPv4Address(parsed.packed[-4:])
    return _is_ordinary(parsed)


def _is_ordinary(address: IPv4Address | IPv6Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special
