from gdpr.models.access import DownloadAccess
from gdpr.models.archive import ExportArchive
from gdpr.models.erased_row import ErasedRow
from gdpr.models.erasure import Erasure
from gdpr.models.erasure_approval import ErasureApproval
from gdpr.models.legal_hold import LegalHold
from gdpr.models.link import DownloadLink
from gdpr.models.privacy_notice import PrivacyNotice
from gdpr.models.request import ExportRequest

__all__ = [
    "DownloadAccess",
    "DownloadLink",
    "ErasedRow",
    "Erasure",
    "ErasureApproval",
    "ExportArchive",
    "ExportRequest",
    "LegalHold",
    "PrivacyNotice",
]
