"""What a declaration says, for its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass

from assay.contracts.version import fingerprint, said


@dataclass(frozen=True)
class Inner:
    """Declared within another."""

    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    """A declaration."""

    table: str
    columns: Mapping[str, str] = field(default_factory=dict)
    inner: Inner | None = None
    several: tuple[Inner, ...] = ()


def test_a_field_that_is_added_with_a_default_says_nothing() -> None:
    added = make_dataclass("Outer", [("more", str, "x")], bases=(Outer,), frozen=True)
    for declared in (Outer("t"), Outer("t", {"a": "b"}, Inner(0.1), (Inner(),))):
        as_added = added(declared.table, declared.columns, declared.inner, declared.several)
        assert said(as_added) == said(declared)
        assert said(added("t", more="y")) != said(Outer("t"))


def test_whatever_is_declared_otherwise_says_so() -> None:
    declared = [
        Outer("t"),
        Outer("u"),
        Outer("t", {"a": "b"}),
        Outer("t", {"a": "c"}),
        Outer("t", inner=Inner()),
        Outer("t", inner=Inner(0.1)),
        Outer("t", several=(Inner(),)),
        Outer("t", several=(Inner(), Inner(0.2))),
        Inner(),
    ]
    assert len({fingerprint(said(each)) for each in declared}) == len(declared)


def test_the_order_of_names_says_nothing() -> None:
    assert fingerprint(said(Outer("t", {"a": "1", "b": "2"}))) == fingerprint(said(Outer("t", {"b": "2", "a": "1"})))
