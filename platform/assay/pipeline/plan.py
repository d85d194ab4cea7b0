"""Planning: which partitions of a table are dirty.

Belongs here: comparing what a partition was computed from with its current inputs. Does not belong here: computing it
(`build`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import duckdb

from assay.contracts.expectations import UniqueAcross
from assay.contracts.measured import Drifting
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.lake.index import Entry
from assay.pipeline.failures import Failure, read_failures
from assay.pipeline.lookups import contents, lookups_of, published_hashes
from assay.pipeline.semi_joins import pass_over
from assay.pipeline.state import State


@dataclass
class Plan:
    """The state of a table's partitions.

    Attributes:
        dirty: Hash of the current inputs, by partition to compute.
        unchanged: Up-to-date partitions.
        failing: Partitions whose last proof failed with the same inputs, which would fail again.
        settled: Recorded failures that no longer matter: the published data are up to date, because the failing change was
            reverted, or the table no longer has such a partition.
    """

    dirty: dict[str, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    failing: dict[str, Failure] = field(default_factory=dict)
    settled: dict[str, Failure] = field(default_factory=dict)


def plan(connection: duckdb.DuckDBPyConnection, state: State, node: Node, only: Collection[str] | None = None) -> Plan:
    """Find the dirty partitions of a table.

    Args:
        connection: Used for hashing lookups, and for finding the partitions that a change beside them does not concern.
        state: The lake's state.
        node: The table.
        only: Check only these partitions; None for all of them.
    """
    pass_over(connection, state, node)
    index = state.index(node.table.full_name)
    failures = read_failures(state.workspace.store, node.table)
    lookups = contents(state, node)
    beside = decides_failures(state, node)
    found = Plan()
    suspects: list[str] = []
    for partition in state.partitions(node):
        if only is not None and partition not in only:
            continue
        inputs = state.inputs_hash(node, partition)
        entry = index.get(partition)
        failure = failures.get(partition)
        if failure is not None and failure.made_from == made_from(node, inputs, beside):
            found.failing[partition] = failure
        elif entry is None or entry.code != node.code or entry.inputs != inputs:
            found.dirty[partition] = inputs
        elif failure is not None and _looks_around(node):
            # Its neighbours have changed since it failed, and only a proof can tell whether it passes now.
            found.dirty[partition] = inputs
        elif any(entry.lookups.get(name, {}).get("content") != content for name, content in lookups.items()):
            suspects.append(partition)
        else:
            found.unchanged.append(partition)
    _judge_suspects(connection, state, node, suspects, lookups, found)
    found.settled = {
        partition: failure
        for partition, failure in failures.items()
        if partition not in found.failing and partition not in found.dirty and (only is None or partition in only)
    }
    return found


def decides_failures(state: State, node: Node) -> dict[str, str]:
    """Factors besides inputs that determine whether a partition fails again: lookups, and neighbours where they matter."""
    own = {node.table.full_name: state.content(node.table.full_name)} if _looks_around(node) else {}
    return contents(state, node) | own


def made_from(node: Node, inputs: str, beside: Mapping[str, str]) -> str:
    """Hash everything that determines whether a partition fails again.

    Args:
        node: The table.
        inputs: Hash of its inputs.
        beside: The result of `decides_failures`.
    """
    return fingerprint([node.code, inputs, beside])


def _looks_around(node: Node) -> bool:
    """Whether the proof of a partition depends on other partitions of the same table."""
    return any(isinstance(each, UniqueAcross | Drifting) for each in node.table.expectations.values())


def _judge_suspects(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    suspects: list[str],
    lookups: Mapping[str, str],
    found: Plan,
) -> None:
    """Sort the partitions by whether the rows they looked up are unchanged."""
    if not suspects:
        return
    index = state.index(node.table.full_name)
    now: dict[str, dict[str, dict[str, str]]] = {partition: {} for partition in suspects}
    for name, lookup in lookups_of(node).items():
        for partition, rows in published_hashes(connection, state, node, lookup, suspects).items():
            now[partition][name] = {"content": lookups[name], "rows": rows}
    same: dict[str, Entry] = {}
    for partition in suspects:
        entry = index[partition]
        if all(entry.lookups.get(name, {}).get("rows") == looked["rows"] for name, looked in now[partition].items()):
            found.unchanged.append(partition)
            same[partition] = replace(entry, lookups=now[partition])
        else:
            found.dirty[partition] = state.inputs_hash(node, partition)
    state.remember(node.table, same)
