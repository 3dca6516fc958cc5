"""A multipart upload to a bucket: the object appears whole, or not at all."""

import base64
import hashlib
import io
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any

from gdpr.storage import LOOK_EVERY, Advance

logger = logging.getLogger(__name__)

PART = 8 << 20
"""Bytes of a part, unless the file would have more parts than an upload may."""
MOST_PARTS = 10_000
AT_ONCE = 2
GIVE_UP_WITHIN = 1.0
"""Seconds that whoever cancels waits for the upload to be aborted; it is aborted all the same, a little later."""


class _Cancelled(BaseException):
    """The upload was cancelled. No Exception: boto3 would take one for a fault of the network, and send again."""


@dataclass(slots=True)
class Upload:
    """One upload of a file, by threads of its own: what asks the storage may hang, whoever cancels must not."""

    client: Any
    bucket: str
    key: str
    descriptor: int
    cancelled: Event = field(default_factory=Event)
    _sent: SimpleQueue[int] = field(default_factory=SimpleQueue)

    def run(self, *, advance: Advance) -> None:
        """Raises what `advance` raises, or what boto3 does; then nothing of the object remains."""
        thread = ThreadPoolExecutor(1, "upload")
        done = thread.submit(self._run)
        thread.shutdown(wait=False)
        try:
            while not wait([done], timeout=LOOK_EVERY).done:
                advance(self._drain())
        except BaseException:
            self.cancelled.set()
            wait([done], timeout=GIVE_UP_WITHIN)
            if _succeeded(done):  # just before it could see that it was cancelled
                self._delete()
            raise
        done.result()

    def _run(self) -> None:
        target = {"Bucket": self.bucket, "Key": self.key}
        target["UploadId"] = self.client.create_multipart_upload(**target, ContentType="application/zip")["UploadId"]
        try:
            size = os.fstat(self.descriptor).st_size
            length = max(PART, ceil(size / MOST_PARTS))
            with ThreadPoolExecutor(AT_ONCE, "upload-part") as threads:
                futures = [
                    threads.submit(self._send, target, number, start, min(length, size - start))
                    for number, start in enumerate(range(0, size or 1, length), start=1)
                ]
                try:
                    parts = [future.result() for future in futures]
                except BaseException:
                    self.cancelled.set()  # the parts beside it end at their next read
                    raise
            self.check()
            self.client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._abort(target)
            raise
        if self.cancelled.is_set():
            self._delete()
            raise _Cancelled

    def _send(self, target: dict[str, str], number: int, start: int, length: int) -> dict[str, Any]:
        self.check()
        part = _Part(self, start, length)
        md5 = base64.b64encode(part.md5()).decode()  # the one checksum of parts that every vendor knows
        answer = self.client.upload_part(**target, PartNumber=number, Body=part, ContentMD5=md5)
        self._sent.put(length)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    def check(self) -> None:
        if self.cancelled.is_set():
            raise _Cancelled

    def _drain(self) -> int:
        sent = 0
        with suppress(Empty):
            while True:
                sent += self._sent.get_nowait()
        return sent

    def _abort(self, target: dict[str, str]) -> None:
        try:
            self.client.abort_multipart_upload(**target)
        except Exception as error:  # noqa: BLE001  what failed before it is what matters, and housekeeping aborts it too
            logger.warning("The upload of %s to bucket %s could not be aborted: %s", self.key, self.bucket, error)

    def _delete(self) -> None:
        try:
            self.client.delete_object(Bucket=self.bucket, Key=self.key)
        except Exception as error:  # noqa: BLE001  likewise
            logger.warning("%s, cancelled, could not be deleted from bucket %s: %s", self.key, self.bucket, error)


def _succeeded(done: Future[None]) -> bool:
    return done.done() and done.exception() is None


class _Part(io.RawIOBase):
    """Some bytes of the file, read as they are sent, and no more once the upload was cancelled."""

    def __init__(self, upload: Upload, start: int, length: int) -> None:
        self._upload, self._start, self._length, self._at = upload, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._upload.check()
        length = min(len(buffer), self._length - self._at)
        read = os.preadv(self._upload.descriptor, [memoryview(buffer)[:length]], self._start + self._at)
        self._at += read
        return read

    def md5(self) -> bytes:
        digest = hashlib.md5(usedforsecurity=False)
        while chunk := self.read(1 << 20):
            digest.update(chunk)
        self.seek(0)
        return digest.digest()
