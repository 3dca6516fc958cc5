"""How an erasure treats the tables of this app: requests stay as evidence (Art. 5(2) GDPR), and name nobody."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from audit.own_words import marked, names_marked
from audit.personal_data import OUR_WORD, RANDOM, Form, Found, erase
from gdpr import models
from gdpr.erasures.requesting import ERASE, PREVIEW
from gdpr.erasures.values import values
from gdpr.models import Erasure, ExportRequest
from gdpr.models.privacy_notice import TEXTS
from gdpr.requesting import EXPORT, scope_key
from gdpr.subjects import Subject
from jobs.erasable import OWN_JOB, cancel_waiting, let_end, own_words
from jobs.models import Job

COUNTS = "Names of HyreLog's tables, and numbers."


def declare() -> None:
    """Tell erasures of the tables."""
    # What is empty is said in general words in archives; a pseudonym there would tell nobody whom to ask.
    erase(models.PrivacyNotice, own=_notice, forms={text: Form(write=lambda *_: "") for text in TEXTS})
    for job_type in (EXPORT, ERASE, PREVIEW):
        own_words(job_type, *OWN_JOB)
    _declare_exports()
    _declare_erasures()


def _declare_exports() -> None:
    subject = Form(write=_others)
    erase(
        ExportRequest,
        own=_subject,
        forms={"subject": subject},
        kept={"scope": OUR_WORD},
        ready=_exports_at_rest,
        then=_forget_keys_of_exports,
    )
    erase(
        models.ExportArchive,
        follows="job_id",
        leader=ExportRequest,
        kept={
            "scope": OUR_WORD,
            "status": OUR_WORD,
            "counts": COUNTS,
            "file": "The number of the job that made it, and of the attempt.",
            "sha256": "The fingerprint of a file in which much is random; the file itself is deleted.",
            "checkpoint": "Numbers and fingerprints of the chains, which are random, and HyreLog's signature of them.",
        },
    )
    erase(models.DownloadLink, follows="archive_id", kept={"digest": RANDOM})
    # Whoever downloaded what was about the person may have been the person.
    erase(models.DownloadAccess, follows="link_id", emptied={"address": None, "user_agent": ""})


def _declare_erasures() -> None:
    # One that may still run, be it after it has failed, needs its identifiers, and forgets them once it is completed.
    erase(
        Erasure,
        whose="\"company_id\" = %s AND \"status\" IN ('COMPLETED', 'REJECTED')",
        forms={"subject": Form(write=_others)},
        own=_subject,
        kept={
            "key": "Made anew where the identifiers change.",
            "pseudonym": RANDOM,
            "status": OUR_WORD,
            "preview": COUNTS,
            "counts": COUNTS,
        },
        proved={"certificate": "HyreLog signed it. It names those who approved, and nobody else."},
        then=_forget_keys_of_erasures,
    )
    erase(models.ErasureApproval)
    erase(
        models.ErasedRow,
        kept={
            "table": "The name of one of HyreLog's tables.",
            "key": "The primary key of a row.",
            "replaced": "Names of columns, and numbers.",
        },
    )
    # An active one of the person keeps the erasure from running. The reason for one of somebody else may be a claim in
    # which the person is named, and is needed as long as that goes on (Art. 17(3)(e)).
    erase(
        models.LegalHold,
        whose='"company_id" = %s AND "lifted_at" IS NOT NULL',
        own=_subject,
        forms={"subject": Form(write=_others)},
    )


def _notice(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a company tells everybody: a text that is an id as a whole is no person's."""
    return {text: marked(row[text]) for text in TEXTS}


def _subject(row: Mapping[str, Any]) -> dict[str, Any]:
    """An id may be `email`, which is what addresses are called here."""
    return {"subject": names_marked(row["subject"])}


def _others(stored: Any, replaced: Any, pseudonym: str) -> dict[str, list[str]]:
    """A subject that is none of the erased person's identifiers, but for the others that the request had."""
    person, left = Subject.read(stored), {each.value for each in values(replaced) if not each.is_name}
    others = Subject(
        actor_ids=(pseudonym, *(actor_id for actor_id in person.actor_ids if actor_id in left)),
        emails=tuple(email for email in person.emails if email in left),
    )
    return others.as_json()


def _exports_at_rest(found: Found, now: datetime) -> set[Any]:
    return let_end(found.keys(), stopping=_about(found), now=now)


def _forget_keys_of_exports(found: Found, now: datetime) -> None:
    """The key of an export's job is made of the identifiers; and nobody is to be looked for who has been erased."""
    for request in ExportRequest.objects.filter(pk__in=_about(found)).order_by("pk"):
        key = scope_key(request.person())
        cancel_waiting([request.pk], now=now, key=key)
        Job.objects.filter(pk=request.pk).update(key=key)


def _forget_keys_of_erasures(found: Found, _now: datetime) -> None:
    for erasure in Erasure.objects.filter(pk__in=_about(found)).order_by("pk"):
        Erasure.objects.filter(pk=erasure.pk).exclude(key="").update(key=scope_key(erasure.person()))


def _about(found: Found) -> list[Any]:
    """Those whose subject is the person."""
    return [key for key, columns in found.items() if "subject" in columns]
