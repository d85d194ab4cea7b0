"""Posting JSON over HTTP.

Belongs here: one request and the meaning of its response. Does not belong here: what is posted (`slack`, `pagerduty`, `webhook`).
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from assay.alerts.delivery import NotNow, Undelivered

TIMEOUT_SECONDS = 10.0
_MAY_BE_TRIED_AGAIN = {408, 425, 429}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST becomes a GET, which would succeed without notifying anybody."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def post_json(
    url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, seconds: float = TIMEOUT_SECONDS
) -> None:
    """Post a JSON document.

    Args:
        url: The address; it may contain a secret, and appears in no error.
        body: The document.
        headers: More headers.
        seconds: Timeout of each step of the connection.

    Raises:
        NotNow: There was no response, or one that asks to retry.
        Undelivered: Refused.
    """
    host = urlsplit(url).hostname or "?"
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "User-Agent": "assay", **(headers or {})},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=seconds):
            return
    except urllib.error.HTTPError as error:
        with error:
            said = f"{host} answered {error.code}"
            if error.code in _MAY_BE_TRIED_AGAIN or error.code >= 500:
                raise NotNow(said, _retry_after(error.headers.get("Retry-After"))) from None
            raise Undelivered(f"{said}.", hint="Check the address and key of the channel.") from None
    except TimeoutError:
        raise NotNow(f"{host} did not answer within {seconds:g} s") from None
    except urllib.error.URLError as error:
        raise NotNow(f"{host} cannot be reached ({_reason(error.reason)})") from None
    except (OSError, http.client.HTTPException) as error:
        raise NotNow(f"{host} broke off ({_reason(error)})") from None


def _reason(error: object) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _retry_after(said: str | None) -> float | None:
    """Seconds to wait, given as a number or as a date (RFC 9110, section 10.2.3)."""
    if not said:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        at = parsedate_to_datetime(said)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())
