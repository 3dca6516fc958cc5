"""Names that lead astray, change their mind or lead nowhere: a real name server, over both transports.

127.0.0.1 is open here and stands for a public address; 127.0.0.2 is closed and stands for a private one.
"""

from ipaddress import ip_network
from itertools import count, cycle
from time import sleep

import pytest

from tests.webhooks.sending.names import NXDOMAIN, SERVFAIL, SILENCE, Answer, NameServer
from tests.webhooks.sending.peers import OK, Connection, Peer, answering, closing, status
from tests.webhooks.sending.senders import Opener, Serve, collect, make, sender
from webhooks.sending import resolver
from webhooks.sending.addresses import AddressPolicy
from webhooks.sending.outcome import Kind

OPEN, CLOSED = "127.0.0.1", "127.0.0.2"
POLICY = AddressPolicy(allowed_networks=(ip_network(OPEN),), allow_http=True)
ONCE = status("200 OK", "Connection: close", body=b"ok")


@pytest.fixture
def outside(serve: Serve) -> Peer:
    return serve(closing(ONCE))


@pytest.fixture
def inside(serve: Serve, outside: Peer) -> Peer:
    """What must never be reached, at the same port."""
    return serve(closing(ONCE), address=CLOSED, port=outside.port)


def test_a_name_leads_to_its_address(opener: Opener, names: NameServer, outside: Peer) -> None:
    names.zone["hooks.example"] = [OPEN]
    outcome = sender(opener(policy=POLICY))(outside.url(host="hooks.example"))
    assert (outcome.kind, outcome.address) == (Kind.DELIVERED, OPEN)
    assert outcome.timing.dns is not None


@pytest.mark.parametrize(
    "answer",
    [
        [OPEN, CLOSED],
        [CLOSED, OPEN],
        [OPEN, "::1"],
        [OPEN, "::ffff:127.0.0.1"],
        [OPEN, "64:ff9b::7f00:1"],
        [OPEN] * 40 + ["10.0.0.1"],
        [CLOSED],
        ["169.254.169.254"],
        ["0.0.0.0"],  # noqa: S104 - a target here, bound by nobody
    ],
    ids=lambda answer: ",".join(answer)[:40],
)
def test_a_name_with_a_closed_address_among_its_own_is_blocked(
    opener: Opener, names: NameServer, outside: Peer, inside: Peer, answer: Answer
) -> None:
    names.zone["mixed.example"] = answer
    outcome = sender(opener(policy=POLICY))(outside.url(host="mixed.example"))
    assert (outcome.kind, outcome.address) == (Kind.BLOCKED, None)
    assert "mixed.example resolves to what is not a public address" in outcome.error
    assert CLOSED not in outcome.error
    assert (outside.accepted, inside.accepted) == (0, 0)


def test_an_alias_of_a_closed_address_is_blocked(
    opener: Opener, names: NameServer, outside: Peer, inside: Peer
) -> None:
    names.zone |= {"alias.example": ["=inside.example", CLOSED], "inside.example": [CLOSED]}
    assert sender(opener(policy=POLICY))(outside.url(host="alias.example")).kind is Kind.BLOCKED
    assert (outside.accepted, inside.accepted) == (0, 0)


def test_a_name_that_changes_between_check_and_connect_is_connected_as_checked(
    opener: Opener, names: NameServer, outside: Peer, inside: Peer
) -> None:
    answers = count()
    names.zone["rebinding.example"] = lambda: [CLOSED] if next(answers) else [OPEN]
    assert sender(opener(policy=POLICY))(outside.url(host="rebinding.example")).kind is Kind.DELIVERED
    assert (names.asked, outside.accepted, inside.accepted) == (["rebinding.example"], 1, 0)


def test_a_name_that_changes_with_each_question_never_leads_inside(
    opener: Opener, names: NameServer, outside: Peer, inside: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "KEPT", 0.0)
    monkeypatch.setattr(resolver, "KEPT_FAILURE", 0.0)
    answers = cycle([[OPEN], [CLOSED]])
    names.zone["flipping.example"] = lambda: next(answers)
    send = sender(opener(policy=POLICY))
    outcomes = [send(outside.url(host="flipping.example")) for _ in range(10)]
    assert [outcome.kind for outcome in outcomes] == [Kind.DELIVERED, Kind.BLOCKED] * 5
    assert (len(names.asked), outside.accepted, inside.accepted) == (10, 5, 0)


def test_a_request_that_is_repeated_goes_where_the_first_went(opener: Opener, names: NameServer, serve: Serve) -> None:
    """The kept connection dies without an answer, and by then the name leads inside."""
    seen = count()

    def behave(connection: Connection) -> None:
        connection.request()
        connection.send(OK)
        if next(seen) == 0:
            names.zone["rebinding.example"] = [CLOSED]
            connection.request()

    outside = serve(behave)
    inside = serve(answering(OK), address=CLOSED, port=outside.port)
    names.zone["rebinding.example"] = [OPEN]
    send = sender(opener(policy=POLICY))
    outcomes = [send(outside.url(host="rebinding.example")) for _ in range(2)]
    assert [(outcome.kind, outcome.repeated) for outcome in outcomes] == [
        (Kind.DELIVERED, False),
        (Kind.DELIVERED, True),
    ]
    assert (outside.accepted, inside.accepted) == (2, 0)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_to_inside_leads_nowhere(
    opener: Opener, names: NameServer, serve: Serve, inside: Peer, code: int
) -> None:
    names.zone |= {"hooks.example": [OPEN], "inside.example": [CLOSED]}
    for location in (inside.url(), inside.url(host="inside.example"), f"//{CLOSED}:{inside.port}/"):
        peer = serve(closing(status(f"{code} Elsewhere", f"Location: {location}", "Connection: close")))
        outcome = sender(opener(policy=POLICY))(peer.url(host="hooks.example"))
        assert (outcome.kind, outcome.status) == (Kind.REJECTED, code)
    assert (inside.accepted, "inside.example" in names.asked) == (0, False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(NXDOMAIN, "not found"), (SERVFAIL, "fail"), ((), "no data"), (SILENCE, "Timeout")],
    ids=["nxdomain", "servfail", "no-data", "silence"],
)
def test_a_name_without_address_is_a_dns_failure(
    opener: Opener,
    names: NameServer,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    said: str,
) -> None:
    monkeypatch.setattr(resolver, "_FIRST_TRY", 0.05)
    names.zone["dead.example"] = answer
    outcome = sender(opener())("https://dead.example/", timeout=600)
    assert (outcome.kind, outcome.address) == (Kind.DNS, None)
    assert said in outcome.error


def test_a_silent_name_server_ends_at_the_deadline(opener: Opener, names: NameServer) -> None:
    names.zone["dead.example"] = SILENCE
    outcome = sender(opener())("https://dead.example/", timeout=0.3)
    assert outcome.kind is Kind.TIMEOUT
    assert "name was still being resolved" in outcome.error


def test_one_deadline_covers_the_look_up_and_the_answer(opener: Opener, names: NameServer, serve: Serve) -> None:
    """Each stage alone would end in time."""

    def look_up() -> Answer:
        sleep(0.4)
        return [OPEN]

    def behave(connection: Connection) -> None:
        connection.request()
        connection.stopped.wait(0.4)
        connection.send(OK)

    names.zone["slow.example"] = look_up
    outcome = sender(opener())(serve(behave).url(host="slow.example"), timeout=0.6)
    assert (outcome.kind, outcome.status, outcome.address) == (Kind.TIMEOUT, None, OPEN)


def test_names_whose_servers_are_dead_keep_no_other_name_waiting(
    opener: Opener, names: NameServer, outside: Peer
) -> None:
    names.zone |= {f"dead{number}.example": SILENCE for number in range(63)} | {"hooks.example": [OPEN]}
    transport = opener(capacity=64)
    for number in range(63):
        transport.submit(make(f"https://dead{number}.example/", timeout=600))
    live = make(outside.url(host="hooks.example"))
    transport.submit(live)
    (landed,) = collect(transport, 1).items()
    assert landed[0] == live.id
    assert landed[1].kind is Kind.DELIVERED
    assert transport.in_flight == 63


def test_requests_to_one_name_share_a_look_up(opener: Opener, names: NameServer, serve: Serve) -> None:
    names.zone["hooks.example"] = [OPEN]
    transport, url = opener(), serve(answering(OK)).url(host="hooks.example")
    for _ in range(50):
        transport.submit(make(url))
    assert {outcome.kind for outcome in collect(transport, 50).values()} == {Kind.DELIVERED}
    assert names.asked == ["hooks.example"]


def test_no_search_domain_is_put_behind_a_name(
    opener: Opener, names: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "inside.example")  # resolv.conf(5): overrides the search list
    assert sender(opener())("https://hooks/").kind is Kind.DNS
    assert sender(opener())("https://hooks.missing.example/").kind is Kind.DNS
    assert names.asked == ["hooks", "hooks.missing.example"]


def test_a_record_that_was_missing_is_found_once_it_is_there(
    opener: Opener, names: NameServer, outside: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "KEPT_FAILURE", 0.0)
    monkeypatch.setattr(resolver, "_RENEWED", 0.0)
    send = sender(opener(policy=POLICY))
    names.zone["new.example"] = ()
    assert send(outside.url(host="new.example")).kind is Kind.DNS
    names.zone["new.example"] = [OPEN]
    assert send(outside.url(host="new.example")).kind is Kind.DELIVERED
