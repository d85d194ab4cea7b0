"""Planning: which partitions of a table are dirty.

Belongs here: comparing what a partition was made from with what it would be made from now. Does not belong here: computing it
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
from assay.pipeline.state import State


@dataclass
class Plan:
    """What is to be done about a table.

    Attributes:
        dirty: Hash of the present inputs, by partition to compute.
        unchanged: Partitions that are what they would be.
        failing: Partitions whose last proof failed with these very inputs, which would fail again.
        settled: Failures on record that do not count any more: what is published is what would be, because what had failed was
            taken back, or the table has no such partition now.
        made_from: By partition, hash of everything that decides it, lookups as a whole included.
    """

    dirty: dict[str, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    failing: dict[str, Failure] = field(default_factory=dict)
    settled: dict[str, Failure] = field(default_factory=dict)
    made_from: dict[str, str] = field(default_factory=dict)


def plan(connection: duckdb.DuckDBPyConnection, state: State, node: Node, only: Collection[str] | None = None) -> Plan:
    """Find the dirty partitions of a table.

    Args:
        connection: For hashing lookups.
        state: The lake's state.
        node: The table.
        only: Look at these partitions; at all of them when None.
    """
    index = state.index(node.table.full_name)
    failures = read_failures(state.workspace.store, node.table)
    lookups = contents(state, node)
    beside = decides_failures(state, node)
    found = Plan()
    suspects: list[str] = []
    for partition in state.partitions(node):
        if only is not None and partition not in only:
            continue
        inputs = inputs_hash(state, node, partition)
        made_from = fingerprint([node.code, inputs, beside])
        found.made_from[partition] = made_from
        entry = index.get(partition)
        failure = failures.get(partition)
        if failure is not None and failure.made_from == made_from:
            found.failing[partition] = failure
        elif entry is None or entry.code != node.code or entry.inputs != inputs:
            found.dirty[partition] = inputs
        elif failure is not None and _looks_around(node):
            # Its neighbours have changed since it failed, and only a proof can tell whether they let it pass.
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


def inputs_hash(state: State, node: Node, partition: str) -> str:
    """Hash what a partition is computed from, but for lookups."""
    return fingerprint(
        {
            relation: [(of, found.id) for of, found in state.inputs(node, relation, [partition])]
            for relation in node.query.reads
            if relation not in node.table.lookups
        }
    )


def decides_failures(state: State, node: Node) -> dict[str, str]:
    """What beside its inputs decides whether a partition fails again: what it looks up, and its neighbours where they count."""
    own = {node.table.full_name: state.content(node.table.full_name)} if _looks_around(node) else {}
    return contents(state, node) | own


def _looks_around(node: Node) -> bool:
    """Whether other partitions of the same table have a say in whether one passes its proof."""
    return any(isinstance(each, UniqueAcross | Drifting) for each in node.table.expectations.values())


def _judge_suspects(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    suspects: list[str],
    lookups: Mapping[str, str],
    found: Plan,
) -> None:
    """Sort the partitions by whether the rows they looked up are still the same."""
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
            found.dirty[partition] = inputs_hash(state, node, partition)
    state.remember(node.table, same)
