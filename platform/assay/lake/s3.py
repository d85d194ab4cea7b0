"""The object store backed by a bucket of S3 or of an S3-compatible server.

Belongs here: boto3, and translating its errors into messages for operators. Does not belong here: how long listings are read
(`s3_listing`), folders (`files`), the interface (`store`), the embedded server (`server`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from assay.errors import Conflict, ObjectMissing, SettingsError, StoreError, StoreUnavailable
from assay.lake.s3_listing import Page, goes_on, list_in_parts, pages_of, read_leanly
from assay.lake.store import ObjectInfo, S3Access, check_key, complete_or_absent

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 3
CONNECTIONS = 32
LARGEST_PUT_BYTES = 5 * 1024**3
"""The most that S3 accepts in one PUT. A larger object would need a multipart upload, and S3 servers differ in how
they support conditions on those."""

_DEFAULT_REGION = "us-east-1"
_WRITE_ID = "assay-write"
"""Metadata entry by which a writer recognizes its own object."""
_BROKEN_BODY = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_MISSING = {"404", "NoSuchKey"}
_LOST = {"412", "PreconditionFailed", "ConditionalRequestConflict"}
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_MADE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}

_Read = TypeVar("_Read")


class S3Store:
    """Objects under one prefix of a bucket. See `assay.lake.store.ObjectStore` for the methods.

    Nothing is sent before the first operation. `get` and `head` of any key work; `put` takes only keys that
    every store can hold. Zero-byte objects whose key ends in a slash, which S3 consoles show as folders, are
    not listed.

    Args:
        bucket: The bucket.
        prefix: The prefix that all keys are relative to, without slashes at its ends; may be empty.
        endpoint: URL of the server; AWS when None.
        region: Region; boto3's own settings when None.
        access_key: Access key; boto3's own chain of credentials when None.
        secret_key: Secret key.
        session_token: Token of temporary credentials.

    Raises:
        SettingsError: There are no credentials, or the settings contradict each other.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str | None = None,
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        session_token: str | None = None,
    ) -> None:
        self.bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._session = _session(region, access_key, secret_key, session_token)
        self._client = _client(self._session, endpoint)
        self._endpoint = endpoint or _not_of_aws(self._client.meta.endpoint_url)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self._prefix}".rstrip("/")

    @property
    def settles(self) -> float:
        return 0.0

    def list(self, prefix: str, cuts: Collection[str] = ()) -> Iterator[ObjectInfo]:
        yield from list_in_parts(lambda after: self._pages(prefix, after), cuts if goes_on(self.bucket) else ())

    def _pages(self, prefix: str, after: str) -> Iterator[Page]:
        pages = iter(pages_of(self._client, self.bucket, self._prefix, prefix, after))
        while True:
            with self._explained(prefix):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def head(self, key: str) -> ObjectInfo:
        with self._explained(key):
            answer = self._client.head_object(Bucket=self.bucket, Key=self._key(key))
        return ObjectInfo(
            key=key,
            etag=_unquoted(answer["ETag"]),
            size=answer["ContentLength"],
            modified=_utc(answer["LastModified"]),
        )

    def get(self, key: str, last: int | None = None) -> bytes:
        return self._read(key, {} if last is None else {"Range": f"bytes=-{last}"}, lambda body: body.read())

    def download(self, key: str, target: Path, etag: str | None = None) -> None:
        condition: dict[str, Any] = {} if etag is None else {"IfMatch": _quoted(etag)}
        with complete_or_absent(target) as file:

            def copy(body: StreamingBody) -> None:
                file.seek(0)
                file.truncate()
                for chunk in body.iter_chunks(1 << 20):
                    file.write(chunk)

            try:
                self._read(key, condition, copy)
            except Conflict:
                raise ObjectMissing(
                    f"{key} is no longer at version {etag}.", hint="List it again and take its new version."
                ) from None

    def put(self, key: str, body: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> ObjectInfo:
        check_key(key)
        size = body.stat().st_size if isinstance(body, Path) else len(body)
        if size > LARGEST_PUT_BYTES:
            raise StoreError(
                f"{key} has {size:,} bytes; S3 accepts {LARGEST_PUT_BYTES:,} in one write.",
                hint="Partition the table more finely.",
            )
        condition: dict[str, Any] = {}
        if if_match is not None:
            condition["IfMatch"] = _quoted(if_match)
        if if_absent:
            condition["IfNoneMatch"] = "*"
        if not condition:
            return self._put(key, body, size, {})
        write_id = uuid.uuid4().hex
        try:
            return self._put(key, body, size, condition | {"Metadata": {_WRITE_ID: write_id}}, write_id)
        except ObjectMissing:
            # AWS answers this to If-Match if the object has been deleted.
            raise Conflict(f"{key} has been deleted.", hint="Read it and decide again.") from None

    def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissing), self._explained(key):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def path(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def local(self, key: str) -> Path | None:
        return None

    def s3_access(self) -> S3Access:
        credentials = self._session.get_credentials()
        if credentials is None:
            raise _no_credentials()
        # A role's credentials expire; boto3 renews them in time.
        now = credentials.get_frozen_credentials()
        if not now.access_key or not now.secret_key:
            raise _no_credentials()
        return S3Access(self.uri, self._endpoint, self._session.region_name, now.access_key, now.secret_key, now.token)

    def create_bucket(self) -> None:
        """Create the bucket, unless it exists.

        Raises:
            StoreError: It belongs to somebody else, or may not be created.
        """
        region = self._client.meta.region_name
        elsewhere: dict[str, Any] = (
            {} if self._endpoint or region == _DEFAULT_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        with self._explained(""):
            try:
                self._client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
                    raise
                self._make_bucket(elsewhere)

    def _make_bucket(self, elsewhere: Mapping[str, Any]) -> None:
        try:
            self._client.create_bucket(Bucket=self.bucket, **elsewhere)
        except ClientError as error:
            # Another process may have created it since we looked; if it belongs to a stranger, the first write
            # fails with that error.
            if error.response["Error"]["Code"] not in _MADE_ALREADY:
                raise

    def _key(self, key: str) -> str:
        return self._prefix + key

    def _put(self, key: str, body: bytes | Path, size: int, more: Mapping[str, Any], write_id: str = "") -> ObjectInfo:
        with self._explained(key), contextlib.ExitStack() as stack:
            source = stack.enter_context(body.open("rb")) if isinstance(body, Path) else body
            try:
                answer = self._client.put_object(Bucket=self.bucket, Key=self._key(key), Body=source, **more)
            except ClientError as error:
                if write_id and _is_lost(error) and _retried(error):
                    return self._recognised(key, write_id, error)
                raise
        written_at = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        modified = _utc(parsedate_to_datetime(written_at)) if written_at else dt.datetime.now(dt.UTC)
        return ObjectInfo(key=key, etag=_unquoted(answer["ETag"]), size=size, modified=modified)

    def _recognised(self, key: str, write_id: str, error: ClientError) -> ObjectInfo:
        """Tell a lost race from a lost answer.

        boto3 repeats a PUT whose answer did not arrive. If the first one succeeded, the second finds our own
        object there and answers that the condition fails.
        """
        answer = self._client.head_object(Bucket=self.bucket, Key=self._key(key))
        if answer["Metadata"].get(_WRITE_ID) != write_id:
            raise error
        return ObjectInfo(
            key=key,
            etag=_unquoted(answer["ETag"]),
            size=answer["ContentLength"],
            modified=_utc(answer["LastModified"]),
        )

    def _read(self, key: str, condition: Mapping[str, Any], read: Callable[[StreamingBody], _Read]) -> _Read:
        """Read an object; start over if the connection breaks within the body, where boto3 does not retry."""
        with self._explained(key):
            for attempt in range(1, ATTEMPTS + 1):
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(key), **condition)
                try:
                    return read(answer["Body"])
                except _BROKEN_BODY:
                    if attempt == ATTEMPTS:
                        raise
        raise AssertionError("The last attempt returns or raises.")

    @contextlib.contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn boto3's errors into the store's."""
        try:
            yield
        except ClientError as error:
            raise self._refused(key, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise _no_credentials() from error
        except (ConnectionError, HTTPClientError, IncompleteReadError) as error:
            raise self._unavailable(error) from error
        except BotoCoreError as error:
            raise StoreError(f"{self.path(key)}: {error}.", hint="Check ASSAY_LAKE and the AWS_ settings.") from error

    def _refused(self, key: str, error: ClientError) -> StoreError:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if _is_lost(error):
            return Conflict(f"{key} was written by somebody else first.", hint="Read it and decide again.")
        if code == "NoSuchBucket":
            return StoreError(
                f"There is no bucket {self.bucket} at {self._where}.",
                hint="Create it, or set ASSAY_LAKE to s3://bucket/prefix of one that is there.",
            )
        if code in _MISSING:
            return ObjectMissing(f"There is no object {key}.", hint="List its prefix to see what is there.")
        if code in _CREDENTIALS:
            return StoreError(
                f"{self._where} does not accept the credentials ({code}).",
                hint="Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            )
        if status == 403:
            return StoreError(
                f"{self._where} denies access to {self.path(key)}.",
                hint="Give the owner of AWS_ACCESS_KEY_ID the right to list, read, write and delete there.",
            )
        if code in _REGION:
            return StoreError(f"The bucket {self.bucket} is in another region.", hint="Set AWS_DEFAULT_REGION to it.")
        if status >= 500 or code == "SlowDown":
            return StoreUnavailable(f"{self._where} answers {code} ({status}).", hint="Try again in a while.")
        return StoreError(f"{self._where} refuses {self.path(key)}: {error}.", hint="Check ASSAY_LAKE.")

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"The object store at {self._where} does not answer: {error}.",
            hint="Check that it runs, and that AWS_ENDPOINT_URL names it; then try again.",
        )

    @property
    def _where(self) -> str:
        return self._endpoint or "AWS S3"


def _session(region: str | None, access_key: str | None, secret_key: str | None, session_token: str | None) -> boto3.Session:
    if (access_key is None) != (secret_key is None):
        raise SettingsError(
            "Only one of the S3 access key and secret key is given.",
            hint="Set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither.",
        )
    try:
        session = boto3.Session(
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            aws_session_token=session_token if access_key else None,
            region_name=region,
        )
        if session.get_credentials() is None:
            raise _no_credentials()
        return session
    except PartialCredentialsError as error:
        raise _no_credentials() from error
    except (BotoCoreError, ValueError) as error:
        raise _not_usable(error) from error


def _client(session: boto3.Session, endpoint: str | None) -> S3Client:
    try:
        client = session.client(
            "s3",
            endpoint_url=endpoint,
            region_name=session.region_name or _DEFAULT_REGION,
            config=_config(endpoint),
        )
        read_leanly(client)
        return client
    except (BotoCoreError, ValueError) as error:
        raise _not_usable(error) from error


def _not_usable(error: Exception) -> SettingsError:
    return SettingsError(
        f"The S3 settings are not usable: {error}.",
        hint="Check AWS_ENDPOINT_URL, AWS_PROFILE and AWS_DEFAULT_REGION.",
    )


def _not_of_aws(endpoint: str) -> str | None:
    """An endpoint that boto3 found itself, for example in a profile; None if it is one of AWS."""
    host = urlsplit(endpoint).hostname or ""
    return None if host.endswith((".amazonaws.com", ".amazonaws.com.cn")) else endpoint


def _config(endpoint: str | None) -> Config:
    return Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": "path" if endpoint else "auto"},
        # Many S3 servers do not support the newer checksums; the transport and the signature already protect
        # the body.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # A proxy configured for outside access cannot reach this machine's loopback.
        proxies={} if endpoint and _is_loopback(endpoint) else None,
    )


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _no_credentials() -> SettingsError:
    return SettingsError(
        "There are no S3 credentials.",
        hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE.",
    )


def _is_lost(error: ClientError) -> bool:
    return error.response["Error"]["Code"] in _LOST


def _retried(error: ClientError) -> bool:
    return error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC)


def _unquoted(etag: str) -> str:
    return etag.strip('"')


def _quoted(etag: str) -> str:
    return f'"{etag}"'
