"""Servers that take alerts, as real as they come: HTTP and SMTP on local ports, which answer as they are told."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from assay.lake.server import find_free_port


@dataclass(frozen=True)
class Answer:
    """How a request is answered.

    Attributes:
        status: The status.
        headers: The headers.
        seconds: How long the answer takes.
        hangs_up: Whether there is none.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    hangs_up: bool = False


@dataclass
class HttpReceiver:
    """An HTTP server that remembers what it was sent.

    Attributes:
        port: Its port.
        answers: The answers to the next requests; 200 when there are none left.
        requests: Path, headers and body of every request.
    """

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """An address with a secret in it."""
        return f"http://127.0.0.1:{self.port}/services/T0SECRET"

    @property
    def bodies(self) -> list[Any]:
        """What was sent."""
        return [body for _, _, body in self.requests]


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    """Run an HTTP server."""
    receiver = HttpReceiver()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                receiver.requests.append((self.path, dict(self.headers), json.loads(body)))
                answer = receiver.answers.pop(0) if receiver.answers else Answer()
            time.sleep(answer.seconds)
            if answer.hangs_up:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            receiver.requests.append((self.path, dict(self.headers), None))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    # A client that does not wait for the answer is what is tested, and no error.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailReceiver:
    """An SMTP server that remembers what it was sent.

    Attributes:
        port: Its port.
        recipients: Answers to the next recipients; it takes them when there are none left.
        data: Answers to the next messages; it takes them when there are none left.
        seconds: How long it takes to answer a message.
        messages: Every message that it took.
        logins: User and password of every login.
    """

    port: int = 0
    recipients: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    seconds: float = 0
    messages: list[Envelope] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)

    @property
    def texts(self) -> list[bytes]:
        """The messages as they came."""
        return [bytes(envelope.original_content or b"") for envelope in self.messages]

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's own name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipients.pop(0) if self.recipients else "250 OK"
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.seconds)
        answer = self.data.pop(0) if self.data else "250 OK"
        if answer.startswith("2"):
            self.messages.append(envelope)
        return answer

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == b"p@ss/word", handled=False)


@contextmanager
def mail_receiver(starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None) -> Iterator[MailReceiver]:
    """Run an SMTP server.

    Args:
        starttls: Offer encryption with this certificate.
        tls: Speak nothing but encrypted, with this certificate.
    """
    receiver = MailReceiver(find_free_port())
    controller = Controller(
        receiver,
        hostname="127.0.0.1",
        port=receiver.port,
        ssl_context=tls,
        tls_context=starttls,
        authenticator=receiver.authenticate,
        auth_require_tls=False,
    )
    controller.start()
    try:
        yield receiver
    finally:
        controller.stop()
