"""The Kafka Connect schema that a change event carries when the converter is configured to write schemas.

Belongs here: the schema of each table's envelope. Does not belong here: values.

A messy column is declared as a string although some of its values are numbers or booleans: the company's producers do not
follow their schemas, and a reader that relies on them must fail.
"""

from __future__ import annotations

import json

Field = dict[str, object]

_MICROS = {"type": "int64", "optional": True, "name": "io.debezium.time.MicroTimestamp", "version": 1}
_JSON = {"type": "string", "optional": True, "name": "io.debezium.data.Json", "version": 1}
_TEXT = {"type": "string", "optional": True}

_COLUMNS: dict[str, dict[str, Field]] = {
    "customers": {
        "customer_id": {"type": "string", "optional": False},
        "email": _TEXT,
        "profile": _JSON,
        "status": _TEXT,
        "registered_at": _TEXT,
        "updated_at": _MICROS,
    },
    "merchants": {
        "merchant_id": {"type": "string", "optional": False},
        **dict.fromkeys(("name", "mcc", "country", "region", "city"), _TEXT),
        "terms": _JSON,
        "active": _TEXT,
        "time_zone": _TEXT,
        "created_at": _MICROS,
        "updated_at": _MICROS,
    },
    "transactions": {
        "transaction_id": {"type": "string", "optional": False},
        **dict.fromkeys(
            (
                "customer_id",
                "merchant_id",
                "amount",
                "currency",
                "status",
                "failure_reason",
                "region",
                "payment_method",
                "is_recurring",
                "transaction_date",
            ),
            _TEXT,
        ),
        "created_at": _MICROS,
        "updated_at": _MICROS,
        "sca_method": _TEXT,
    },
    "refunds": {
        "refund_id": {"type": "string", "optional": False},
        **dict.fromkeys(
            (
                "transaction_id",
                "customer_id",
                "merchant_id",
                "amount",
                "payment_amount",
                "currency",
                "region",
                "payment_method",
                "reason",
                "state",
                "paid_at",
                "requested_at",
                "refunded_at",
            ),
            _TEXT,
        ),
        "created_at": _MICROS,
        "updated_at": _MICROS,
    },
    "chargebacks": {
        "dispute_id": {"type": "string", "optional": False},
        **dict.fromkeys(
            (
                "transaction_id",
                "customer_id",
                "merchant_id",
                "amount",
                "payment_amount",
                "currency",
                "region",
                "payment_method",
                "network",
                "reason_code",
                "state",
                "paid_at",
                "captured_at",
                "opened_at",
                "closed_at",
            ),
            _TEXT,
        ),
        "created_at": _MICROS,
        "updated_at": _MICROS,
    },
}

_SOURCE = {
    "version": "string",
    "connector": "string",
    "name": "string",
    "ts_ms": "int64",
    "snapshot": "string",
    "db": "string",
    "sequence": "string",
    "ts_us": "int64",
    "ts_ns": "int64",
    "schema": "string",
    "table": "string",
    "txId": "int64",
    "lsn": "int64",
    "xmin": "int64",
}
_REQUIRED = ("version", "connector", "name", "ts_ms", "db", "schema", "table")

_TRANSACTION = {"id": "string", "total_order": "int64", "data_collection_order": "int64"}


def wrapping(table: str) -> tuple[str, str]:
    """Return the text before and after a table's payload."""
    return f'{{"schema":{json.dumps(_envelope(table), separators=(",", ":"))},"payload":', "}"


def _envelope(table: str) -> Field:
    row = [{**spec, "field": name} for name, spec in _COLUMNS[table].items()]
    value = f"payments.public.{table}.Value"
    source = [{"type": kind, "optional": name not in _REQUIRED, "field": name} for name, kind in _SOURCE.items()]
    block = [{"type": kind, "optional": False, "field": name} for name, kind in _TRANSACTION.items()]
    fields = [
        _struct("before", row, value),
        _struct("after", row, value),
        _struct("source", source, "io.debezium.connector.postgresql.Source", optional=False),
        _struct("transaction", block, "event.block"),
        {"type": "string", "optional": False, "field": "op"},
        *({"type": "int64", "optional": True, "field": name} for name in ("ts_ms", "ts_us", "ts_ns")),
    ]
    return {
        "type": "struct",
        "fields": fields,
        "optional": False,
        "name": f"payments.public.{table}.Envelope",
        "version": 2,
    }


def _struct(field: str, fields: list[Field], name: str, *, optional: bool = True) -> Field:
    return {"type": "struct", "fields": fields, "optional": optional, "name": name, "field": field}
