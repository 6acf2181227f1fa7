"""The caller that a request counts for."""

import pytest

from service.api.authorize import caller_at


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.2.1", "::ffff:192.0.2.1", "::ffff:c000:201", "::ffff:192.0.2.1%eth0", "::ffff:0:192.0.2.1"),
        # NAT64: the well-known prefix, and the local one with prefixes of 96, 64 and 48 bits.
        *("64:ff9b::192.0.2.1", "64:ff9b:1::192.0.2.1", "64:ff9b:1:fffe::192.0.2.1"),
        *("64:ff9b:1:5:c0:2:100:0", "64:ff9b:1:c000:2:100::"),
        # 6to4, and Teredo, which writes the client's address with its bits inverted.
        *("2002:c000:201::1", "2002:c000:201:7::9", "2001:0:c633:6401:0:1234:3fff:fdfe"),
    ],
)
def test_an_ipv4_client_is_one_caller_however_its_address_is_written(address: str) -> None:
    assert caller_at(address) == "192.0.2.1"


def test_ipv4_clients_behind_a_dual_stack_proxy_are_callers_of_their_own() -> None:
    prefixes = ("::ffff:", "64:ff9b::", "64:ff9b:1::", "::")
    assert len({caller_at(f"{prefix}198.51.100.{host}") for prefix in prefixes for host in (1, 2, 3)}) == 3


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::4%eth0", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::1%eth1", "fe80::1%eth1"),
        ("fe80::2", "fe80::2"),
        ("unknown", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_ipv6_client_is_a_network_and_a_link_local_one_an_address(address: str, caller: str) -> None:
    assert caller_at(address) == caller


def test_the_name_of_a_caller_is_short_whatever_the_zone() -> None:
    assert len(caller_at(f"fe80::1%{'x' * 10_000}")) <= 64
