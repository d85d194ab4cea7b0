"""Listing an S3 bucket: pages are parsed cheaply, and the parts of a long listing are read in parallel.

Belongs here: parsing pages, and splitting a listing into parts. Does not belong here: errors and credentials (`s3`).

boto3 looks up each member of each entry in its model of S3, and before that parses the whole page once more, only to see whether
it is an error: two thirds of this process's cost of a long listing. So the entries are taken out of a page before boto3 sees
it. What is left is all that it needs: whether there is an error, and where the next page begins.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from assay.lake.store import ObjectInfo

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE_OBJECTS = 1000
"""The most objects that S3 lists in one answer."""
AT_ONCE = 8
"""Parts of a listing that are requested at the same time."""

Page = Sequence[ObjectInfo]
"""The objects in one answer."""

_ENTRIES = "Entries"
_START, _END = b"<Contents>", b"</Contents>"


def read_leanly(client: S3Client) -> None:
    """Make a client take the entries out of listing pages before it parses them."""
    # With `*` for the service it runs before boto3's own handlers, which look for errors; after them, it would save less.
    client.meta.events.register("before-parse.*.ListObjectsV2", _take_entries)


def pages_of(client: S3Client, bucket: str, root: str, prefix: str, after: str) -> Iterator[Page]:
    """List objects, a page at a time.

    Args:
        client: A client set up by `read_leanly`.
        bucket: The bucket.
        root: The prefix that all keys are relative to.
        prefix: What the relative keys start with.
        after: The relative key after which the listing begins; empty to begin at the start.
    """
    begins: dict[str, Any] = {"StartAfter": root + after} if after else {}
    paginator = client.get_paginator("list_objects_v2")
    for page in paginator.paginate(Bucket=bucket, Prefix=root + prefix, PaginationConfig={"PageSize": PAGE_OBJECTS}, **begins):
        entries: list[Mapping[str, str]] = page.get(_ENTRIES, [])  # type: ignore[assignment]
        keys = [entry["Key"] for entry in entries]
        yield [
            ObjectInfo(
                key.removeprefix(root),
                entry["ETag"].strip('"'),
                int(entry["Size"]),
                dt.datetime.fromisoformat(entry["LastModified"]).astimezone(dt.UTC),
            )
            for key, entry in zip(_decoded(keys) if page.get("EncodingType") == "url" else keys, entries, strict=True)
            if not key.endswith("/")
        ]


def _decoded(keys: list[str]) -> list[str]:
    """Decode all keys of a page at once: one by one takes five times as long."""
    decoded = unquote_plus("\n".join(keys)).split("\n")
    # A key may itself contain a line break.
    return decoded if len(decoded) == len(keys) else [unquote_plus(key) for key in keys]


def goes_on(bucket: str) -> bool:
    """Whether a listing of a bucket can begin after a key; that of a directory bucket, which has no order, cannot.

    Source: Amazon S3 API reference, ListObjectsV2, StartAfter; the names of directory buckets end with `--x-s3`.
    """
    return not bucket.endswith("--x-s3")


def list_in_parts(pages: Callable[[str], Iterator[Page]], cuts: Collection[str]) -> Iterator[ObjectInfo]:
    """List everything in parts that are requested in parallel.

    The only assumption about the server's order is that it is always the same, and that a listing after some key continues from
    there: then each part may end where another begins, and together they are complete. The choice of cuts, and whether they still
    exist, only affects how long the parts are.

    Args:
        pages: Lists what comes after a key, a page at a time; everything if the key is empty.
        cuts: The keys after which the further parts begin.
    """
    if not cuts:
        yield from itertools.chain.from_iterable(pages(""))
        return
    parts = [pages(after) for after in ("", *cuts)]
    ends = frozenset(cuts)
    by_head: dict[str, Iterator[Page]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list") as pool:
        for first, part in zip(pool.map(_next_page, parts), parts, strict=True):
            # Parts that begin with the same object are the same: everything between their cuts has been deleted.
            if first and first[0].key not in by_head:
                by_head[first[0].key] = itertools.chain([first], part)
        running = [pool.submit(_read_part, part, by_head.keys() - {head}, ends) for head, part in by_head.items()]
        # An object that is deleted or written meanwhile can make two parts overlap.
        found = {info.key: info for future in running for info in future.result()}
    yield from found.values()


def _next_page(pages: Iterator[Page]) -> Page:
    """The next page that lists anything; an empty one if there is none."""
    return next(filter(None, pages), ())


def _read_part(pages: Iterable[Page], heads: Collection[str], ends: Collection[str]) -> list[ObjectInfo]:
    """Read a part up to where another begins: before its first object, or after the key at which it is cut."""
    found: list[ObjectInfo] = []
    for info in itertools.chain.from_iterable(pages):
        if info.key in heads:
            break
        found.append(info)
        if info.key in ends:
            break
    return found


def _take_entries(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    head, start, rest = response_dict["body"].partition(_START)
    entries, end, tail = rest.rpartition(_END)
    if not end:
        return
    try:
        read = ElementTree.fromstring(b"<Page>" + start + entries + end + b"</Page>")
    except ElementTree.ParseError:
        # Truncated in transit: boto3 detects that, too, and retries.
        return
    response_dict["body"] = head + tail
    customized_response_dict[_ENTRIES] = [{member.tag: member.text or "" for member in entry} for entry in read]
