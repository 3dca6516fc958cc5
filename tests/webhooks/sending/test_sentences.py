import pytest

from webhooks.sending.outcome import Kind
from webhooks.sending.sentences import advice, advice_on_status


@pytest.mark.parametrize("kind", set(Kind) - {Kind.DELIVERED, Kind.REJECTED})
def test_each_kind_of_failure_tells_what_to_do(kind: Kind) -> None:
    assert advice(kind).endswith(".")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (302, "final URL"),
        (401, "credentials"),
        (404, "path"),
        (405, "POST"),
        (429, "rate limit"),
        (418, "logs"),
        (500, "logs"),
    ],
)
def test_a_status_tells_what_to_do(status: int, said: str) -> None:
    assert said in advice_on_status(status)
