"""The documentation, kept true by machine: links lead somewhere, commands and their options exist, settings are read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from assay.cli.app import ROOMS, load_command

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDERS = ("deploy", "platform", "platform_tests")
PAGES = [REPOSITORY / "README.md", *sorted(page for folder in FOLDERS for page in (REPOSITORY / folder).glob("**/README.md"))]
KNOWN = {name for commands in ROOMS.values() for name in commands}
LINK = re.compile(r"\]\(([^)#]+)\)")
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
SETTING = re.compile(r"\bASSAY_[A-Z][A-Z_]*[A-Z]\b")


def page_id(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words of every `assay …` that stands in a page: as a line to be run, or in the text."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in SHELL.findall(text) for line in block.splitlines()]
    spoken = re.findall(r"`(assay [^`…]+)`", text)
    for line in [*lines, *spoken]:
        for part in line.split(" && "):
            words = [word for word in shlex.split(part, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", word)]
            if words[:1] == ["assay"]:
                yield words[1:]


def require_command(words: list[str]) -> None:
    """Require that there is such a command, with such options."""
    name, *rest = words
    if name.startswith("-"):
        return
    assert name in KNOWN, f"there is no `assay {name}`"
    command = load_command(name)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no `assay {name} {rest[0]}`"
        command, rest = command.commands[rest[0]], rest[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in rest:
        assert not word.startswith("--") or word in options, f"`assay {' '.join(words)}`: there is no {word}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_are_there_with_their_options(page: Path) -> None:
    for words in commands_in(page):
        require_command(words)


def test_there_are_commands_to_be_looked_at() -> None:
    assert sum(1 for page in PAGES for _ in commands_in(page)) > 40


def helps(name: str, command: Any) -> Iterator[tuple[str, str]]:
    """The help of a command, or of each of its subcommands, by name."""
    if isinstance(command, TyperGroup):
        for sub, each in command.commands.items():
            yield from helps(f"{name} {sub}", each)
    else:
        yield f"assay {name}", command.help or ""


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_help_has_an_example_of_the_command_with_its_options(name: str) -> None:
    for spoken, text in helps(name, load_command(name)):
        examples = re.findall(r"`(assay [^`]+)`", text.partition("Example: ")[2])
        assert examples
        for example in examples:
            assert f"{example} ".startswith(f"{spoken} ")
            require_command(shlex.split(example)[1:])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_are_read_somewhere(page: Path) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in REPOSITORY.glob("platform*/**/*.py"))
    named = set(SETTING.findall(page.read_text(encoding="utf-8")))
    assert [name for name in sorted(named) if name not in code and name.removeprefix("ASSAY_").lower() not in code] == []
