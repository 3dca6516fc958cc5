from gdpr.models.archive import ExportArchive
from gdpr.models.link import DownloadLink

__all__ = ["DownloadLink", "ExportArchive"]
