"""Tells public IP addresses from private and special ones, and finds IPv4 addresses inside IPv6 ones."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_IPV4_IN_LAST_BYTES = (
    _NAT64,
    IPv6Network("::ffff:0:0/96"),
    # Stateless translation (RFC 2765), and the IPv4-compatible addresses of RFC 4291.
    IPv6Network("::ffff:0:0:0/96"),
    IPv6Network("::/96"),
)
_UNSPECIFIED_OR_LOOPBACK = (IPv6Address("::"), IPv6Address("::1"))
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


def embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address of the host that an IPv6 address stands for; None if there is none.

    Read are IPv4-mapped, translated and compatible addresses, NAT64 (RFC 6052 and 8215), 6to4 and Teredo.
    """
    if address in _UNSPECIFIED_OR_LOOPBACK:
        return None
    if any(address in network for network in _IPV4_IN_LAST_BYTES):
        return IPv4Address(address.packed[-4:])
    if address in _LOCAL_NAT64:
        return _locally_translated(address.packed)
    return address.sixtofour or (address.teredo[1] if address.teredo is not None else None)


def _locally_translated(packed: bytes) -> IPv4Address:
    """The IPv4 address in an address of 64:ff9b:1::/48, whose operator chooses the length of the prefix.

    RFC 6052, section 2.2: the address follows the prefix, byte 8 is skipped, and zeros follow.
    """
    for prefix_bytes in (6, 7, 8):
        indices = [index for index in range(prefix_bytes, prefix_bytes + 5) if index != 8][:4]  # noqa: PLR2004
        if not packed[8] and any(packed[index] for index in indices) and not any(packed[indices[-1] + 1 :]):
            return IPv4Address(bytes(packed[index] for index in indices))
    return IPv4Address(packed[-4:])


def _is_ordinary(address: IPv4Address | IPv6Address) -> bool:
    is_special = address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC)
    return address.is_global and not is_special
