"""The deployment's files: linted, consistent with each other, and read by Dagster itself against real servers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml

from assay.lake.server import find_free_port

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = REPOSITORY / "docker-compose.yml"
BIN = Path(sys.executable).parent

YAML_RULES = "{extends: default, rules: {line-length: {max: 130}, document-start: disable}}"
# https://www.apache.org/licenses/LICENSE-2.0.txt
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
START_SECONDS = 90


def run(program: str, *arguments: str | Path) -> None:
    """Run a linter; what it says is the failure's message."""
    done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def yaml_files() -> list[Path]:
    found = [REPOSITORY / "workspace.yaml", COMPOSE]
    return found + sorted(path for folder in (DEPLOY, REPOSITORY / "platform") for path in folder.rglob("*.y*ml"))


@pytest.fixture(scope="module")
def services() -> Mapping[str, Any]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


# --- Linters ---------------------------------------------------------------------------------------------------------


def test_yaml_is_clean() -> None:
    run("yamllint", "--strict", "--config-data", YAML_RULES, *yaml_files())


def test_compose_file_follows_the_compose_specification() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_dockerfile_is_clean() -> None:
    run("hadolint", "--failure-threshold", "style", DOCKERFILE)


def test_ci_script_is_clean() -> None:
    run("shellcheck", "--severity", "style", REPOSITORY / ".ci" / "run")


# --- Consistency -----------------------------------------------------------------------------------------------------


def test_the_image_has_every_extra_but_those_to_try_and_test_with() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [installed] = re.findall(r"--editable '\.\[(.*)\]'", DOCKERFILE.read_text())

    assert set(installed.split(",")) == extras.keys() - {"live", "test"}


def test_licence_is_the_standard_text() -> None:
    assert sha256((REPOSITORY / "LICENSE").read_bytes()).hexdigest() == APACHE_2


def test_every_variable_is_explained_and_every_explained_variable_is_used() -> None:
    described = set(re.findall(r"^([A-Z0-9_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    compose = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", COMPOSE.read_text()))
    instance = set(re.findall(r"env: ([A-Z0-9_]+)", (DEPLOY / "dagster.yaml").read_text()))
    settings = set(re.findall(r"`([A-Z0-9_]+)`", (REPOSITORY / "platform/assay/settings.py").read_text()))
    assert compose | instance <= described
    read_elsewhere = {"COMPOSE_PROFILES", "AWS_DEFAULT_REGION"}  # by Compose, and by boto3
    assert described <= compose | instance | settings | read_elsewhere


def test_no_secret_is_written_down() -> None:
    assignment = re.compile(r"^[\w\s-]*(?:PASSWORD|SECRET|ACCESS_KEY)\w*\s*[=:][ \t]*(\S.*)$", re.MULTILINE | re.IGNORECASE)
    for path in (COMPOSE, DOCKERFILE, DEPLOY / "dagster.yaml", DEPLOY / "env.example"):
        written = [value for value in assignment.findall(path.read_text()) if not value.startswith("${")]
        assert written == [], path.name


def test_image_is_built_from_what_dockerignore_lets_through() -> None:
    allowed = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources == allowed
    assert all((REPOSITORY / source).exists() for source in sources)


def test_image_runs_as_a_user_without_rights() -> None:
    last_stage = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\S+)$", last_stage, re.MULTILINE)[1] not in {"0", "root"}


def test_every_service_restarts_and_says_whether_it_is_healthy(services: Mapping[str, Any]) -> None:
    for name, service in services.items():
        assert service["restart"] == "unless-stopped", name
        # The code location's stands in the image.
        assert name == "code" or service["healthcheck"]["test"], name


def test_ports_are_open_to_this_host_only(services: Mapping[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_workspace_names_the_code_service_and_its_port(services: Mapping[str, Any]) -> None:
    location = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"][0]["grpc_server"]
    command = image_command("CMD")
    assert location["host"] in services
    assert str(location["port"]) == command[command.index("--port") + 1]
    assert location["location_name"] == command[command.index("--location-name") + 1]


# --- Dagster, PostgreSQL and S3, for real ----------------------------------------------------------------------------


def test_instance_keeps_runs_in_postgres_and_their_output_in_s3(deployed: Path) -> None:
    pytest.importorskip("dagster_postgres", reason="needs the deploy extra")
    pytest.importorskip("dagster_aws", reason="needs the deploy extra")

    @dg.asset
    def talkative() -> None:
        print("said by a run")  # noqa: T201

    with dg.DagsterInstance.get() as instance:
        run_id = dg.materialize([talkative], instance=instance).run_id
    with dg.DagsterInstance.get() as reopened:
        assert reopened.get_run_by_id(run_id).is_success
    assert not list(deployed.rglob("*.db"))
    logs, bucket = boto3.client("s3"), os.environ["ASSAY_LOGS_BUCKET"]
    found = logs.list_objects_v2(Bucket=bucket, Prefix=f"compute-logs/storage/{run_id}")["Contents"]
    bodies = [logs.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found]
    assert any(b"said by a run" in body for body in bodies)


@pytest.mark.slow
def test_containers_commands_start_and_become_healthy(deployed: Path, services: Mapping[str, Any]) -> None:
    """The commands of the image, run here on other ports, until each one's own health check passes."""
    pytest.importorskip("dagster_postgres", reason="needs the deploy extra")
    code, ui, metrics = (str(find_free_port()) for _ in range(3))
    here = {"0.0.0.0": "127.0.0.1", "4000": code, "3000": ui, "9464": metrics, "python": sys.executable}
    workspace = deployed / "workspace.yaml"
    workspace.write_text(workspace.read_text().replace("host: code", "host: 127.0.0.1").replace("4000", code))
    commands = {
        "code": (image_command("CMD"), image_command("HEALTHCHECK")),
        **{
            name: (services[name]["command"], services[name]["healthcheck"]["test"][1:])
            for name in ("webserver", "daemon", "metrics")
        },
    }
    with ExitStack() as running:
        for name, (command, check) in commands.items():
            log = deployed / f"{name}.log"
            running.enter_context(started(localized(command, here), deployed, log))
            wait_until_healthy(localized(check, here), deployed, log)


def image_command(instruction: str) -> list[str]:
    """A command of the Dockerfile in exec form."""
    text = DOCKERFILE.read_text().replace("\\\n", " ")
    line = re.search(rf"^{instruction}\b.*?(\[.*\])$", text, re.MULTILINE)
    return json.loads(line[1])


def localized(command: Sequence[str], here: Mapping[str, str]) -> list[str]:
    """A container's command with this machine's ports and programs."""
    words = [here.get(word) or re.sub(r":(\d+)/", lambda port: f":{here[port[1]]}/", word) for word in command]
    return [str(BIN / words[0]) if (BIN / words[0]).exists() else words[0], *words[1:]]


@contextmanager
def started(command: Sequence[str], folder: Path, log: Path) -> Iterator[None]:
    """Run a command in the background, and end it afterwards."""
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as process:
        try:
            yield
        finally:
            process.terminate()


def wait_until_healthy(check: Sequence[str], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (done := subprocess.run(check, cwd=folder, capture_output=True, text=True)).returncode:
        assert time.monotonic() < deadline, done.stdout + done.stderr + log.read_text()
        time.sleep(1)
