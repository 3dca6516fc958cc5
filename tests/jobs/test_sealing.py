from typing import Any

import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel

from audit.encryption import UnreadableSecret
from jobs.enqueueing import Then, enqueue
from jobs.models import Job
from jobs.registry import handler
from jobs.sealing import seal, unseal
from jobs.testing import run_enqueued, run_job

TOKEN = "Bearer a-secret-of-theirs"
Payload = dict[str, Any]


@pytest.mark.parametrize(
    ("payload", "places", "hidden"),
    [
        ({"headers": {"Authorization": TOKEN}}, ("headers",), {"headers": {"Authorization": "***"}}),
        (
            {"source": {"url": "u", "headers": {"A": TOKEN}}},
            ("source.headers",),
            {"source": {"url": "u", "headers": {"A": "***"}}},
        ),
        ({"password": TOKEN, "user": "ada"}, ("password",), {"password": "***", "user": "ada"}),
        ({"many": [TOKEN, {"a": TOKEN}]}, ("many",), {"many": "***"}),
        ({"a": {"b": {"c": TOKEN}}, "d": TOKEN}, ("a", "d"), {"a": {"b": {"c": "***"}}, "d": "***"}),
    ],
)
def test_secrets_are_hidden_and_come_back(payload: Payload, places: tuple[str, ...], hidden: Payload) -> None:
    shown, token = seal(payload, places)
    assert shown == hidden
    assert TOKEN not in token
    assert unseal(shown, token) == payload


@pytest.mark.parametrize("payload", [{}, {"headers": None}, {"source": "text"}, {"source": {"url": "u"}}])
def test_without_secrets_nothing_is_encrypted(payload: Payload) -> None:
    assert seal(payload, ("headers", "source.headers")) == (payload, "")


class Call(BaseModel):
    headers: dict[str, str]
    result: Any = None


@pytest.fixture
def heard(own_handlers: None) -> list[dict[str, str]]:
    heard: list[dict[str, str]] = []

    @handler("test.call", secrets=("headers",))
    def call(context: Any, asked: Call) -> None:
        assert context.payload["headers"] == asked.headers
        heard.append(asked.headers)

    return heard


@pytest.mark.django_db
def test_the_handler_gets_them_and_the_row_does_not_show_them(heard: list[dict[str, str]]) -> None:
    job = run_job("test.call", {"headers": {"Authorization": TOKEN}})
    assert job.status == Job.Status.COMPLETED, job.traceback
    assert heard == [{"Authorization": TOKEN}]
    (row,) = Job.objects.values()
    assert row["payload"] == {"headers": {"Authorization": "***"}}
    assert TOKEN not in str(row)


@pytest.mark.django_db
def test_those_of_a_follow_up_are_encrypted_too(heard: list[dict[str, str]]) -> None:
    first, _ = enqueue("test.call", {"headers": {}}, then=Then("test.call", {"headers": {"A": TOKEN}}))
    assert TOKEN not in str(Job.objects.values().get())
    run_enqueued(first)
    following = Job.objects.exclude(pk=first.pk).get()
    assert TOKEN not in str(Job.objects.values().get(pk=following.pk))
    run_enqueued(following)
    assert heard == [{}, {"A": TOKEN}]


@pytest.mark.django_db
def test_with_another_key_it_is_tried_again_later(heard: list[dict[str, str]], settings: Any) -> None:
    job, _ = enqueue("test.call", {"headers": {"A": TOKEN}})
    settings.HYRELOG_ENCRYPTION_KEYS = (Fernet.generate_key().decode(),)
    run_enqueued(job)
    job.refresh_from_db()
    assert (job.status, heard) == (Job.Status.PENDING, [])
    assert UnreadableSecret.__name__ in job.error
