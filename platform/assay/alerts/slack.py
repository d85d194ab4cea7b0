"""Slack, and what takes the same incoming webhooks (Mattermost, Rocket.Chat).

Belongs here: the message in Slack's markup. Does not belong here: posting it (`posting`).

Only `text` is used, which all of them know.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pydantic import SecretStr

from assay.alerts.delivery import Attempts
from assay.alerts.incidents import Urgency
from assay.alerts.notice import Notice
from assay.alerts.posting import post_json

LONGEST = 12_000
"""Characters of a message; Slack takes 40,000, Mattermost 16,383."""


@dataclass(frozen=True)
class Slack:
    """An incoming webhook.

    Attributes:
        url: Its address, which is its password.
        name: Its name in the book of incidents.
        urgencies: What it is told of.
    """

    url: SecretStr
    name: str = "slack"
    urgencies: tuple[Urgency, ...] = tuple(Urgency)

    def send(self, notice: Notice, attempts: Attempts) -> None:
        """Post the message."""
        lines = [f"*{_escaped(notice.subject)}*", *(_escaped(line) for line in notice.text())]
        text = "\n".join(lines)
        attempts.make(partial(post_json, self.url.get_secret_value(), {"text": text[:LONGEST]}))


def _escaped(text: str) -> str:
    """Keep data from being markup: `<!channel>` in a name must wake nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
