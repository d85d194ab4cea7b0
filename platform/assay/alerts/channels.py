"""The channels configured in the settings.

Belongs here: making channels from settings. Does not belong here: what a channel does.
"""

from __future__ import annotations

from assay.alerts.delivery import Channel
from assay.alerts.mail import Mail
from assay.alerts.pagerduty import PagerDuty
from assay.alerts.slack import Slack
from assay.alerts.webhook import Webhook
from assay.errors import SettingsError
from assay.settings import Settings


def channels_of(settings: Settings) -> list[Channel]:
    """The configured channels; possibly none.

    Raises:
        SettingsError: There are mailboxes but no mail server.
    """
    found: list[Channel] = []
    if settings.alerts_pagerduty_key is not None:
        found.append(PagerDuty(settings.alerts_pagerduty_key, settings.alerts_pagerduty_url))
    if settings.alerts_slack is not None:
        found.append(Slack(settings.alerts_slack))
    if settings.alerts_webhook is not None:
        found.append(Webhook(settings.alerts_webhook))
    if mailboxes := tuple(each.strip() for each in settings.alerts_email.split(",") if each.strip()):
        if settings.alerts_smtp is None:
            raise SettingsError("ASSAY_ALERTS_EMAIL is set, but no mail server.", hint="Set ASSAY_ALERTS_SMTP=smtp://host:port.")
        found.append(Mail(settings.alerts_smtp, mailboxes, settings.alerts_email_from))
    return found
