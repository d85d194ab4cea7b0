"""Domains made up by a test, from contract classes and SQL texts."""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from assay.contracts import Contract, Domain


def domain_of(folder: Path, contracts: list[type[Contract]], sql: Mapping[str, str]) -> Domain:
    """Declare a domain.

    Args:
        folder: Where its SQL is written.
        contracts: Its decorated contracts.
        sql: SQL by full table name.
    """
    name = f"made_up_{uuid.uuid4().hex}"
    module = ModuleType(name)
    for contract in contracts:
        contract.__module__ = name
        setattr(module, contract.__name__, contract)
    sys.modules[name] = module
    write_sql(folder, sql)
    return Domain(name=name, contracts=name, sql=folder, start=dt.date(2025, 1, 1))


def write_sql(folder: Path, sql: Mapping[str, str]) -> None:
    """Write SQL files by full table name."""
    for full_name, text in sql.items():
        path = folder / f"{full_name.replace('.', '/')}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
