"""The landing formats a source may declare.

Belongs here: one frozen dataclass per format, with what must be told about it. Does not belong here: reading
(`json_lines`, `delimited`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Debezium:
    """Debezium change events as JSON lines, with schemas or without, as Kafka Connect's S3 sink writes them.

    Attributes:
        table: The source table that the events must be of (`source.table`); others are quarantined.
    """

    table: str
    name: Literal["debezium-json"] = "debezium-json"


@dataclass(frozen=True)
class Unpivot:
    """A wide file read as one record per cell.

    Attributes:
        names: Column that takes the header of the cell.
        values: Column that takes the cell.
        missing: Cells with these texts are no records.
    """

    names: str
    values: str
    missing: tuple[str, ...] = ("", "N/A")


@dataclass(frozen=True)
class Csv:
    """Delimited text with a header line, RFC 4180 quoting, UTF-8, gzipped or not.

    Every record is a snapshot read (`r`). A later version of the same key wins.

    Attributes:
        delimiter: One character.
        columns: Header of the file by column of the contract, where the two differ.
        version: Regular expression over the object's name; the digits of its first group order files of one source
            (a date in the name, never the time it was written). Without it all files are of one version.
        unpivot: How a wide file becomes records.
        nulls: Texts that mean null.
    """

    delimiter: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    unpivot: Unpivot | None = None
    nulls: tuple[str, ...] = ("",)
    name: Literal["csv"] = "csv"


@dataclass(frozen=True)
class JsonDocuments:
    """Nested JSON documents, one a line, as an API's responses are stored.

    Every document is a snapshot read (`r`). A later version of the same key wins.

    Attributes:
        version: DuckDB expression over the document's columns giving a BIGINT that orders documents of one key.
    """

    version: str
    name: Literal["json-documents"] = "json-documents"
