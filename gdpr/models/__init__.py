from gdpr.models.access import DownloadAccess
from gdpr.models.archive import ExportArchive
from gdpr.models.link import DownloadLink
from gdpr.models.privacy_notice import PrivacyNotice
from gdpr.models.request import ExportRequest

__all__ = ["DownloadAccess", "DownloadLink", "ExportArchive", "ExportRequest", "PrivacyNotice"]
