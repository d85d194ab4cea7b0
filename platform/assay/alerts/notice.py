"""Notices: everything that a channel is owed, as one message.

Belongs here: the message's content, and the wording that channels share. Does not belong here: any channel's own format.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from assay.alerts.incidents import Kind, Record, Urgency
from assay.contracts.version import fingerprint

SCOPES_SHOWN = 10
"""Incidents of one kind and table that a message lists; it counts the others."""
GROUPS_SHOWN = 20
TEXT_SHOWN = 300
"""Maximum length of an incident's text, in characters."""


@dataclass(frozen=True)
class Group:
    """Incidents of one kind and table.

    Attributes:
        kind: What is wrong.
        table: The table's full name.
        owner: The team responsible.
        records: The incidents, oldest first.
    """

    kind: Kind
    table: str
    owner: str
    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """The group in one line."""
        return f"{self.table}: {self.kind.words}" + (f" ({self.owner})" if self.owner else "")

    def lines(self) -> Iterator[str]:
        """One line per incident, up to a limit."""
        for record in self.records[:SCOPES_SHOWN]:
            scope = f"{record.incident.scope}: " if record.incident.scope else ""
            yield _cut(f"{scope}{record.incident.text}")
        if len(self.records) > SCOPES_SHOWN:
            yield f"and {len(self.records) - SCOPES_SHOWN} more"


@dataclass(frozen=True)
class Notice:
    """One message.

    Attributes:
        lake: The lake's address.
        records: The incidents that the channel is owed.
        standing: All open incidents, sent or not.
        ui: Address of the Dagster UI, without a trailing slash; empty if unknown.
    """

    lake: str
    records: tuple[Record, ...]
    standing: tuple[Record, ...]
    ui: str = ""

    @property
    def id(self) -> str:
        """Identifies the message by its content: a message that is sent twice has the same id."""
        return fingerprint([self.lake, [(each.incident.key, each.opened_at.isoformat(), each.is_open) for each in self.records]])

    @property
    def opened(self) -> tuple[Record, ...]:
        """Incidents that have begun."""
        return tuple(record for record in self.records if record.is_open)

    @property
    def over(self) -> tuple[Record, ...]:
        """Incidents that are resolved."""
        return tuple(record for record in self.records if not record.is_open)

    @property
    def urgency(self) -> Urgency:
        """The highest urgency among new incidents."""
        found = {record.incident.urgency for record in self.opened}
        return Urgency.CRITICAL if Urgency.CRITICAL in found else Urgency.WARNING

    @property
    def subject(self) -> str:
        """The message in one line."""
        tables = sorted({record.incident.table for record in self.opened or self.over})
        about = ", ".join(tables[:3]) + (" and others" if len(tables) > 3 else "")
        counts = [f"{len(self.opened)} new"] if self.opened else []
        counts += [f"{len(self.over)} over"] if self.over else []
        urgent = "CRITICAL " if self.opened and self.urgency is Urgency.CRITICAL else ""
        return f"{urgent}{about}: {', '.join(counts)}, {len(self.standing)} open in all"

    def link(self, group: Group) -> str:
        """Address of details in the Dagster UI; empty if unknown."""
        if not self.ui or group.kind in (Kind.LAKE_GONE, Kind.UNSEEN):
            return ""
        return f"{self.ui}/runs" if group.kind is Kind.RUN_FAILED else f"{self.ui}/assets/{group.table.replace('.', '/')}"

    def text(self, link: Callable[[str], str] = lambda address: address) -> Iterator[str]:
        """The message as lines of plain text.

        Args:
            link: Formats an address.
        """
        opened, over = groups(self.opened), groups(self.over)
        for group in opened[:GROUPS_SHOWN]:
            yield f"{group.kind.urgency.upper()} {group.title}"
            yield from (f"  - {line}" for line in group.lines())
            if address := self.link(group):
                yield f"  {link(address)}"
        for group in over[:GROUPS_SHOWN]:
            yield f"OVER {group.title}"
            yield from (f"  - {_lasted(record)}" for record in group.records[:SCOPES_SHOWN])
            if len(group.records) > SCOPES_SHOWN:
                yield f"  - and {len(group.records) - SCOPES_SHOWN} more"
        left = len(opened[GROUPS_SHOWN:]) + len(over[GROUPS_SHOWN:])
        if left:
            yield f"and {left} more tables and kinds"
        yield f"{len(self.standing)} open in {self.lake}; `assay alerts` lists them."


def groups(records: Iterable[Record]) -> list[Group]:
    """Group incidents by kind and table, critical ones first."""

    def by(record: Record) -> tuple[bool, str, str]:
        return record.incident.urgency is Urgency.WARNING, record.incident.table, record.incident.kind

    found = []
    for _, members in groupby(sorted(records, key=by), by):
        together = tuple(sorted(members, key=lambda record: (record.opened_at, record.incident.scope)))
        first = together[0].incident
        found.append(Group(first.kind, first.table, first.owner, together))
    return found


def _lasted(record: Record) -> str:
    scope = f"{record.incident.scope}: " if record.incident.scope else ""
    ended = record.resolved_at or record.opened_at
    return f"{scope}from {_minute(record.opened_at)} to {_minute(ended)} UTC"


def _minute(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_SHOWN else f"{line[: TEXT_SHOWN - 1]}…"
