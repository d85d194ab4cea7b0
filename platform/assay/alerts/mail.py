"""E-mail, over SMTP.

Belongs here: the message and the SMTP session. Does not belong here: the wording (`notice`).
"""

from __future__ import annotations

import contextlib
import email.policy
import smtplib
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from functools import partial
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from assay.alerts.delivery import Attempts, NotNow, Undelivered
from assay.alerts.incidents import Urgency
from assay.alerts.notice import Notice

TIMEOUT_SECONDS = 20.0
_SEVEN_BIT = email.policy.SMTP.clone(cte_type="7bit")
"""Not every server accepts bytes above 127."""
PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Mail:
    """Mailboxes, and the server that accepts messages for them.

    Attributes:
        server: `smtp://user:password@host:port`, encrypted by STARTTLS if the server offers it, and always if there is a
            password; or `smtps://…`, encrypted from the start. User and password are percent-encoded.
        to: The mailboxes.
        sender: The sender's address.
        seconds: Timeout of each step of the session.
        context: The TLS context; None for the system's certificates.
        name: Its name in the incident book.
        urgencies: The urgencies that it receives.
    """

    server: SecretStr
    to: tuple[str, ...]
    sender: str
    seconds: float = TIMEOUT_SECONDS
    context: ssl.SSLContext | None = None
    name: str = "email"
    urgencies: tuple[Urgency, ...] = tuple(Urgency)

    def send(self, notice: Notice, attempts: Attempts) -> None:
        """Send the message; who has it is not sent it again by a further attempt.

        Raises:
            Undelivered: It was not taken for every mailbox.
        """
        attempts.make(partial(self._send, self._message(notice), list(self.to)))

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage(policy=_SEVEN_BIT)
        message["Subject"] = f"[assay] {' '.join(notice.subject.split())}"
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        newest = max(record.resolved_at or record.opened_at for record in notice.records)
        message["Date"] = format_datetime(newest)
        # Mail programs show a duplicate message once.
        message["Message-ID"] = f"<{notice.id}@assay>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content("\n".join(notice.text()) + "\n")
        return message

    def _send(self, message: EmailMessage, owed: list[str]) -> None:
        """Send the message to the mailboxes that are owed it, and leave those behind that the server refused."""
        address = urlsplit(self.server.get_secret_value())
        host = address.hostname or "?"
        try:
            client = self._connected(address.scheme, host, address.port or PORTS[address.scheme])
            try:
                self._log_in(client, host, address.username, address.password)
                refused = client.send_message(message, to_addrs=owed)
            finally:
                # The message is sent or refused by now: the end of the session does not matter.
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    client.quit()
        except smtplib.SMTPRecipientsRefused as error:
            raise _refusal(host, min(code for code, _ in error.recipients.values()), "the recipients") from None
        except smtplib.SMTPResponseException as error:
            raise _refusal(host, error.smtp_code, "the message or the login") from None
        except smtplib.SMTPServerDisconnected:
            raise NotNow(f"{host} broke off") from None
        except smtplib.SMTPException as error:
            raise Undelivered(
                f"{host} lacks a required feature ({type(error).__name__}).", hint="Check ASSAY_ALERTS_SMTP."
            ) from None
        except UnicodeError:
            raise Undelivered(f"{host} accepts only ASCII in user and password.", hint="Use another one.") from None
        except ssl.SSLCertVerificationError as error:
            raise Undelivered(f"The certificate of {host} is not trusted ({error.verify_message}).") from None
        except OSError as error:
            raise NotNow(f"{host} cannot be reached ({error.strerror or type(error).__name__})") from None
        owed[:] = refused
        if refused:
            some = f"{len(refused)} of {len(self.to)} recipients"
            raise _refusal(host, min(code for code, _ in refused.values()), some)

    def _connected(self, scheme: str, host: str, port: int) -> smtplib.SMTP:
        context = self.context or ssl.create_default_context()
        if scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=self.seconds, context=context)
        client = smtplib.SMTP(host, port, timeout=self.seconds)
        client.ehlo_or_helo_if_needed()
        if client.has_extn("starttls"):
            client.starttls(context=context)
        return client

    def _log_in(self, client: smtplib.SMTP, host: str, user: str | None, password: str | None) -> None:
        if user is None or password is None:
            return
        if not isinstance(client.sock, ssl.SSLSocket):
            raise Undelivered(
                f"{host} offers no encryption, so the password was not sent.", hint="Use smtps:// or another server."
            )
        client.login(unquote(user), unquote(password))


def _refusal(host: str, code: int, what: str) -> Undelivered:
    """A code of 4xx says to retry, one of 5xx not to (RFC 5321, section 4.2.1)."""
    if 400 <= code < 500:
        return NotNow(f"{host} answered {code} to {what}")
    return Undelivered(f"{host} refused {what} ({code}).", hint="Check ASSAY_ALERTS_SMTP and ASSAY_ALERTS_EMAIL.")
