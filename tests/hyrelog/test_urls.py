import pytest
from django.test import Client


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("delete", "/v1/key/workspace/events", {"GET", "POST"}),
        ("get", "/v1/key/workspace/events/batch", {"POST"}),
        ("post", "/v1/key/company/events", {"GET"}),
        ("put", "/v1/gdpr/downloads/x", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_a_route_has_not_is_answered_in_the_one_form(
    client: Client, method: str, url: str, allowed: set[str]
) -> None:
    answer = getattr(client, method)(url)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    body = answer.json()
    assert body["code"] == "method_not_allowed"
    assert method.upper() in body["error"]
