"""Slack, and services that accept the same incoming webhooks (Mattermost, Rocket.Chat).

Belongs here: the message in Slack's markup. Does not belong here: posting it (`posting`).

Only `text` is used, which all of them support.
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
"""Maximum length of a message; Slack accepts 40,000 characters, Mattermost 16,383."""


@dataclass(frozen=True)
class Slack:
    """An incoming webhook.

    Attributes:
        url: Its address, which is also its password.
        name: Its name in the incident book.
        urgencies: The urgencies that it receives.
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
    """Escape markup in data: `<!channel>` in a name must notify nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
