"""Importing what a domain's author wrote."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from assay.contracts.modules import NoSuchModule, import_module, modules_of
from assay.errors import ContractError

NUMBERS = count()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty package that no other test has imported."""
    folder = tmp_path / f"domain_{next(NUMBERS)}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize(
    ("code", "line", "said"),
    [
        (b"x = 1\ndef f(:\n", 2, "not valid Python: invalid syntax"),
        (b"x = 1\ny = '\xff'\n", 2, "not valid Python: "),
        (b"\nimport no_such_library\n", 2, "ModuleNotFoundError: No module named 'no_such_library'"),
        (b"from assay.contracts import Nope\n", 1, "ImportError: cannot import name 'Nope'"),
        (b"x = 1\nprint(y)\n", 2, "NameError: name 'y' is not defined"),
        # The mistake is where the library is called, not where in the library it shows.
        (b"import json\njson.loads('{')\n", 2, "JSONDecodeError: "),
        (b"from assay.contracts import column\n\ncolumn()\n", 3, "TypeError: "),
        (b"assert False\n", 1, "AssertionError"),
    ],
)
def test_a_mistake_in_a_module_is_said_with_its_line(package: Path, code: bytes, line: int, said: str) -> None:
    (package / "orders.py").write_bytes(code)
    with pytest.raises(ContractError) as raised:
        list(modules_of(package.name))
    assert raised.value.message.startswith(f"{package / 'orders.py'}:{line}: {said}")


def test_a_mistake_in_what_a_module_imports_is_said_where_it_is(package: Path) -> None:
    (package / "units.py").write_text("\n1 / 0\n")
    (package / "orders.py").write_text(f"from {package.name} import units\n")
    with pytest.raises(ContractError) as raised:
        import_module(f"{package.name}.orders")
    assert raised.value.message == f"{package / 'units.py'}:2: ZeroDivisionError: division by zero"


DECLARED_WRONGLY = """from assay.contracts import Event, source
from assay.landing.formats import Debezium

@source("orders", format=Debezium("orders"), key=("id",), owner="team:x", subject="x")
class Orders(Event):
    order: str
"""


def test_what_is_declared_wrongly_is_said_with_its_line(package: Path) -> None:
    (package / "orders.py").write_text(DECLARED_WRONGLY)
    (package / "others.py").write_text(f"\nfrom {package.name} import orders\n")
    for name in ("orders", "others"):
        with pytest.raises(ContractError) as raised:
            import_module(f"{package.name}.{name}")
        assert raised.value.message == (
            f"{package / 'orders.py'}:4: source orders: its key names id, which Orders does not declare"
        )
        assert raised.value.hint == f"declare the column in {package.name}.orders or correct the key"


def test_an_error_that_says_where_it_is_keeps_to_that(package: Path) -> None:
    (package / "orders.py").write_text("from assay.errors import ContractError\nraise ContractError('a/b.sql:7: no')\n")
    with pytest.raises(ContractError, match=r"^a/b\.sql:7: no$"):
        import_module(f"{package.name}.orders")


@pytest.mark.parametrize("name", ["no_such_package", "no_such_package.orders", "", ".", "..orders", "orders.py/x", "two words"])
def test_a_name_that_no_module_has_is_told_apart_from_a_mistake(name: str) -> None:
    with pytest.raises(NoSuchModule):
        import_module(name)
