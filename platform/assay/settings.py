"""Every setting, read from the environment in one place.

Belongs here: names, defaults and checks of settings. Does not belong here: opening anything they point to.

| variable | meaning | default |
|---|---|---|
| `ASSAY_LAKE` | the lake: `s3://bucket/prefix` or `file:///path` | the embedded S3 server |
| `ASSAY_HOME` | local state: embedded server, Dagster instance, scratch | `~/.assay` |
| `ASSAY_DOMAIN` | module of the domain | `payments` |
| `ASSAY_MEMORY` | DuckDB's memory limit | `2GB` |
| `ASSAY_THREADS` | DuckDB's threads | the machine's cores |
| `ASSAY_SENSE_SECONDS` | how often the landing sensor checks, in seconds | `15` |
| `ASSAY_S3_PORT`, `ASSAY_UI_PORT` | ports of `assay up` | `8333`, `3000` |
| `ASSAY_METRICS_PORT` | port of the Prometheus endpoint of `assay up`; 0 for none | `9464` |
| `ASSAY_ALERTS_SLACK` | incoming webhook of Slack, Mattermost or Rocket.Chat | |
| `ASSAY_ALERTS_PAGERDUTY_KEY` | integration key of a PagerDuty service (events v2): receives critical incidents | |
| `ASSAY_ALERTS_PAGERDUTY_URL` | where its events are posted | the API's address |
| `ASSAY_ALERTS_WEBHOOK` | address that accepts alerts as JSON | |
| `ASSAY_ALERTS_EMAIL` | mailboxes, separated by commas | |
| `ASSAY_ALERTS_EMAIL_FROM` | sender of e-mails | `assay@localhost` |
| `ASSAY_ALERTS_SMTP` | mail server: `smtp://user:password@host:587` or `smtps://…` | |
| `ASSAY_ALERTS_UI` | address of the Dagster UI, for links in alerts | |
| `ASSAY_DSN__<NAME>` | `postgresql://…` or `mysql://…` of the database named `<name>` in controls | |
| `ASSAY_KAFKA` | brokers, for `assay lander`, which reads it itself | |
| `AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION` | as usual | |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | as usual | as found by boto3: a profile, a role |
| `DAGSTER_HOME` | the Dagster instance | `$ASSAY_HOME/dagster` |
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from assay.errors import SettingsError

EMBEDDED_BUCKET = "lake"
_PREFIX = "ASSAY_"
_ALIKE = 0.8
"""Share of letters in common, as counted by difflib, from which a name is taken for a misspelt setting."""
_MEMORY = re.compile(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", re.IGNORECASE)


def _aws(*names: str) -> AliasChoices:
    return AliasChoices(*names)


def _require_address(value: SecretStr | str | None, schemes: tuple[str, ...]) -> None:
    """Reject an invalid address without repeating it: it may contain a password."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        return
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_whole = False
    if not is_whole or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"it is not an address of the form {schemes[-1]}://host (a port may follow)")


class Settings(BaseSettings):
    """The settings of one process; see the module's docstring for what each means."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        # Only `dsn` has nested names.
        env_nested_delimiter="__",
        extra="ignore",
        env_ignore_empty=True,
        validate_default=True,
        # A stack trace must not show an invalid value of a secret.
        hide_input_in_errors=True,
    )

    lake: str | None = None
    home: Path = Path("~/.assay")
    domain: str = "payments"
    memory: str = "2GB"
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    sense_seconds: int = Field(15, ge=1)
    s3_port: int = Field(8333, ge=1, le=65535)
    ui_port: int = Field(3000, ge=1, le=65535)
    metrics_port: int = Field(9464, ge=0, le=65535)

    alerts_slack: SecretStr | None = None
    alerts_pagerduty_key: SecretStr | None = None
    alerts_pagerduty_url: str = "https://events.pagerduty.com/v2/enqueue"
    alerts_webhook: SecretStr | None = None
    alerts_email: str = ""
    alerts_email_from: str = "assay@localhost"
    alerts_smtp: SecretStr | None = None
    alerts_ui: str = ""

    dsn: dict[str, SecretStr] = Field(default_factory=dict)

    endpoint: str | None = Field(None, validation_alias=_aws("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
    region: str | None = Field(None, validation_alias=_aws("AWS_REGION", "AWS_DEFAULT_REGION"))
    access_key: SecretStr | None = Field(None, validation_alias=_aws("AWS_ACCESS_KEY_ID"))
    secret_key: SecretStr | None = Field(None, validation_alias=_aws("AWS_SECRET_ACCESS_KEY"))
    session_token: SecretStr | None = Field(None, validation_alias=_aws("AWS_SESSION_TOKEN"))
    dagster_home: Path | None = Field(None, validation_alias=_aws("DAGSTER_HOME"))

    @field_validator("home", "dagster_home")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().resolve()

    @field_validator("memory")
    @classmethod
    def _is_size(cls, value: str) -> str:
        if not _MEMORY.fullmatch(value.strip()):
            raise ValueError(f"{value!r} is not an amount of memory; write it as in 2GB")
        return value.strip()

    @field_validator("alerts_slack", "alerts_webhook", "alerts_pagerduty_url", "alerts_ui")
    @classmethod
    def _is_web_address(cls, value: SecretStr | str | None) -> SecretStr | str | None:
        _require_address(value, ("http", "https"))
        return value

    @field_validator("alerts_smtp")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        _require_address(value, ("smtp", "smtps"))
        return value

    @property
    def is_embedded(self) -> bool:
        """Whether the lake is on the embedded S3 server."""
        return self.lake is None

    @property
    def lake_uri(self) -> str:
        """The lake's URI."""
        return self.lake or f"s3://{EMBEDDED_BUCKET}"

    @property
    def instance_folder(self) -> Path:
        """Folder of the Dagster instance."""
        return self.dagster_home or self.home / "dagster"

    @property
    def logs(self) -> Path:
        """Folder for the logs of servers. Not below the Dagster instance, whose telemetry clears its own `logs`."""
        return self.home / "logs"

    @property
    def scratch(self) -> Path:
        """Folder for temporary files."""
        return self.home / "scratch"


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: A value is invalid, or a name is misspelt; the message names the variable.
    """
    _refuse_misspelt(os.environ)
    try:
        return Settings()  # type: ignore[call-arg]
    except SourceError:
        # Its cause repeats the value, which may hold a password.
        raise SettingsError(
            "ASSAY_DSN is not a setting by itself.", hint="Name the database, as in ASSAY_DSN__LEDGER=postgresql://…"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "a setting"
        variable = name if name.isupper() else f"{_PREFIX}{name.upper()}"
        raise SettingsError(
            f"{variable} is wrong: {first['msg'].removeprefix('Value error, ')}", hint="Set it in the environment, or unset it."
        ) from error


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Reject unused names that are nearly those of settings: whoever set one expects it to have an effect.

    Other names with the same prefix may be a deployment's or a domain's own.
    """
    known = {f"{_PREFIX}{name.upper()}" for name, field in Settings.model_fields.items() if field.validation_alias is None}
    unknown = sorted({name.upper() for name in names if name.upper().startswith(_PREFIX)} - known)
    for name in unknown:
        bare = [each.removeprefix(_PREFIX) for each in sorted(known)]
        if meant := get_close_matches(name.removeprefix(_PREFIX), bare, n=1, cutoff=_ALIKE):
            raise SettingsError(f"{name} is not a setting.", hint=f"Did you mean {_PREFIX}{meant[0]}? Set that one instead.")
