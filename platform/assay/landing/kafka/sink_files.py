"""Files of a Kafka sink, converted for the readers: values one per line, with their keys beside them.

Belongs here: fetching the values that keys belong to, and deciding which object a record counts for. Does not belong here: the
forms of keys and envelopes (`keys`, `envelopes`), reading (`readers.sink_reader`).

If Confluent's sink writes keys into an object of their own, a record whose value does not name its key counts for the keys
object, which determines the row. So it makes no difference which of the two lands first, or whether they are ingested together.
If values were ingested before their keys landed, such records are in quarantine, and the keys object yields them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from assay.contracts import Source
from assay.lake.store import ObjectStore
from assay.landing.files.fetch import fetch
from assay.landing.files.landed_file import LandedFile
from assay.landing.files.lines import located_lines
from assay.landing.kafka.envelopes import holds_envelopes, open_envelopes
from assay.landing.kafka.keys import KeysBeside, keys_in, write_keys
from assay.landing.kafka.names import sink_object


def put_together(
    files: Sequence[LandedFile],
    beside: KeysBeside,
    store: ObjectStore,
    source: Source,
    folder: Path,
    lacking: dict[str, str] | None = None,
) -> list[LandedFile]:
    """Combine keys with the values that they belong to, and take values out of envelopes.

    Args:
        files: The fetched files.
        beside: Which objects hold the keys of which others.
        store: The lake.
        source: The source.
        folder: Where files are written.
        lacking: Collects, by key, the missing library that values need; if None, a missing library is an error.

    Returns:
        The files, except keys whose values cannot be read or have changed since they were listed.
    """
    of_keys = {file.info.key: beside.values[file.info.key] for file in files if file.info.key in beside.values}
    to = folder / "values"
    to.mkdir(exist_ok=True)
    values = {file.info.key: file for file in fetch(store, list(of_keys.values()), to, lacking=lacking)} if of_keys else {}
    found: list[LandedFile] = []
    for place, file in enumerate(files):
        if file.info.key in of_keys:
            if of_keys[file.info.key].key in values:
                found.append(_nameless(file, values[of_keys[file.info.key].key], to / f"{place}.nameless", source))
        elif file.info.key in beside.keyed:
            found.append(replace(file, takes="named"))
        elif file.info.size > 0 and _holds_values(file) and holds_envelopes(file, source):
            found.append(open_envelopes(file, folder / f"{place}.values", source))
        else:
            found.append(file)
    return found


def _holds_values(file: LandedFile) -> bool:
    found = sink_object(file.info.key)
    return found is None or found.holds == "values"


def _nameless(file: LandedFile, values: LandedFile, path: Path, source: Source) -> LandedFile:
    """Turn a file of keys into the file of the records that need them."""
    # The values may be read in the same batch, as records of their own object.
    path.symlink_to(values.path.resolve())
    keys = list(keys_in(file.path))
    records = sum(1 for _ in located_lines(path))
    mismatch = None
    if file.rejected:
        mismatch = f"its keys object cannot be read: {file.rejected[0].reason}"
    elif len(keys) != records:
        counts = f"its keys object has {_lines(len(keys))}, and the values object {_lines(records)}"
        mismatch = f"{counts}: which key is whose cannot be told"
    return LandedFile(
        file.info,
        path,
        is_damaged=values.is_damaged,
        text=file.text,
        keys=write_keys(keys, path, source),
        takes="nameless",
        mismatch=mismatch,
    )


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count:,} lines"
