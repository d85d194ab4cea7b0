"""Which reader reads which format.

Belongs here: the one table of readers; a new format is a dataclass in `formats`, a reader module, and a line here. Does not
belong here: reading.
"""

from __future__ import annotations

from assay.contracts import Source
from assay.errors import ContractError
from assay.landing.delimited import CsvReader
from assay.landing.formats import Csv, Debezium, JsonDocuments
from assay.landing.json_lines import DebeziumReader, DocumentsReader
from assay.landing.records import Reader

_READERS: dict[type, Reader] = {
    Debezium: DebeziumReader(),
    JsonDocuments: DocumentsReader(),
    Csv: CsvReader(),
}


def reader_for(source: Source) -> Reader:
    """Find the reader of a source's format.

    Raises:
        ContractError: No reader knows the format.
    """
    reader = _READERS.get(type(source.format))
    if reader is None:
        raise ContractError(
            f"source {source.name}: no reader for format {source.format!r}",
            hint=f"use one of {', '.join(kind.__name__ for kind in _READERS)}",
        )
    return reader
