"""The landing formats a source may declare.

Belongs here: one frozen dataclass per format, with what must be told about it. Does not belong here: reading (the readers
that `readers` lists).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from assay.errors import ContractError

Connector = Literal["postgresql", "mysql", "mariadb", "mongodb", "sqlserver", "db2", "oracle", "informix", "yashandb"]
TimePrecision = Literal["milliseconds", "microseconds", "nanoseconds"]
BinaryHandling = Literal["base64", "base64-url-safe", "hex"]
Encoding = Literal["text", "base64", "bits", "milliseconds", "microseconds", "nanoseconds"]


@dataclass(frozen=True)
class Debezium:
    """Debezium change events as JSON lines, as a sink of Kafka Connect or Debezium Server writes them.

    Envelopes, with their schema around them or bare, flattened rows (`ExtractNewRecordState`) and CloudEvents are told apart
    record by record. What a value is encoded in follows from the schema in its message. Without one it follows from the
    declared type: integers in a `DATE` column are days; decimals and times are what is said here. ISO 8601 texts, numbers, and
    decimals that carry their scale are always understood. Values of `VARCHAR` columns are taken as they were sent. An update of
    MongoDB's that comes without its document changes the fields that it names; one of a part of a declared value is refused.

    Attributes:
        table: The source table or collection that the events must be of (`source.table`); others are quarantined.
        connector: The kind of database, which says where an event tells its position; events of another are quarantined.
        columns: Name in the event by column of the contract, where the two differ.
        decimals: How text in a `DECIMAL` column is meant: as digits (`decimal.handling.mode=string`), or as base64 of the
            unscaled number (`precise`, which is Debezium's default) with the declared scale.
        time_precision: What integers in `TIMESTAMP`, `TIMESTAMP WITH TIME ZONE` and `TIME` columns count
            (`time.precision.mode`); without it they are refused.
        binary: How bytes are written (`binary.handling.mode`; `bytes` is base64).
        encodings: By column of the contract, where one differs from the rest; `bits` is for whole numbers.
        scales: The scale that base64 decimals have at the source, by column of the contract, where it is not the declared one.
        placeholder: What stands for a value that did not change and was not sent (`unavailable.value.placeholder`).
        updates: What a flattened update of MongoDB's holds, which it does not say itself: the document, or only the fields that
            changed, as where `capture.mode` looks no documents up. Then each row must say its operation (`add.fields=op`).
    """

    table: str
    connector: Connector = "postgresql"
    columns: Mapping[str, str] = field(default_factory=dict)
    decimals: Literal["text", "base64"] = "text"
    time_precision: TimePrecision | None = None
    binary: BinaryHandling = "base64"
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)
    placeholder: str = "__debezium_unavailable_value"
    updates: Literal["documents", "changes"] = "documents"
    name: Literal["debezium-json"] = "debezium-json"

    def __post_init__(self) -> None:
        if self.connector not in get_args(Connector):
            raise ContractError(
                f"Debezium({self.table!r}): where events of connector {self.connector!r} stand in their order is not known",
                hint=f"use one of {', '.join(get_args(Connector))}",
            )
        if self.updates == "changes" and self.connector != "mongodb":
            raise ContractError(
                f"Debezium({self.table!r}): flattened updates of connector {self.connector!r} hold the whole row",
                hint="leave updates='changes' out",
            )


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
class Snapshot:
    """How the full snapshots of a source are told apart and known to be whole.

    A key that a whole snapshot lacks is deleted as of that snapshot's date. A snapshot is all objects of one date; the date is in
    the object's name or folder, never the time it was written. Snapshots may land in any order and repeatedly.

    Attributes:
        date: Regular expression over the object's key below the source's folder; the digits of its groups, put together, are the
            date (and time): year first, in as many digits for every object.
        marker: Name of the object that says that the snapshot of its date is whole, with `*` for any text, as in `_SUCCESS` or
            `*.done`. The date's objects wait until it is there.
        files: Without a marker: how many objects make a snapshot. While fewer of them are read without a refused record, the
            snapshot's records are used and its absences mean nothing.
        share: Without a marker (and without a count in the files): a snapshot with a smaller share of the records of the one
            before is taken for a part, and refused.
        accepted: Digits of dates whose snapshots are whole whatever their size, because somebody has looked.
    """

    date: str = r"(\d{4})-?(\d{2})-?(\d{2})"
    marker: str | None = None
    files: int = 1
    share: float = 0.5
    accepted: tuple[str, ...] = ()


@dataclass(frozen=True)
class DateFormat:
    """How dates are written in some years' files.

    Attributes:
        text: A format of DuckDB's `strptime`, as in `%d/%m/%Y`; or `serial`: a spreadsheet's days since 1899-12-30.
        first: Digits of the first date in a file's name that it holds for, as in `2019` or `201903`; None for all before too.
        last: The last such date, itself included: `2019` is all of that year; None for all after too.
    """

    text: str
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True)
class Csv:
    """Delimited text with a header line, RFC 4180 quoting, gzipped or not; or the first sheet of an `.xlsx` workbook.

    Text is UTF-8, with a byte-order mark or not, or UTF-16 with one. Bytes that are not valid UTF-8 are read as
    Windows-1252, field by field.
    Every record is a snapshot read (`r`). A later version of the same key wins.

    Attributes:
        delimiter: One character; None where each file's header line tells, of comma, semicolon, tab and bar.
        columns: Header of the file by column of the contract, where the two differ; several where it changed over the years.
        version: Regular expression over the object's name; the digits of its first group order files of one source
            (a date in the name, never the time it was written). Where nothing is declared all files are of one version.
        unversioned: What becomes of a file whose name has no such digits: it is refused, or it is older than all that have some,
            as the one file is that everybody downloads under one name.
        versions: Whether those digits are dates: a year, which is older than its months, a month, which is older than its days,
            or a day; or numbers, of which dates with a time of day are some where each name has as many digits.
        unpivot: How a wide file becomes records.
        nulls: Texts that mean null. An empty text means null in every column that is no text.
        quoted_nulls: Whether they mean null within quotes too.
        decimal: The decimal mark of numeric columns, a point or a comma.
        thousands: Characters that group digits by three in numeric columns; None for none where the mark is a point, and for
            points, blanks and apostrophes where it is a comma.
        dates: How dates are written, by column of the contract. A value that two formats read as different dates is refused.
        trailer: Regular expression that the last line of every file matches; the digits of its first group are the number of
            records in the file. A file without it, or with another number of records, is not whole, and is refused.
        snapshot: Says that the files of each date are a full snapshot; `version` is not needed then.
        sheet: Name of a workbook's sheet; the first one if left out.
    """

    delimiter: str | None = ","
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    version: str | None = None
    unversioned: Literal["refused", "oldest"] = "refused"
    versions: Literal["dates", "numbers"] = "dates"
    unpivot: Unpivot | None = None
    nulls: tuple[str, ...] = ("",)
    quoted_nulls: bool = True
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    dates: Mapping[str, tuple[str | DateFormat, ...]] = field(default_factory=dict)
    trailer: str | None = None
    snapshot: Snapshot | None = None
    sheet: str | None = None
    name: Literal["csv"] = "csv"


@dataclass(frozen=True)
class Explode:
    """Documents read as one record per element of an array in them.

    The newest document of a key says which elements there are: those of an older one that it does not have are gone. So the key
    is made of the document's columns and the ordinal, and the version and the day of the document's columns.

    Attributes:
        items: The array, as in `items` or `order.items`.
        ordinal: Column that takes the element's place in the array, from 1.
        parent: Fields of the document by column of the contract; all other columns are the element's.
    """

    items: str
    ordinal: str
    parent: Mapping[str, str]


@dataclass(frozen=True)
class JsonDocuments:
    """Nested JSON documents: one a line, one or several over many lines, elements of one array, or the records in responses.

    Every document is a snapshot read (`r`). A later version of the same key wins. Nested values are kept as JSON text, and
    numbers with all their digits.

    Attributes:
        version: DuckDB expression over the document's columns giving a BIGINT that orders documents of one key; needed unless
            they are of snapshots. `_offset` in it is the offset of the record in its topic, which a sink writes into the envelope
            around it. Where that is the version, a null document says that the one of its key is gone; else it is a message.
        by_name: Orders documents, of one version if there is one, by the Kafka partition and the first offset in the object's
            name and by line, for sinks that write no envelope. Where there is no version, a null document says that the one of
            its key is gone.
        records: Where a response holds its records, as in `data.items`: an array or one object. A file holds one response,
            or one a line.
        explode: How a document becomes several records.
        snapshot: Says that the files of each date are a full snapshot.
        key_header: The header that holds the key of a document that does not name it, in the envelope around it; keys of records
            are not used then. Debezium's outbox router names each message there (`id`), and one that comes again has the same.
    """

    version: str | None = None
    by_name: bool = False
    records: str | None = None
    explode: Explode | None = None
    snapshot: Snapshot | None = None
    key_header: str | None = None
    name: Literal["json-documents"] = "json-documents"

    def __post_init__(self) -> None:
        if self.version is None and self.snapshot is None and not self.by_name:
            raise ContractError(
                "JsonDocuments: nothing orders the documents of one key",
                hint="give version=, an expression over their columns; snapshot=, if each file is of a dated full snapshot; or "
                "by_name=True, if a sink of Kafka Connect names the files",
            )
        if self.snapshot and self.by_name:
            raise ContractError(
                "JsonDocuments: files are either of dated snapshots or of a topic", hint="give snapshot= or by_name=, not both"
            )

    @property
    def ordinal(self) -> str | None:
        """The column that is an element's place, where the newest document says which there are: a snapshot says it by itself."""
        return self.explode.ordinal if self.explode and self.snapshot is None else None


@dataclass(frozen=True)
class Dms:
    """What AWS DMS writes to S3 of one table: full load and changes, as CSV or Parquet, gzipped or not.

    The full load's files (`LOAD0000000A.csv`) and the changes' (`20250103-101500123.csv`) are told by their names, `CDC_TXN`
    files of many tables too. The column `Op`, a header line and Parquet are detected file by file, for one task's settings change
    over the years. Changes are ordered by `change_sequence` where it is there, else by `timestamp`, file name and line; every
    record of a full load is older than every change.

    Attributes:
        table: The source table, as `table` or `schema.table`: its records are picked from files of many tables.
        layout: Columns of a file without header, in their order and without `Op`, by the producer's names; the contract's
            columns if left out, after `timestamp`. Columns that DMS appends later are kept with the undeclared ones.
        columns: The producer's name by column of the contract, where the two differ.
        timestamp: The endpoint's `TimestampColumnName`, UTC: when a change was committed, and when a row was loaded.
        change_sequence: Column that a transformation fills with `$AR_H_CHANGE_SEQ`.
        change_time: Column that a transformation fills with `$AR_H_TIMESTAMP`, UTC.
        change_operation: Column that a transformation fills with `$AR_H_OPERATION`; used where there is no `Op`.
        stream_position: Column that a transformation fills with `$AR_H_STREAM_POSITION`; it orders nothing.
        before: Prefix of before images. Those of the key tell that a record has got another key.
        nulls: Texts of a CSV file that mean null (`CsvNullValue`).
        not_provided: Text of a CSV file that means the value is not known and stays what it was (`CsvNoSupValue`).
        delimiter: One character (`CsvDelimiter`).
    """

    table: str
    layout: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    timestamp: str | None = None
    change_sequence: str = "AR_H_CHANGE_SEQ"
    change_time: str = "AR_H_TIMESTAMP"
    change_operation: str = "AR_H_OPERATION"
    stream_position: str = "AR_H_STREAM_POSITION"
    before: str = "BI_"
    nulls: tuple[str, ...] = ("NULL",)
    not_provided: str | None = None
    delimiter: str = ","
    name: Literal["dms"] = "dms"


@dataclass(frozen=True)
class DmsJson:
    """What AWS DMS writes to Kafka or Kinesis, one JSON message a line as a sink stores them.

    Changes are ordered by their time and, within one, by the Kafka partition and offset in the object's name and by line; every
    record of a full load is older than every change. Control records are messages, not rows.

    Attributes:
        table: The source table, as `table` or `schema.table`; records of others are ignored, for one topic may hold many.
        columns: The producer's name by column of the contract, where the two differ.
        before: Prefix of before images, where they are among the columns. Those of the key tell that a record has got another
            key.
        omits_nulls: Whether the producer leaves null columns out (`IncludeNullAndEmpty` is false, which is its default): then a
            column that is not there is null, otherwise it is missing.
    """

    table: str
    columns: Mapping[str, str] = field(default_factory=dict)
    before: str = "BI_"
    omits_nulls: bool = True
    name: Literal["dms-json"] = "dms-json"
