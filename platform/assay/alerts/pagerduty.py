"""PagerDuty: events API, version 2.

Belongs here: events. Does not belong here: posting them (`posting`).

There is one event per kind and table, identified by `dedup_key`: a second failing partition joins the existing alert, which is
resolved with the last of them. An event that is sent twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import SecretStr

from assay.alerts.delivery import Attempts
from assay.alerts.incidents import Urgency
from assay.alerts.notice import Group, Notice, groups
from assay.alerts.posting import post_json
from assay.contracts.version import fingerprint

LONGEST_SUMMARY = 1024
"""Maximum length that the API accepts."""


@dataclass(frozen=True)
class PagerDuty:
    """A service's integration.

    Attributes:
        key: Its integration key, 32 characters.
        url: Where events are posted.
        name: Its name in the incident book.
        urgencies: The urgencies that it receives: only those that page.
    """

    key: SecretStr
    url: str
    name: str = "pagerduty"
    urgencies: tuple[Urgency, ...] = (Urgency.CRITICAL,)

    def send(self, notice: Notice, attempts: Attempts) -> None:
        """Post the events."""
        for event in _events(notice):
            attempts.make(partial(post_json, self.url, {"routing_key": self.key.get_secret_value(), **event}))


def _events(notice: Notice) -> Iterator[dict[str, Any]]:
    for group in groups(notice.opened):
        yield _trigger(notice, group)
    standing = {(record.incident.kind, record.incident.table) for record in notice.standing}
    for group in groups(notice.over):
        if (group.kind, group.table) not in standing:
            yield {"event_action": "resolve", "dedup_key": _dedup_key(notice, group)}


def _trigger(notice: Notice, group: Group) -> dict[str, Any]:
    lines = list(group.lines())
    event: dict[str, Any] = {
        "event_action": "trigger",
        "dedup_key": _dedup_key(notice, group),
        "client": "Assay",
        "payload": {
            "summary": f"{group.title}: {lines[0]}"[:LONGEST_SUMMARY],
            "source": notice.lake,
            "severity": group.kind.urgency.value,
            "timestamp": group.records[0].opened_at.isoformat(),
            "component": group.table,
            "group": group.owner,
            "class": group.kind.value,
            "custom_details": {"incidents": lines},
        },
    }
    if address := notice.link(group):
        event["links"] = [{"href": address, "text": group.table}]
    return event


def _dedup_key(notice: Notice, group: Group) -> str:
    return f"assay:{fingerprint([notice.lake, group.kind.value, group.table])}"
