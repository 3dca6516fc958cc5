from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given
from hypothesis.strategies import ip_addresses

from tests.webhooks.sending.registries import SPECIAL
from webhooks.sending.addresses import AddressPolicy, BlockedAddress
from webhooks.sending.special_ranges import IPV4, IPV6, Network

POLICY = AddressPolicy()
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("network", [*IPV4, *IPV6], ids=str)
def test_each_special_range_is_closed_from_end_to_end(network: Network) -> None:
    assert not POLICY.permits(network[0])
    assert not POLICY.permits(network[-1])
    with pytest.raises(BlockedAddress, match=r"is not a public address"):
        POLICY.check_addresses("host.example", [str(network[0])])


@pytest.mark.parametrize("network", map(ip_network, SPECIAL), ids=lambda network: f"{network} {SPECIAL[str(network)]}")
def test_each_range_of_the_registries_is_closed(network: Network) -> None:
    middle = network[network.num_addresses // 2]
    assert not any(map(POLICY.permits, (network[0], middle, network[-1])))


@given(ip_addresses(v=4))
def test_no_ipv4_address_is_open_in_the_clothes_of_ipv6(address: IPv4Address) -> None:
    number = int(address)
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    for disguise in (
        f"::ffff:{address}",  # mapped
        f"::{address}",  # compatible
        f"::ffff:0:{address}",  # translated
        f"64:ff9b::{address}",  # NAT64
        f"64:ff9b:1::{address}",  # NAT64 of one's own network
        f"2002:{high}:{low}::1",  # 6to4
        f"2001:0:{high}:{low}::1",  # Teredo, as the server
        f"2001::{number >> 16 ^ 0xFFFF:x}:{number & 0xFFFF ^ 0xFFFF:x}",  # Teredo, as the client
    ):
        assert not POLICY.permits(disguise), disguise


@pytest.mark.parametrize("network", [*IPV4, *IPV6], ids=str)
def test_an_allowance_opens_exactly_its_range(network: Network) -> None:
    policy = AddressPolicy(allowed_networks=(network,))
    assert policy.permits(network[0])
    assert policy.permits(network[-1])
    assert not policy.permits("10.1.2.3" if network[0] not in ip_network("10.0.0.0/8") else "192.168.0.1")


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_open(address: str) -> None:
    assert POLICY.permits(address)
    POLICY.check_addresses("host.example", [address])


@pytest.mark.parametrize(
    "address",
    [
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "2002:a00:1::",
        "2001:0:4136:e378::1",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "2606:4700::1111%eth0",
        "4000::1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "255.255.255.255",
        "localhost",
        "",
        "010.0.0.1",
    ],
)
def test_disguises_metadata_services_and_non_addresses_are_closed(address: str) -> None:
    assert not POLICY.permits(address)


def test_a_set_that_mixes_public_and_private_is_refused_as_a_whole() -> None:
    with pytest.raises(BlockedAddress, match=r"^url: mixed\.example resolves to what is not a public") as refusal:
        POLICY.check_addresses("mixed.example", ["93.184.216.34", "10.0.0.1"])
    assert "10.0.0.1" not in str(refusal.value)  # a name of our own network would tell its address so


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(BlockedAddress, match="no address"):
        POLICY.check_addresses("empty.example", [])


def test_an_allowance_does_not_open_a_disguise() -> None:
    policy = AddressPolicy(allowed_networks=(ip_network("127.0.0.0/8"),))
    assert policy.permits("127.0.0.1")
    assert not policy.permits("::ffff:127.0.0.1")
