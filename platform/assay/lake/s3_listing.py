"""Listing a bucket of S3: pages are read leanly, and parts of a long listing beside each other.

Belongs here: what a page says, and which parts make a whole. Does not belong here: errors and credentials (`s3`).

boto3 looks up each member of each entry in its model of S3, and before that reads the whole page once more, only to see whether
it is an error: two thirds of what a long listing costs this process. So the entries are taken out of a page before boto3 sees
it. What is left says all that it needs: whether there is an error, and where the next page begins.
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
"""The most that S3 lists in one answer."""
AT_ONCE = 8
"""Parts of a listing that are asked for at the same time."""

Page = Sequence[ObjectInfo]
"""What one answer lists."""

_ENTRIES = "Entries"
_START, _END = b"<Contents>", b"</Contents>"


def read_leanly(client: S3Client) -> None:
    """Make a client take the entries out of pages of listings before it reads them."""
    # With a `*` for the service it is called before boto3's own, which look for errors; called after them, it only saves less.
    client.meta.events.register("before-parse.*.ListObjectsV2", _take_entries)


def pages_of(client: S3Client, bucket: str, root: str, prefix: str, after: str) -> Iterator[Page]:
    """List objects, a page at a time.

    Args:
        client: One that reads leanly.
        bucket: The bucket.
        root: What all keys are relative to.
        prefix: What the relative keys start with.
        after: The relative key after which the listing begins; from the start when empty.
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
    """Decode the keys of a page, all at once: one by one takes five times as long."""
    decoded = unquote_plus("\n".join(keys)).split("\n")
    # A key may hold a line break itself.
    return decoded if len(decoded) == len(keys) else [unquote_plus(key) for key in keys]


def goes_on(bucket: str) -> bool:
    """Whether a listing of a bucket can go on after a key: not that of a directory bucket, which has no order.

    Source: Amazon S3 API reference, ListObjectsV2, StartAfter; such names end with `--x-s3`.
    """
    return not bucket.endswith("--x-s3")


def list_in_parts(pages: Callable[[str], Iterator[Page]], cuts: Collection[str]) -> Iterator[ObjectInfo]:
    """List everything, cut into parts that are asked for beside each other.

    Nothing is supposed of the order in which a server lists but that it is one order, and that a listing after some key goes on
    from there: then each part may end where another has begun, and all together are the whole. Which keys the cuts are, and
    whether they are still there, decides how long the parts are, and nothing else.

    Args:
        pages: Lists what comes after a key, a page at a time; everything when it is empty.
        cuts: The keys after which the other parts begin.
    """
    if not cuts:
        yield from itertools.chain.from_iterable(pages(""))
        return
    parts = [pages(after) for after in ("", *cuts)]
    ends = frozenset(cuts)
    by_head: dict[str, Iterator[Page]] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="list") as pool:
        for first, part in zip(pool.map(_next_page, parts), parts, strict=True):
            # Parts that begin with the same object are the same: all that lay between their cuts is gone.
            if first and first[0].key not in by_head:
                by_head[first[0].key] = itertools.chain([first], part)
        running = [pool.submit(_read_part, part, by_head.keys() - {head}, ends) for head, part in by_head.items()]
        # An object that was deleted or written meanwhile can make two parts overlap.
        found = {info.key: info for future in running for info in future.result()}
    yield from found.values()


def _next_page(pages: Iterator[Page]) -> Page:
    """The next page that lists anything; an empty one when there is none."""
    return next(filter(None, pages), ())


def _read_part(pages: Iterable[Page], heads: Collection[str], ends: Collection[str]) -> list[ObjectInfo]:
    """Read a part up to where another begins: before its first object, or after the key that it is cut at."""
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
        # Cut off on its way: boto3 finds that, too, and asks again.
        return
    response_dict["body"] = head + tail
    customized_response_dict[_ENTRIES] = [{member.tag: member.text or "" for member in entry} for entry in read]
