"""Each channel against a real server: what arrives, and what does not."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from receivers import Answer, HttpReceiver, MailReceiver, mail_receiver

from assay.alerts.channels import channels_of
from assay.alerts.delivery import Attempts, NotNow, Undelivered
from assay.alerts.incidents import Incident, Kind
from assay.alerts.mail import Mail
from assay.alerts.notice import SCOPES_SHOWN, Notice
from assay.alerts.pagerduty import PagerDuty
from assay.alerts.slack import Slack
from assay.alerts.webhook import Webhook
from assay.errors import SettingsError
from assay.settings import Settings, read_settings

NoticeOf = Callable[..., Notice]


def failures(count: int, table: str = "enriched.orders") -> list[Incident]:
    return [
        Incident(Kind.PROOF_FAILED, table, f"2025-{1 + n // 28:02}-{1 + n % 28:02}", "broken", "team:shop") for n in range(count)
    ]


class TestSlack:
    def test_a_message_says_what_is_new_and_what_is_over(
        self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        late = Incident(Kind.LATE, "raw.orders", "", "nothing new since 10:00")
        Slack(SecretStr(http.url)).send(notice_of([failed], [late], ui="https://dagster.example"), attempts)
        (body,) = http.bodies
        assert set(body) == {"text"}
        assert body["text"].splitlines() == [
            "*CRITICAL enriched.orders: 1 new, 1 over, 1 open in all*",
            "CRITICAL enriched.orders: proof failed (team:shop)",
            "  - 2025-03-01: 5 rows repeat a key",
            "  https://dagster.example/assets/enriched/orders",
            "OVER raw.orders: late",
            "  - from 2025-03-04 12:00 to 2025-03-04 14:00 UTC",
            "1 open in s3://lake; `assay alerts` lists them.",
        ]

    def test_data_is_no_markup(self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf) -> None:
        Slack(SecretStr(http.url)).send(notice_of([Incident(Kind.HELD, "raw.x", "<!channel>", "a & b")]), attempts)
        assert "&lt;!channel&gt;: a &amp; b" in http.bodies[0]["text"]

    def test_many_are_one_message_of_bounded_length(self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf) -> None:
        many = [incident for number in range(30) for incident in failures(50, f"enriched.t{number}")]
        Slack(SecretStr(http.url)).send(notice_of(many), attempts)
        (body,) = http.bodies
        assert f"and {50 - SCOPES_SHOWN} more" in body["text"]
        assert "and 10 more tables and kinds" in body["text"]
        assert len(body["text"]) < 16_000


class TestPagerDuty:
    def channel(self, http: HttpReceiver) -> PagerDuty:
        return PagerDuty(SecretStr("k" * 32), http.url)

    def test_a_table_is_one_event_however_many_partitions_fail(
        self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf
    ) -> None:
        self.channel(http).send(notice_of(failures(12), ui="https://dagster.example"), attempts)
        (event,) = http.bodies
        assert event["routing_key"] == "k" * 32
        assert event["event_action"] == "trigger"
        assert event["payload"] == {
            "summary": "enriched.orders: proof failed (team:shop): 2025-01-01: broken",
            "source": "s3://lake",
            "severity": "critical",
            "timestamp": "2025-03-04T12:00:00+00:00",
            "component": "enriched.orders",
            "group": "team:shop",
            "class": "proof_failed",
            "custom_details": {
                "incidents": [*(f"2025-01-{day:02}: broken" for day in range(1, 11)), "and 2 more"],
            },
        }
        assert event["links"] == [{"href": "https://dagster.example/assets/enriched/orders", "text": "enriched.orders"}]

    def test_it_is_resolved_when_the_last_partition_is_mended(
        self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf
    ) -> None:
        first, second = failures(2)
        self.channel(http).send(notice_of([first, second]), attempts)
        self.channel(http).send(notice_of(over=[first], standing=[second]), attempts)
        assert len(http.bodies) == 1, "another partition still fails"
        self.channel(http).send(notice_of(over=[second]), attempts)
        assert [body["event_action"] for body in http.bodies] == ["trigger", "resolve"]
        assert http.bodies[0]["dedup_key"] == http.bodies[1]["dedup_key"]

    def test_another_kind_or_table_is_another_alert(self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf) -> None:
        late = Incident(Kind.LATE, "enriched.orders", "", "t")
        self.channel(http).send(notice_of([*failures(1), *failures(1, "marts.x"), late]), attempts)
        assert len({body["dedup_key"] for body in http.bodies}) == 3

    def test_each_event_is_tried_again(
        self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf, pauses: list[float]
    ) -> None:
        http.answers = [Answer(202), Answer(429), Answer(500), Answer(202)]
        self.channel(http).send(notice_of([*failures(1), *failures(1, "marts.x")]), attempts)
        assert [body["payload"]["component"] for body in http.bodies] == ["enriched.orders", *["marts.x"] * 3]
        assert pauses == [1, 2]


class TestWebhook:
    def test_it_gets_everything_as_json(
        self, http: HttpReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        notice = notice_of([failed], [Incident(Kind.LATE, "raw.orders", "", "t")])
        Webhook(SecretStr(http.url)).send(notice, attempts)
        (body,) = http.bodies
        assert http.requests[0][1]["Idempotency-Key"] == body["id"] == notice.id
        assert body["opened"] == [
            {
                "kind": "proof_failed",
                "urgency": "critical",
                "table": "enriched.orders",
                "scope": "2025-03-01",
                "text": "5 rows repeat a key",
                "owner": "team:shop",
                "opened_at": "2025-03-04T12:00:00+00:00",
                "resolved_at": None,
            }
        ]
        assert body["over"][0]["resolved_at"] == "2025-03-04T14:00:00+00:00"
        assert (body["lake"], body["open_in_all"]) == ("s3://lake", 1)


class TestMail:
    def parsed(self, text: bytes) -> EmailMessage:
        message = email.message_from_bytes(text, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    def test_a_message_arrives_at_every_mailbox(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        mail = Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example", "b@x.example"), "Assay <assay@x.example>")
        notice = notice_of([failed])
        mail.send(notice, attempts)
        (envelope,) = mailbox.messages
        assert envelope.rcpt_tos == ["a@x.example", "b@x.example"]
        assert envelope.mail_from == "assay@x.example"
        message = self.parsed(mailbox.texts[0])
        assert message["Subject"] == "[assay] CRITICAL enriched.orders: 1 new, 1 open in all"
        assert message["Message-ID"] == f"<{notice.id}@assay>"
        assert "2025-03-01: 5 rows repeat a key" in message.get_content()

    def test_words_of_any_language_and_lines_in_names_do_no_harm(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf
    ) -> None:
        odd = Incident(Kind.HELD, "raw.ümlaut\r\nBcc: all@x.example", "a\nb", "Straße\n.\nend")
        Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example",), "assay@x.example").send(notice_of([odd]), attempts)
        message = self.parsed(mailbox.texts[0])
        assert message["Bcc"] is None
        assert "a b: Straße . end" in message.get_content()
        assert mailbox.texts[0].isascii(), "not every server takes anything else"

    def test_what_may_pass_is_tried_again(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident, pauses: list[float]
    ) -> None:
        mailbox.recipients = ["450 busy"]
        mailbox.data = ["451 later"]
        Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example",), "assay@x.example").send(
            notice_of([failed]), attempts
        )
        assert (len(mailbox.messages), pauses) == (1, [1, 2])

    @pytest.mark.parametrize("what", ["recipients", "data"])
    def test_a_refusal_is_not(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident, pauses: list[float], what: str
    ) -> None:
        setattr(mailbox, what, ["550 never"])
        with pytest.raises(Undelivered, match="550"):
            Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example",), "me@x.example").send(
                notice_of([failed]), attempts
            )
        assert pauses == []

    def test_one_mailbox_that_is_refused_does_not_stop_the_others_and_is_not_passed_over(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        mailbox.recipients = ["550 never"]
        mail = Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example", "b@x.example"), "me@x.example")
        with pytest.raises(Undelivered, match=r"refused 1 of 2 recipients \(550\)") as raised:
            mail.send(notice_of([failed]), attempts)
        assert "x.example" not in str(raised.value)
        assert mailbox.messages[0].rcpt_tos == ["b@x.example"]

    def test_one_that_is_busy_is_tried_again_alone(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        mailbox.recipients = ["450 busy"]
        Mail(SecretStr(f"smtp://127.0.0.1:{mailbox.port}"), ("a@x.example", "b@x.example"), "me@x.example").send(
            notice_of([failed]), attempts
        )
        assert [envelope.rcpt_tos for envelope in mailbox.messages] == [["b@x.example"], ["a@x.example"]]

    @pytest.mark.parametrize("scheme", ["smtp", "smtps"])
    def test_it_logs_in_over_an_encrypted_connection(
        self, attempts: Attempts, notice_of: NoticeOf, failed: Incident, scheme: str
    ) -> None:
        authority = trustme.CA()
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert("127.0.0.1").configure_cert(server)
        authority.configure_trust(client)
        contexts: dict[str, Any] = {"starttls": server} if scheme == "smtp" else {"tls": server}
        with mail_receiver(**contexts) as mailbox:
            address = SecretStr(f"{scheme}://me:p%40ss%2Fword@127.0.0.1:{mailbox.port}")
            Mail(address, ("a@x.example",), "me@x.example", context=client).send(notice_of([failed]), attempts)
            assert mailbox.logins == [("me", "p@ss/word")]
            assert len(mailbox.messages) == 1
            with pytest.raises(Undelivered, match="not trusted"):
                Mail(address, ("a@x.example",), "me@x.example").send(notice_of([failed]), attempts)
            wrong = SecretStr(f"{scheme}://me:other-secret@127.0.0.1:{mailbox.port}")
            with pytest.raises(Undelivered, match="535") as raised:
                Mail(wrong, ("a@x.example",), "me@x.example", context=client).send(notice_of([failed]), attempts)
            assert "other-secret" not in str(raised.value)
            odd = SecretStr(f"{scheme}://me:p%C3%A9@127.0.0.1:{mailbox.port}")
            with pytest.raises(Undelivered, match="ASCII"):
                Mail(odd, ("a@x.example",), "me@x.example", context=client).send(notice_of([failed]), attempts)

    def test_a_password_is_never_sent_in_the_clear(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident
    ) -> None:
        with pytest.raises(Undelivered, match="no encryption"):
            Mail(SecretStr(f"smtp://me:pw@127.0.0.1:{mailbox.port}"), ("a@x.example",), "me@x.example").send(
                notice_of([failed]), attempts
            )
        assert mailbox.logins == []

    def test_a_server_that_is_too_slow_is_tried_again(
        self, mailbox: MailReceiver, attempts: Attempts, notice_of: NoticeOf, failed: Incident, pauses: list[float]
    ) -> None:
        mailbox.seconds = 1
        address = SecretStr(f"smtp://127.0.0.1:{mailbox.port}")
        with pytest.raises(NotNow):
            Mail(address, ("a@x.example",), "me@x.example", seconds=0.1).send(notice_of([failed]), attempts)
        assert pauses == [1, 2, 4]

    def test_a_server_that_is_not_there_is_tried_again(
        self, attempts: Attempts, notice_of: NoticeOf, failed: Incident, pauses: list[float]
    ) -> None:
        with mail_receiver() as gone:
            port = gone.port
        with pytest.raises(NotNow, match="cannot be reached"):
            Mail(SecretStr(f"smtp://127.0.0.1:{port}"), ("a@x.example",), "me@x.example").send(notice_of([failed]), attempts)
        assert pauses == [1, 2, 4]


SECRETS = {
    "ASSAY_ALERTS_SLACK": "https://hooks.slack.example/services/T0SECRET",
    "ASSAY_ALERTS_PAGERDUTY_KEY": "k0SECRET",
    "ASSAY_ALERTS_WEBHOOK": "https://hooks.example/T1SECRET",
    "ASSAY_ALERTS_SMTP": "smtp://me:pwSECRET@mail.example:587",
}


class TestSettings:
    @pytest.fixture
    def settings(self, monkeypatch: pytest.MonkeyPatch) -> Settings:
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("ASSAY_ALERTS_EMAIL", "a@x.example, b@x.example,")
        return read_settings()

    def test_they_say_which_channels_there_are(self, settings: Settings) -> None:
        channels = channels_of(settings)
        assert [channel.name for channel in channels] == ["pagerduty", "slack", "webhook", "email"]
        assert isinstance(channels[3], Mail)
        assert channels[3].to == ("a@x.example", "b@x.example")

    def test_without_any_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in SECRETS:
            monkeypatch.delenv(name, raising=False)
        assert channels_of(read_settings()) == []

    def test_secrets_are_not_shown(self, settings: Settings) -> None:
        assert "SECRET" not in repr(settings)
        assert "SECRET" not in str(settings.model_dump())
        assert "SECRET" not in repr(channels_of(settings))

    @pytest.mark.parametrize("variable", ["ASSAY_ALERTS_SLACK", "ASSAY_ALERTS_WEBHOOK", "ASSAY_ALERTS_SMTP", "ASSAY_ALERTS_UI"])
    @pytest.mark.parametrize(
        "value", ["T0SECRET", "ftp://x/T0SECRET", "https:///T0SECRET", "https://x/T0 SECRET", "https://x:y/T0SECRET"]
    )
    def test_what_is_no_address_is_one_error_that_does_not_repeat_it(
        self, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
    ) -> None:
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match=variable) as raised:
            read_settings()
        assert "SECRET" not in str(raised.value)
        assert "SECRET" not in str(raised.value.__cause__)

    def test_mailboxes_need_a_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ASSAY_ALERTS_EMAIL", "a@x.example")
        with pytest.raises(SettingsError, match="ASSAY_ALERTS_SMTP"):
            channels_of(read_settings())
