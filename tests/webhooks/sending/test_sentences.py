import pytest

from webhooks.sending.outcome import Kind
from webhooks.sending.sentences import advice, advice_on_status, without_advice


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.DELIVERED, Kind.REJECTED}))
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


def test_what_happened_can_be_told_without_the_advice() -> None:
    error = f"https://example.com answered 404. {advice_on_status(404)}"
    assert without_advice(error, Kind.REJECTED, status=404) == "https://example.com answered 404."
    late = f"The deadline passed. {advice(Kind.TIMEOUT)}"
    assert without_advice(late, Kind.TIMEOUT, status=200) == "The deadline passed."
    assert without_advice("", Kind.DELIVERED, status=200) == ""
