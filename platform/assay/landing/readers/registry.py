"""Which reader reads which format.

Belongs here: the one table of readers; a new format is a dataclass in `formats`, a package beside this module, and a line here.
Does not belong here: reading.
"""

from __future__ import annotations

from assay.contracts import Source
from assay.errors import ContractError
from assay.landing.files.containers import ARRAY, DOCUMENT, PARQUET, WORKBOOK, Container
from assay.landing.formats import Csv, Debezium, Dms, DmsJson, JsonDocuments
from assay.landing.readers.debezium.reader import DebeziumReader
from assay.landing.readers.delimited.reader import CsvReader
from assay.landing.readers.dms.messages import DmsJsonReader
from assay.landing.readers.dms.reader import DmsReader
from assay.landing.readers.documents.elements import check_exploded
from assay.landing.readers.documents.reader import DocumentsReader
from assay.landing.readers.parsed_record import Reader
from assay.landing.readers.sink_reader import SinkReader

_READERS: dict[type, Reader] = {
    Debezium: SinkReader(DebeziumReader()),
    JsonDocuments: SinkReader(DocumentsReader()),
    Csv: CsvReader(),
    Dms: DmsReader(),
    DmsJson: SinkReader(DmsJsonReader()),
}

_KEPT: dict[type, frozenset[Container]] = {
    Csv: frozenset((ARRAY, DOCUMENT, WORKBOOK)),
    Dms: frozenset((ARRAY, DOCUMENT, PARQUET)),
}
"""Containers that a format's reader gets unconverted: delimited text may begin like JSON, and DMS writes Parquet."""


def reader_for(source: Source) -> Reader:
    """Find the reader of a source's format.

    Raises:
        ContractError: No reader knows the format, or the source cannot be read in it.
    """
    reader = _READERS.get(type(source.format))
    if reader is None:
        raise ContractError(
            f"source {source.name}: no reader for format {source.format!r}",
            hint=f"use one of {', '.join(kind.__name__ for kind in _READERS)}",
        )
    check_exploded(source)
    return reader


def is_of_sink(source: Source) -> bool:
    """Whether a source's files may come from a Kafka sink, with keys stored apart from the values."""
    return isinstance(reader_for(source), SinkReader)


def kept_containers(source: Source) -> frozenset[Container]:
    """Containers that the reader of a source's format reads itself; records of all others are written one per line first."""
    if isinstance(source.format, JsonDocuments) and source.format.records is not None:
        # Responses may be longer than a line.
        return frozenset((DOCUMENT,))
    return _KEPT.get(type(source.format), frozenset())
