"""Legal holds: what keeps an erasure from running (GDPR, Art. 17(3))."""

from audit.models import Company
from gdpr.models import LegalHold
from gdpr.subjects import Subject


def blocking(company: Company, subject: Subject) -> LegalHold | None:
    """The oldest hold that keeps the subject's data: one of the whole company, or of any of these identifiers."""
    for hold in LegalHold.objects.active().filter(company=company).order_by("placed_at"):
        kept = hold.person()
        if kept is None or _share_an_identifier(kept, subject):
            return hold
    return None


def _share_an_identifier(one: Subject, other: Subject) -> bool:
    return bool(
        set(one.actor_ids) & set(other.actor_ids)
        or {email.lower() for email in one.emails} & {email.lower() for email in other.emails}
    )
