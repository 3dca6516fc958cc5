"""The tables of this app, for exports, and who keeps the archives."""

from collections.abc import Iterable

from audit.models import Company
from audit.personal_data import Recipient, cover, disclose
from gdpr import models
from gdpr.models.archive import KEPT_FOR

AS_EVIDENCE = "without end: it shows that a request was answered, and how (Art. 5(2) GDPR)"


def declare() -> None:
    """Tell exports of the tables and of the recipients."""
    _declare_notice()
    _declare_requests()
    _declare_archives()
    _declare_downloads()
    _declare_erasures()
    _declare_holds()
    disclose(recipients)


def recipients(company: Company) -> Iterable[Recipient]:
    """Who keeps the data for a company: whoever runs HyreLog, a processor (Art. 28), is a recipient too (Art. 4(9))."""
    yield Recipient(
        kind="processor",
        name="the operator of HyreLog, on behalf of the company",
        destination="HyreLog's database, and the storage that its operator chose for archives",
        receives=f"all that this archive can hold; archives of exports for {KEPT_FOR.days} days",
        since=company.created_at,
    )


def _declare_notice() -> None:
    cover(
        models.PrivacyNotice,
        meaning="What the company tells the people in its records: who is responsible, why, and for how long.",
        kept="as long as the company",
        columns={
            "company_id": "The company that says so.",
            "controller": "Who decides on the processing.",
            "contact": "Whom to ask.",
            "purposes": "Why the events are recorded, and on which legal basis.",
            "sources": "Where the data comes from, if not from the person.",
            "retention": "For how long the events are kept, and what decides that.",
            "recipients": "Who receives the data beside those whom HyreLog knows.",
            "transfers": "To which countries the data goes, and by which safeguards.",
            "automated_decisions": "Whether anything is decided automatically, how, and with what effect.",
            "updated_at": "When this was last changed.",
        },
    )


def _declare_requests() -> None:
    cover(
        models.ExportRequest,
        meaning="A request for an export such as this one: about whom, by whom, and until when it has to be answered.",
        kept=AS_EVIDENCE,
        columns={
            "job_id": "The job that makes the export.",
            "company_id": "The company whose data it is.",
            "scope": "About whom: company (all of it) or subject (one person).",
            "subject": "The identifiers of the person, such as an e-mail address; empty for the whole company.",
            "csv": "Whether the events were wanted as a table for spreadsheets, too.",
            "requested_by": "Who asked for it: a key of the company, or an operator of HyreLog.",
            "created_at": "When it was asked for.",
            "due_at": "By when it has to be answered.",
            "extended_at": "When that time was prolonged; empty if it was not.",
            "extension_reason": "Why it was prolonged.",
        },
    )


def _declare_archives() -> None:
    cover(
        models.ExportArchive,
        meaning="The archive that an export made: a file such as this one.",
        kept=f"the file {KEPT_FOR.days} days; the record {AS_EVIDENCE}",
        follows="job_id",
        leader=models.ExportRequest,  # who knows whom it is about; the job does not
        columns={
            "id": "The archive's identifier.",
            "company_id": "The company whose data it holds.",
            "job_id": "The job that made it.",
            "scope": "About whom it is: company (all of it) or subject (one person).",
            "status": "READY, or EXPIRED once its time was over.",
            "file": "The name of the file.",
            "size": "The size of the file in bytes.",
            "sha256": "The fingerprint (SHA-256) of the file.",
            "counts": "How many rows of each table it holds.",
            "checkpoint": "How far the records reached when it was made, as HyreLog signed it.",
            "created_at": "When it was made.",
            "expires_at": "When the file is deleted.",
            "purging": "Why it ended, until its file is deleted and that is recorded; empty before and after.",
        },
    )


def _declare_downloads() -> None:
    cover(
        models.DownloadLink,
        meaning="A link by which an archive could be downloaded, once and for a short time.",
        kept=AS_EVIDENCE,
        follows="archive_id",
        columns={
            "id": "The link's identifier.",
            "company_id": "The company whose data the archive holds.",
            "archive_id": "The archive that it leads to.",
            "api_key_id": "The company's key by which it was made; empty if an operator made it.",
            "issued_by": "Who made it: a key of the company, or an operator of HyreLog.",
            "created_at": "When it was made.",
            "expires_at": "When it ends by itself.",
            "revoked_at": "When it was revoked; empty if it was not.",
            "used_at": "When all of the archive had been downloaded by it; empty if it never was.",
            "holder": "The download that is under way; empty if none is.",
            "held_until": "How long that download keeps others waiting.",
            "sent": "How many bytes were sent, repeated ones included.",
            "served_until": "How many bytes of the archive were sent without a gap.",
            "untold": "The use that completed the download, until that is recorded; empty before and after.",
        },
        redact={"digest": "What proves a link. The link itself was never kept."},
    )
    cover(
        models.DownloadAccess,
        meaning="One use of such a link: when somebody used it, from where, and what they got.",
        kept=AS_EVIDENCE,
        follows="link_id",
        columns={
            "id": "The use's identifier.",
            "company_id": "The company whose data the archive holds.",
            "link_id": "The link that was used.",
            "at": "When it was used.",
            "address": "The network address (IP) of whoever used it.",
            "user_agent": "The program that it was used with, by that program's own account.",
            "start": "The first byte that was asked for.",
            "end": "The byte behind the last one that was asked for.",
            "sent": "How many bytes were sent.",
            "refusal": "Why nothing was sent; empty if something was.",
        },
    )


def _declare_erasures() -> None:
    cover(
        models.Erasure,
        meaning="A request to erase a person: by whom, why, and what came of it.",
        kept=AS_EVIDENCE,
        columns={
            "id": "The request's identifier.",
            "company_id": "The company whose data it is.",
            "subject": "The identifiers of the person; empty once the erasure is completed.",
            "pseudonym": "What stands in place of whatever named the person.",
            "reason": "Why it was asked for.",
            "status": "How it stands: REQUESTED, APPROVED, PROCESSING, COMPLETED, FAILED or REJECTED.",
            "requested_by": "Who asked for it: a key of the company, or an operator of HyreLog.",
            "created_at": "When it was asked for.",
            "due_at": "By when it has to be answered.",
            "rejected_by": "Who rejected it; empty if nobody did.",
            "rejected_at": "When it was rejected; empty if it was not.",
            "rejection": "Why it was rejected; empty if it was not.",
            "preview": "How many rows of each table it would erase, as they were counted.",
            "previewed_at": "When they were counted.",
            "job_id": "The job that erases; empty as long as it is not approved.",
            "started_at": "When the erasing began.",
            "completed_at": "When it was done.",
            "counts": "How many rows of each table were erased.",
            "certificate": "What HyreLog signed about it.",
        },
        redact={"key": "By it nobody asks twice. Whoever has HyreLog's secret could try out identifiers against it."},
    )
    cover(
        models.ErasureApproval,
        meaning="That an operator of HyreLog approved an erasure.",
        kept=AS_EVIDENCE,
        follows="erasure_id",
        columns={
            "id": "The approval's identifier.",
            "company_id": "The company whose data it is.",
            "erasure_id": "The erasure that was approved.",
            "approved_by": "Who approved it.",
            "at": "When it was approved.",
        },
        redact={"user_id": "The number of an operator's account in HyreLog."},
    )
    cover(
        models.ErasedRow,
        meaning="A row other than an event in which an erasure replaced something.",
        kept=AS_EVIDENCE,
        follows="erasure_id",
        columns={
            "id": "The entry's number.",
            "company_id": "The company whose data it is.",
            "erasure_id": "The erasure.",
            "table": "The table of the row.",
            "key": "The identifier of the row.",
            "replaced": "Which values of which columns were replaced, by number.",
        },
    )


def _declare_holds() -> None:
    cover(
        models.LegalHold,
        meaning="That data must be kept although somebody wants it erased, because of a claim or a law (Art. 17(3)).",
        kept=AS_EVIDENCE,
        columns={
            "id": "The hold's identifier.",
            "company_id": "The company whose data it is.",
            "subject": "The identifiers of the person whose data is kept; empty for everybody's.",
            "reason": "Why it is kept.",
            "placed_by": "Who decided so.",
            "placed_at": "Since when.",
            "lifted_by": "Who ended it; empty if it holds.",
            "lifted_at": "Until when; empty if it holds.",
        },
    )
