"""The rules of the house, kept by machine: who may import whom, what every module says of itself, what no file names."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import sqlglot

from assay.contracts import load_domain

REPOSITORY = Path(__file__).resolve().parents[1]
PLATFORM = REPOSITORY / "platform"
MODULES = sorted(PLATFORM.rglob("*.py"))
SQL_FILES = sorted((REPOSITORY / "assets_sql").rglob("*.sql"))
DOMAINS = ("payments",)
LONGEST_MODULE_LINES = 500

# What each room of assay/ may import of the others. Imports run downward only; a new room says here where it stands.
BELOW: dict[str, set[str]] = {"errors": set(), "loading": set(), "nearest": set()}
BELOW["settings"] = {"errors"}
BELOW["contracts"] = {"errors", "nearest"}
BELOW["lake"] = {"contracts", "errors", "loading", "nearest", "settings"}
BELOW["landing"] = BELOW["lake"] | {"lake"}
# Beside `landing`: it writes what `landing` reads, and the two agree on nothing but names of objects.
BELOW["capture"] = BELOW["lake"] | {"lake"}
# Beside `landing`, not above it: SQL runs over what was ingested, whatever wrote it.
BELOW["engine"] = BELOW["lake"] | {"lake"}
BELOW["quality"] = BELOW["engine"] | {"engine"}
BELOW["metrics"] = BELOW["engine"] | {"engine"}
BELOW["pipeline"] = BELOW["quality"] | {"quality", "metrics", "landing"}
BELOW["alerts"] = BELOW["pipeline"] | {"pipeline"}
# Beside `alerts`: both show what the pipeline has found, each to somebody else.
BELOW["report"] = BELOW["pipeline"] | {"pipeline"}
BELOW["orchestration"] = BELOW["alerts"] | {"alerts", "report"}
BELOW["cli"] = BELOW["orchestration"] | {"orchestration", "capture"}

# The same for the packages of `landing`, and for the modules below them. Its other modules stand above all of these.
IN_LANDING: dict[str, set[str]] = {"formats": set(), "sql": set()}
IN_LANDING["files"] = {"sql"}
IN_LANDING["kafka"] = IN_LANDING["files"] | {"files", "formats"}
IN_LANDING["readers"] = IN_LANDING["kafka"] | {"kafka"}
IN_LANDING["batches"] = IN_LANDING["readers"] | {"readers"}
IN_LANDING["quarantine"] = IN_LANDING["batches"] | {"batches"}
# Beside `quarantine`: it works on what was recorded, whatever became of the rest.
IN_LANDING["upkeep"] = IN_LANDING["batches"] | {"batches"}


def name_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), name_of(path))


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, in functions and for the type checker too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import; write the full name"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """The room of `assay.room.…`."""
    return module.split(".")[1]


def package_of(module: str) -> str:
    """What a module of `landing` belongs to: `assay.landing.package.…`."""
    return module.split(".")[2]


@cache
def committed_text() -> dict[str, str]:
    """The repository's own text files, by name: those in version control and those that would be added to it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    text = {}
    for name in filter(None, listed):
        path = REPOSITORY / name
        # A file that was deleted but not yet committed is still listed.
        content = path.read_bytes() if path.is_file() else b"\0"
        if b"\0" not in content:
            text[name] = content.decode("utf-8")
    return text


def find(pattern: str, *, flags: int = 0) -> list[str]:
    """Every line of the repository's files in which a pattern stands, as file:line: text."""
    compiled = re.compile(pattern, flags)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in committed_text().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if compiled.search(line)
    ]


def report(violations: list[str]) -> str:
    return "\n" + "\n".join(violations)


# --- Imports ---------------------------------------------------------------------------------------------------------


def test_platform_is_a_folder_of_packages_and_no_package() -> None:
    assert not (PLATFORM / "__init__.py").exists(), "it would hide Python's own module `platform`"


def test_imports_run_downward() -> None:
    violations = []
    for path in (PLATFORM / "assay").rglob("*.py"):
        parts = path.relative_to(PLATFORM).with_suffix("").parts
        if parts == ("assay", "__init__"):
            continue
        room = parts[1]
        assert room in BELOW, f"{name_of(path)}: a new room; say in BELOW where it stands"
        violations += [
            f"{name_of(path)}:{line}: {room} imports {module}"
            for line, module in imports_of(path)
            if module.startswith("assay.") and room_of(module) not in BELOW[room] | {room}
        ]
    assert not violations, report(violations)


def test_imports_within_landing_run_downward() -> None:
    violations = []
    landing = PLATFORM / "assay" / "landing"
    for path in landing.rglob("*.py"):
        package = path.relative_to(landing).with_suffix("").parts[0]
        if package not in IN_LANDING:
            assert path.parent == landing, f"{name_of(path)}: a new package; say in IN_LANDING where it stands"
            continue
        violations += [
            f"{name_of(path)}:{line}: {package} imports {module}"
            for line, module in imports_of(path)
            if module.startswith("assay.landing.") and package_of(module) not in IN_LANDING[package] | {package}
        ]
    assert not violations, report(violations)


@pytest.mark.parametrize("order", [BELOW, IN_LANDING], ids=["rooms", "landing"])
def test_rooms_have_an_order(order: dict[str, set[str]]) -> None:
    """No room is below itself, by whatever way; otherwise the rules above would allow a cycle."""
    for room, below in order.items():
        assert room not in below
        assert all(order[other] <= below for other in below), room


def test_machinery_knows_no_domain() -> None:
    outside = {path.name for path in PLATFORM.iterdir() if path.is_dir()} - {"assay"}
    violations = [
        f"{name_of(path)}:{line}: {module}"
        for path in (PLATFORM / "assay").rglob("*.py")
        for line, module in imports_of(path)
        if module.split(".")[0] in outside
    ]
    assert not violations, report(violations)


def test_only_orchestration_and_a_domains_definitions_import_dagster() -> None:
    """Everything below is run and tested without Dagster. Imports inside functions count as well."""
    allowed = {PLATFORM / domain / "definitions.py" for domain in DOMAINS}
    violations = [
        f"{name_of(path)}:{line}: {module}"
        for path in MODULES
        if path not in allowed and (PLATFORM / "assay" / "orchestration") not in path.parents
        for line, module in imports_of(path)
        if module.startswith("dagster")
    ]
    assert not violations, report(violations)


def test_nothing_imports_what_dagster_keeps_to_itself() -> None:
    violations = [
        f"{name_of(path)}:{line}: {module}"
        for path in [*MODULES, *(REPOSITORY / "platform_tests").rglob("*.py")]
        for line, module in imports_of(path)
        if re.match(r"dagster\w*\.(\w+\.)*_", module)
    ]
    assert not violations, report(violations)


# --- Modules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_says_what_belongs_in_it_and_what_does_not(path: Path) -> None:
    said = " ".join((ast.get_docstring(tree_of(path)) or "").split())
    assert "Belongs here" in said, f"{name_of(path)}: the docstring does not say what belongs here"
    assert re.search(r"[Dd]oes not belong", said), f"{name_of(path)}: the docstring does not say what does not belong here"


def test_modules_are_short_enough_to_be_read() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    too_long = [f"{name}: {lines} lines" for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES]
    assert not too_long, report(too_long)


def test_whatever_is_caught_broadly_goes_on_or_is_explained() -> None:
    """`except Exception` hides bugs; where it must be, a comment says why, or the error is raised again."""
    violations = []
    for path in MODULES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                explained = any("#" in line for line in lines[node.lineno - 1 : node.body[0].lineno])
                raised = isinstance(node.body[-1], ast.Raise)
                if not (explained or raised):
                    violations.append(f"{name_of(path)}:{node.lineno}: {lines[node.lineno - 1].strip()}")
    assert not violations, report(violations)


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    named = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(each, ast.Name) and each.id in {"Exception", "BaseException"} for each in named)


# --- Text ------------------------------------------------------------------------------------------------------------
# The patterns are put together from parts, so that this file does not break its own rules.


def test_nothing_is_left_to_do() -> None:
    found = find(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "HA" + "CK")) + r")\b")
    assert not found, report(found)


def test_no_package_registry_is_named() -> None:
    """Where packages come from is the installing machine's business."""
    hosts = ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "(org|com)"), ("debian", "org"), ("anaconda", "(org|com)")
    images = ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("gcr", "io"), ("ecr", "aws")
    found = find("|".join(rf"\b{name}\.{domain}\b" for name, domain in hosts + images), flags=re.IGNORECASE)
    assert not found, report(found)


def test_no_path_of_somebodys_machine_is_named() -> None:
    found = find(rf"(?<![\w.$}})*-])/({'|'.join(('work', 'root', 'home', 'Users'))})/\w")
    assert not found, report(found)


# --- Tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SQL_FILES, ids=name_of)
def test_sql_starts_by_saying_what_a_row_is(path: Path) -> None:
    assert re.match(r"-- \w.+", path.read_text(encoding="utf-8")), f"{name_of(path)}: starts without a comment"


@pytest.mark.parametrize("path", SQL_FILES, ids=name_of)
def test_sql_is_one_select_that_names_its_columns(path: Path) -> None:
    statements = sqlglot.parse(path.read_text(encoding="utf-8"), read="duckdb")
    assert len(statements) == 1, f"{name_of(path)}: {len(statements)} statements"
    selects = statements[0].find_all(sqlglot.exp.Select, bfs=True)
    assert not next(selects).is_star, f"{name_of(path)}: SELECT * at the top; name the columns"


@pytest.mark.parametrize("name", DOMAINS)
def test_every_table_is_two_files(name: str) -> None:
    domain = load_domain(name)
    contracts = {table.full_name for table in domain.written_tables.values()}
    queries = {f"{path.parent.name}.{path.stem}" for path in SQL_FILES}
    assert contracts - queries == set(), "a contract without SQL"
    assert queries - contracts == set(), "SQL without a contract"
