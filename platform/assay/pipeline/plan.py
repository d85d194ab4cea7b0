"""Planning: which partitions of a table are dirty.

Belongs here: comparing what a partition was made from with what it would be made from now. Does not belong here: computing it
(`build`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace

import duckdb

from assay.contracts import Table
from assay.contracts.expectations import UniqueAcross
from assay.contracts.measured import Drifting
from assay.contracts.version import fingerprint
from assay.engine.project import Node
from assay.errors import ObjectMissing
from assay.lake.index import Entry
from assay.lake.layout import failures_key
from assay.lake.store import ObjectStore
from assay.pipeline.lookups import contents, lookups_of, published_hashes
from assay.pipeline.state import State


@dataclass(frozen=True)
class Failure:
    """A partition that failed its proof, and with what.

    Attributes:
        made_from: Hash of code and inputs: as long as it stays, so does the failure.
        problems: Why it failed.
        run_id: The run that found it.
        below_threshold: Whether its quality score was below the table's threshold; that is one of the problems.
    """

    made_from: str
    problems: tuple[str, ...]
    run_id: str
    below_threshold: bool = False


@dataclass
class Plan:
    """What is to be done about a table.

    Attributes:
        dirty: Hash of the present inputs, by partition to compute.
        unchanged: Partitions that are what they would be.
        failing: Partitions whose last proof failed with these very inputs, which would fail again.
        made_from: By partition, hash of everything that decides it, lookups as a whole included.
    """

    dirty: dict[str, str] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    failing: dict[str, Failure] = field(default_factory=dict)
    made_from: dict[str, str] = field(default_factory=dict)


def plan(
    connection: duckdb.DuckDBPyConnection,
    state: State,
    node: Node,
    only: Collection[str] | None = None,
    *,
    retry: bool = False,
) -> Plan:
    """Find the dirty partitions of a table.

    Args:
        connection: For hashing lookups.
        state: The lake's state.
        node: The table.
        only: Look at these partitions; at all of them when None.
        retry: Compute partitions again whose last proof failed with the same inputs.
    """
    index = state.index(node.table.full_name)
    failures = {} if retry else read_failures(state.workspace.store, node.table)
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
        elif any(entry.lookups.get(name, {}).get("content") != content for name, content in lookups.items()):
            suspects.append(partition)
        else:
            found.unchanged.append(partition)
    _judge_suspects(connection, state, node, suspects, lookups, found)
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
    looks_around = any(isinstance(each, UniqueAcross | Drifting) for each in node.table.expectations.values())
    own = {node.table.full_name: state.content(node.table.full_name)} if looks_around else {}
    return contents(state, node) | own


def read_failures(store: ObjectStore, table: Table) -> dict[str, Failure]:
    """Read which partitions of a table failed their last proof."""
    try:
        written = json.loads(store.get(failures_key(table)))
    except ObjectMissing:
        return {}
    return {
        partition: Failure(
            failure["made_from"], tuple(failure["problems"]), failure["run_id"], failure.get("below_threshold", False)
        )
        for partition, failure in written.items()
    }


def write_failures(store: ObjectStore, table: Table, failed: Mapping[str, Failure], mended: Collection[str]) -> None:
    """Note failed partitions, and forget those that were mended."""
    before = read_failures(store, table)
    after = {partition: failure for partition, failure in before.items() if partition not in mended} | dict(failed)
    if after != before:
        body = {partition: asdict(failure) for partition, failure in sorted(after.items())}
        store.put(failures_key(table), json.dumps(body).encode())


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
