"""Archives in a bucket of S3-compatible storage.

Credentials, region and endpoint come by the variables and files that all tools of AWS read.
"""

import errno
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property, partial
from typing import IO, Any

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)
from django.core.files import File
from storages.backends.s3 import S3Storage

from gdpr.ranged import Ranged
from gdpr.storage import Advance, StorageUnavailable, draft_name, naming_full_disk
from gdpr.uploading import Upload

CONFIG = Config(
    connect_timeout=5,
    read_timeout=15,  # three times that is less than proxies wait for a download to begin
    retries={"mode": "standard", "total_max_attempts": 3},
    # Newer checksums are not understood by all vendors; parts carry an MD5, and archives hashes of their own.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)
READS = 3
"""Tries to read a range: boto3 itself repeats only what broke before the answer began."""
BROKEN = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class Bucket(S3Storage):  # type: ignore[misc]  # it has no types
    """The bucket and the prefix that EXPORT_STORAGE names. All threads share one client, which is made for that."""

    def __init__(self, **options: Any) -> None:
        super().__init__(client_config=CONFIG, **options)

    @cached_property
    def client(self) -> Any:
        try:
            return self.connection.meta.client
        except ValueError as error:
            rule = "the endpoint (AWS_ENDPOINT_URL_S3) is no URL such as https://s3.example.com."
            raise StorageUnavailable(f"Bucket {self.bucket_name!r}: {rule}") from error

    def exists(self, name: str) -> bool:
        return self._head(name) is not None

    def size(self, name: str) -> int:
        head = self._head(name)
        if head is None:
            raise FileNotFoundError(errno.ENOENT, f"No such object in bucket {self.bucket_name!r}", self._key(name))
        return int(head["ContentLength"])

    def delete(self, name: str) -> None:
        with self._telling():
            published = name.removeprefix(".").removesuffix(".part")
            if name == draft_name(published):
                self._abort(self._key(published))
            else:
                self.client.delete_object(Bucket=self.bucket_name, Key=self._key(name))

    def _open(self, name: str, mode: str = "rb") -> File[bytes]:
        if mode != "rb":
            raise ValueError(f"mode {mode!r}: objects are written by `publish`")
        fetch = partial(self._fetch, self._key(name))
        return File(io.BufferedReader(Ranged(fetch, size=self.size(name))), name)

    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:  # noqa: ARG002  it has none while it is on this machine
        with naming_full_disk(tempfile.gettempdir()), tempfile.TemporaryFile() as file:
            yield file

    def publish(self, name: str, file: IO[bytes], *, advance: Advance) -> None:
        file.flush()
        with self._telling():
            upload = Upload(self.client, self.bucket_name, self._key(name), file.fileno())
            upload.run(advance=advance)

    def listing(self, stem: str) -> Iterator[tuple[str, datetime]]:
        folder = self._key("")
        with self._telling():
            for entry in self._pages("list_objects_v2", "Contents", self._key(stem)):
                yield entry["Key"].removeprefix(folder), entry["LastModified"]
            for upload in self._pages("list_multipart_uploads", "Uploads", self._key(stem)):
                yield draft_name(upload["Key"].removeprefix(folder)), upload["Initiated"]

    def may_be_elsewhere(self, name: str) -> bool:  # noqa: ARG002
        return False

    def reach(self) -> None:
        for _ in self.listing("-"):  # no name begins so: what matters is whether we may ask
            break

    def _key(self, name: str) -> str:
        return f"{self.location}/{name}" if self.location else name

    def _head(self, name: str) -> dict[str, Any] | None:
        with self._telling():
            try:
                found: dict[str, Any] = self.client.head_object(Bucket=self.bucket_name, Key=self._key(name))
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self.client.head_bucket(Bucket=self.bucket_name)  # or it is the bucket that is not there
                return None
            return found

    def _fetch(self, key: str, start: int, end: int) -> bytes:
        with self._telling():
            for left in reversed(range(READS)):
                try:
                    asked = f"bytes={start}-{end - 1}"
                    answer = self.client.get_object(Bucket=self.bucket_name, Key=key, Range=asked)
                    found: bytes = answer["Body"].read()
                    break
                except BROKEN:
                    if not left:
                        raise
            return found

    def _pages(self, operation: str, kind: str, prefix: str) -> Iterator[dict[str, Any]]:
        paginator = self.client.get_paginator(operation)
        for page in paginator.paginate(Bucket=self.bucket_name, Prefix=prefix, Delimiter="/"):
            yield from page.get(kind, [])

    def _abort(self, key: str) -> None:
        for upload in list(self._pages("list_multipart_uploads", "Uploads", key)):
            if upload["Key"] == key:
                with suppress(self.client.exceptions.NoSuchUpload):  # it has just ended by itself
                    self.client.abort_multipart_upload(Bucket=self.bucket_name, Key=key, UploadId=upload["UploadId"])

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell what boto3 raises in words of ours: its own may hold what the storage answered, whatever that is."""
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StorageUnavailable(f"Bucket {self.bucket_name!r}: {_rule(error)}") from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _rule(error: BotoCoreError | ClientError) -> str:
    match error:
        case ClientError():
            return _refusal(error)
        case NoCredentialsError() | PartialCredentialsError():
            return "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role."
        case NoConnection() | HTTPClientError():
            return f"no connection, or no answer in time ({type(error).__name__}): look at AWS_ENDPOINT_URL_S3."
        case _:
            return f"{type(error).__name__}: look at the AWS_ variables."


def _refusal(error: ClientError) -> str:
    code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
    asked = f"{error.operation_name} was answered with {status} {code}"
    if code in {"NoSuchBucket", "NotFound"} or (code, error.operation_name) == ("404", "HeadBucket"):
        return f"{asked}: there is no such bucket at this endpoint."
    if code in {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "InvalidClientTokenId"}:
        return f"{asked}: the storage does not accept these credentials."
    if status in {401, 403}:
        return f"{asked}: the credentials lack a right; docs/deployment.md lists those that are needed."
    return f"{asked}."
