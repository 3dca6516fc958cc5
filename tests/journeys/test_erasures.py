"""An erasure from the request to its certificate, by officers who use the admin through a browser."""

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests.browser import ENTER, Browser, running_browser, running_driver
from tests.receiver import Receiver
from tests.system import System, wait_until

API = "/v1/key/company/gdpr/erasures"
ERASURES = "gdpr/erasure/"
HOLDS = "gdpr/legalhold/"
APPROVE = ".object-tools a[href$='/approve/']"
OFFICERS = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
granted = Permission.objects.filter(codename__in={permissions!r})
for name in {names!r}:
    person = get_user_model().objects.create_user(name, password={password!r}, is_staff=True)
    person.user_permissions.set(granted)
"""
PERMISSIONS = ("view_erasure", "add_erasure", "approve_erasure", "view_legalhold", "add_legalhold", "change_legalhold")
PASSWORD = secrets.token_urlsafe(16)
NAMES = ("olga", "piet")

MAILBOX = "grace.hopper@example.com"
PRINCIPAL = "AIDAQ7EXAMPLEGRACE2HO"
ARN = f"arn:aws:iam::123456789012:user/{MAILBOX}"
OTHER = {"id": "AIDAQ7EXAMPLEALANTURI", "email": "alan.turing@example.com"}
GRACE = {"id": PRINCIPAL, "email": MAILBOX, "name": "Grace"}
IDENTITY = {"type": "IAMUser", "principalId": PRINCIPAL, "arn": ARN, "accountId": "123456789012", "userName": MAILBOX}
CLOUDTRAIL: tuple[dict[str, Any], ...] = (
    {
        "action": "signin.ConsoleLogin",
        "actor": GRACE,
        "payload": {
            "eventVersion": "1.08",
            "userIdentity": IDENTITY,
            "eventSource": "signin.amazonaws.com",
            "awsRegion": "eu-central-1",
            "sourceIPAddress": "198.51.100.7",
            "responseElements": {"ConsoleLogin": "Success"},
            "additionalEventData": {"MFAUsed": "Yes"},
        },
    },
    {
        "action": "iam.CreateAccessKey",
        "actor": OTHER,
        "target": {"type": "AWS::IAM::User", "id": PRINCIPAL},
        "payload": {
            "eventVersion": "1.08",
            "userIdentity": {"type": "IAMUser", "principalId": OTHER["id"], "userName": OTHER["email"]},
            "eventSource": "iam.amazonaws.com",
            "requestParameters": {"userName": MAILBOX},
            "responseElements": {"accessKey": {"userName": MAILBOX, "status": "Active"}},
        },
    },
    {
        "action": "s3.GetObject",
        "actor": GRACE,
        "payload": {
            "eventVersion": "1.08",
            "userIdentity": IDENTITY,
            "resources": [{"type": "AWS::S3::Object", "ARN": f"arn:aws:s3:::home/{MAILBOX}/notes.txt"}],
        },
    },
    {"action": "s3.PutObject", "actor": OTHER, "payload": {"eventVersion": "1.08", "bucket": "reports"}},
)


class Officer:
    """Somebody who decides on erasures, at a window of a browser."""

    def __init__(self, browser: Browser, system: System) -> None:
        self.browser, self._admin = browser, f"{system.run['web']}/admin/"
        ((self._company,),) = system.sql("SELECT name FROM audit_company WHERE id = %s", system.run["company_id"])

    def sign_in(self, name: str) -> Self:
        self.open("")
        self.browser.type("#id_username", name)
        self.browser.type("#id_password", PASSWORD)
        self.browser.click("input[type=submit]")
        self.browser.wait_for("Erasures")
        return self

    def open(self, path: str) -> None:
        self.browser.open(self._admin + path)

    def request_erasure(self) -> str:
        """Fill in the form; the id of the erasure on the page that it leads to."""
        self.open(ERASURES)
        self.browser.click(".addlink[href$='/erasure/add/']")
        self._choose_company()
        self.browser.type("#id_emails", MAILBOX)
        self.browser.type("#id_actor_ids", PRINCIPAL)
        self.browser.type("#id_reason", "Ticket 4711: the account was closed.")
        self.send()
        self.browser.wait_for("The erasure was requested.")
        found = re.search(r"/erasure/([0-9a-f-]{36})/change/", self.browser.url)
        assert found, self.browser.url
        return found[1]

    def place_hold(self) -> None:
        self.open(HOLDS)
        self.browser.click(".addlink[href$='/legalhold/add/']")
        self._choose_company()
        self.browser.type("#id_actor_ids", PRINCIPAL)
        self.browser.type("#id_reason", "Proceedings 4 O 12/26.")
        self.send()

    def approve(self, erasure: str) -> None:
        self.open(f"{ERASURES}{erasure}/change/")
        self.browser.click(APPROVE)
        self.browser.wait_for("This cannot be undone.")
        self.send()

    def send(self) -> None:
        self.browser.click(".submit-row input[type=submit]")

    def _choose_company(self) -> None:
        """By the keyboard alone, in the box that offers companies."""
        self.browser.script("document.querySelector('.select2-selection').focus()")
        self.browser.press(ENTER)
        self.browser.type(".select2-search__field", self._company)
        offered = ".select2-results__option--highlighted"
        wait_until(lambda: self.browser.has(offered), seconds=10, what=f"{self._company} in the box")
        self.browser.press(ENTER)


@pytest.fixture(scope="module")
def officers(system: System) -> Iterator[list[Officer]]:
    """Two people with the permissions of data protection officers and no others, each signed in."""
    given = {"permissions": PERMISSIONS, "names": NAMES, "password": PASSWORD}
    with running_driver() as driver, running_browser(driver) as one, running_browser(driver) as other:
        system.manage("shell", "-c", OFFICERS.format(**given))
        yield [Officer(window, system).sign_in(name) for window, name in zip((one, other), NAMES, strict=True)]


@pytest.fixture(scope="module")
def recorded(system: System) -> list[str]:
    """The ids of events as CloudTrail tells them, the last one of which is about somebody else."""
    events = [{"category": "cloudtrail", **event} for event in CLOUDTRAIL]
    answer = system.post("/v1/key/workspace/events/batch", {"events": events}, key="workspace_key")
    return [event["id"] for event in answer["events"]]


def test_two_officers_erase_a_person_and_everybody_can_check_it(
    system: System, officers: list[Officer], recorded: list[str], receiver: Receiver
) -> None:
    first, second = officers
    webhook = system.register(receiver.url, events=["gdpr.*"])["id"]
    erasure = first.request_erasure()
    first.browser.wait_for("waiting for a decision")  # by itself, once the worker has counted
    assert f"email: {MAILBOX}" in first.browser.text
    assert re.search(r"Audit events\s+3\b", first.browser.text)

    a_hold_is_in_the_way_until_it_is_lifted(erasure, first, second)
    two_people_approve(erasure, first, second)
    second.browser.wait_for("forgotten: the erasure is completed")  # the page looks again by itself

    shown = system.get(f"{API}/{erasure}")
    pseudonym = shown["certificate"]["body"]["pseudonym"]
    assert shown["status"] == "COMPLETED"
    second.browser.click(".object-tools a[href$='/certificate/']")
    for told in (erasure, pseudonym, "operator olga", "operator piet"):
        second.browser.wait_for(told)
    events_name_nobody(system, recorded, pseudonym)
    receivers_are_told(receiver, erasure, recorded)
    verified = system.manage("verify_chain", check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"erased by request {erasure}: actor of 2 events, content of 3" in verified.stdout
    assert "intact" in verified.stdout
    system.post(f"/v1/key/company/webhooks/{webhook}/disable")


def a_hold_is_in_the_way_until_it_is_lifted(erasure: str, first: Officer, second: Officer) -> None:
    second.place_hold()
    second.browser.wait_for(f"erasure {erasure}, requested")
    hold = second.browser.url
    first.open(f"{ERASURES}{erasure}/change/")
    assert "keeps this person's data" in first.browser.text
    assert not first.browser.has(APPROVE)
    first.open(f"{ERASURES}{erasure}/approve/")
    assert "Nothing was approved. The legal hold" in first.browser.text
    second.browser.open(hold)
    second.browser.click(".object-tools a[href$='/lift/']")
    second.send()
    second.browser.wait_for("The legal hold was lifted.")


def two_people_approve(erasure: str, first: Officer, second: Officer) -> None:
    """The first one tries to do so twice."""
    first.approve(erasure)
    first.browser.wait_for("Another person has to approve it, too")
    assert not first.browser.has(APPROVE)
    first.open(f"{ERASURES}{erasure}/approve/")
    assert "You have approved this erasure already" in first.browser.text
    assert "Approvals: 1 of 2" in first.browser.text
    second.approve(erasure)
    second.browser.wait_for("2 people have approved it")


def events_name_nobody(system: System, recorded: list[str], pseudonym: str) -> None:
    """But for others, who are named as before."""
    events = {event["id"]: event for event in system.get("/v1/key/company/events", category="cloudtrail")["events"]}
    for event in recorded[:3]:
        assert pseudonym in json.dumps(events[event])
        assert not names_her(json.dumps(events[event]))
    assert events[recorded[0]]["actor"]["id"] == events[recorded[0]]["actor"]["email"] == pseudonym
    assert [events[event]["actor"] for event in (recorded[1], recorded[3])] == [OTHER, OTHER]


def receivers_are_told(receiver: Receiver, erasure: str, recorded: list[str]) -> None:
    """Which events were erased, and not of whom."""

    def told() -> dict[str, Any]:
        bodies = [json.loads(request.body) for request in receiver.requests]
        return {body["data"]["action"]: body["data"]["payload"] for body in bodies if erasure in json.dumps(body)}

    ended = {"gdpr.erased", "gdpr.erasure.completed"}
    wait_until(lambda: ended <= told().keys(), seconds=30, what="the record, and the end", state=told)
    assert {each["id"] for each in told()["gdpr.erased"]["events"]} == set(recorded[:3])
    assert not [request.body for request in receiver.requests if names_her(request.body.decode())]


def names_her(text: str) -> bool:
    return MAILBOX in text or PRINCIPAL in text
