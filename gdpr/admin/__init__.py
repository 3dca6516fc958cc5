"""The admin's pages of exports and erasures: for a data protection officer, and for whoever operates HyreLog."""

from gdpr.admin.access import DownloadAccessAdmin
from gdpr.admin.archive import ExportArchiveAdmin
from gdpr.admin.erasures import ErasedRowAdmin, ErasureAdmin, ErasureApprovalAdmin, LegalHoldAdmin
from gdpr.admin.link import DownloadLinkAdmin
from gdpr.admin.privacy_notice import PrivacyNoticeAdmin
from gdpr.admin.request import ExportRequestAdmin

__all__ = [
    "DownloadAccessAdmin",
    "DownloadLinkAdmin",
    "ErasedRowAdmin",
    "ErasureAdmin",
    "ErasureApprovalAdmin",
    "ExportArchiveAdmin",
    "ExportRequestAdmin",
    "LegalHoldAdmin",
    "PrivacyNoticeAdmin",
]
