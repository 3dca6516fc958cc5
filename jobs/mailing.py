"""E-mail to a company: a job in the caller's transaction, sent if and only if what it tells of has happened."""

from datetime import datetime

from audit.models import Company
from audit.text import storable
from jobs.enqueueing import enqueue

EMAIL = "email.send"


def mail(company: Company, *, subject: str, text: str, now: datetime) -> None:
    """Send an e-mail to the company's contact address once the caller's transaction is committed; none without one.

    The subject is a header: whatever white space is in it, line breaks too, becomes single spaces.
    """
    if company.contact_email:
        payload = {"to": company.contact_email, "subject": " ".join(storable(subject).split()), "text": storable(text)}
        enqueue(EMAIL, payload, company=company, now=now)
