from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from tests.webhooks.sending.senders import LOOPBACK, PATIENCE
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.outcome import Kind
from webhooks.sending.resolver import Resolution, Resolver
from webhooks.sending.target import parse_target

LOCALHOST = parse_target("https://localhost/")


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    resolver = Resolver(policy=LOOPBACK)
    yield resolver
    resolver.close()


def test_a_name_is_resolved_and_then_known(resolver: Resolver) -> None:
    assert resolver.known(LOCALHOST) is None
    resolution = resolver.resolve(LOCALHOST, timeout=PATIENCE)
    assert resolution is not None
    assert "127.0.0.1" in resolution.addresses
    assert resolver.known(LOCALHOST) is resolution


def test_an_address_needs_no_look_up(resolver: Resolver) -> None:
    assert resolver.known(parse_target("https://127.0.0.1/")) == Resolution(("127.0.0.1",))
    assert resolver.known(parse_target("https://[::1]/")) == Resolution(("::1",))


def test_a_name_that_leads_inside_is_blocked_with_its_address() -> None:
    resolver = Resolver(policy=AddressPolicy())
    resolution = resolver.resolve(LOCALHOST, timeout=PATIENCE)
    resolver.close()
    assert resolution is not None
    assert (resolution.kind, resolution.addresses) == (Kind.BLOCKED, ())
    assert "localhost resolves to" in resolution.error


def test_an_unknown_name_is_a_dns_failure(resolver: Resolver) -> None:
    resolution = resolver.resolve(parse_target("https://nobody.invalid/"), timeout=PATIENCE)
    assert resolution is not None
    assert resolution.kind is Kind.DNS


def test_everybody_who_asks_is_told(resolver: Resolver) -> None:
    told: SimpleQueue[tuple[int, Resolution]] = SimpleQueue()
    for number in range(100):
        resolver.look_up(LOCALHOST, lambda resolution, number=number: told.put((number, resolution)))  # type: ignore[misc]
    answers = dict(told.get(timeout=PATIENCE) for _ in range(100))
    assert set(answers) == set(range(100))
    assert {resolution.kind for resolution in answers.values()} == {None}


def test_a_closed_resolver_keeps_nobody_waiting(resolver: Resolver) -> None:
    resolver.close()
    resolution = resolver.resolve(LOCALHOST, timeout=PATIENCE)
    assert resolution is not None
    assert resolution.kind is Kind.DNS
