"""A plain webhook: the message as JSON, for other systems.

Belongs here: the document. Does not belong here: posting it (`posting`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import SecretStr

from assay.alerts.delivery import Attempts
from assay.alerts.incidents import Record, Urgency
from assay.alerts.notice import Notice
from assay.alerts.posting import post_json


@dataclass(frozen=True)
class Webhook:
    """An address that accepts JSON.

    The header `Idempotency-Key` is the same when a message is sent again.

    Attributes:
        url: The address.
        name: Its name in the incident book.
        urgencies: The urgencies that it receives.
    """

    url: SecretStr
    name: str = "webhook"
    urgencies: tuple[Urgency, ...] = tuple(Urgency)

    def send(self, notice: Notice, attempts: Attempts) -> None:
        """Post the message."""
        body = {
            "id": notice.id,
            "lake": notice.lake,
            "subject": notice.subject,
            "opened": [described(record) for record in notice.opened],
            "over": [described(record) for record in notice.over],
            "open_in_all": len(notice.standing),
        }
        attempts.make(partial(post_json, self.url.get_secret_value(), body, {"Idempotency-Key": notice.id}))


def described(record: Record) -> dict[str, Any]:
    """An incident as JSON values."""
    return {
        "kind": record.incident.kind.value,
        "urgency": record.incident.urgency.value,
        "table": record.incident.table,
        "scope": record.incident.scope,
        "text": record.incident.text,
        "owner": record.incident.owner,
        "opened_at": record.opened_at.isoformat(),
        "resolved_at": record.resolved_at.isoformat() if record.resolved_at else None,
    }
