"""`context.json`: what Art. 15(1) and (2) GDPR ask for beside the data.

What the company wrote in its privacy notice comes first. Where it wrote nothing, that is said plainly, with whom to
ask: a sentence that sounds like an answer would be worse than none.
"""

from datetime import datetime
from typing import Any

from audit.chain import timestamp
from audit.models import Company
from audit.personal_data import Recipient, covered, recipients_of
from gdpr.describing.rights import RIGHTS
from gdpr.models import PrivacyNotice
from gdpr.subjects import Subject

HYRELOG, COMPANY = "HyreLog", "the company"

Statement = dict[str, str]


def context_of(company: Company, *, scope: str, subject: Subject | None, now: datetime) -> dict[str, Any]:
    """What the company and HyreLog know of purposes, recipients, retention, sources and rights, as JSON values.

    Each statement says whose it is (`saidBy`).
    """
    notice = PrivacyNotice.objects.filter(pk=company.pk).first() or PrivacyNotice(company=company)
    name, ask = company.name, f"ask {company.name}"
    recipients = recipients_of(company)
    return {
        "company": {"id": str(company.pk), "name": name},
        "scope": scope,
        "subject": subject and subject.as_json(),
        "writtenAt": timestamp(now),
        "controller": _said(
            notice.controller,
            otherwise=f"{name}, which records these events by means of HyreLog. It has not said its address here.",
        ),
        "contact": _said(
            notice.contact or company.contact_email,
            otherwise=f"{name} has not said whom to ask; write to {name} as you know it.",
        ),
        "purposes": _said(
            notice.purposes,
            otherwise=f"{name} has not said here why it records these events, nor on which legal basis; {ask}. HyreLog"
            " processes them on its behalf only, to keep a record of what happened that nobody can change unseen.",
        ),
        "categories": {table.table: table.meaning for table in covered()},
        "recipients": [_recipient(one) for one in recipients],
        "furtherRecipients": _said(
            notice.recipients,
            otherwise=f"Whether {name} itself gives data to others, {name} has not said here; {ask}.",
        ),
        "retention": _said(
            notice.retention,
            otherwise=f"{name} has not said here for how long it keeps the events, nor what decides that; {ask}.",
        )
        | {"tables": {table.table: table.kept for table in covered()}},
        "sources": _said(
            notice.sources,
            otherwise=f"The systems of {name} sent the events to HyreLog. Where these have the data from, {name} has"
            f" not said here; {ask}.",
        ),
        "rights": RIGHTS,
        "automatedDecisions": {
            "article": "15(1)(h), 22",
            **_said(
                notice.automated_decisions,
                otherwise="HyreLog makes no decision about anybody and builds no profile."
                f" Whether {name} does, {name} has not said here; {ask}.",
            ),
        },
        "transfers": {
            "article": "15(2), 46",
            **_said(
                notice.transfers,
                otherwise=f"At the request of {name}, HyreLog sends or sent events to the hosts listed here. It does"
                " not know in which countries these are, nor by which safeguards data goes to countries outside the"
                f" European Union; {ask}.",
            ),
            "destinations": sorted({one.destination for one in recipients if one.kind in ("webhook", "request")}),
        },
    }


def _said(text: str, *, otherwise: str) -> Statement:
    said = text.strip()
    return {"statement": said or otherwise, "saidBy": COMPANY if said else HYRELOG}


def _recipient(one: Recipient) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "destination": one.destination,
        "receives": one.receives,
        "since": timestamp(one.since),
        "until": one.until and timestamp(one.until),
    }
