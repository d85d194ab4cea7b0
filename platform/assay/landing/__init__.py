"""Reads what producers write into change events.

Belongs here: the way of a source's landing objects to raw objects: `ingest`, with what is determined for a source as a whole
(`drift`, `snapshots`, `placement`), and what authors declare (`formats`). Does not belong here: folding events into tables
(`engine`), judging values by business rules (`quality`).

Each package imports only those before it: `files`, `kafka`, `readers`, `batches`; then `quarantine` and `upkeep`, side by side.
The modules beside the packages stand above them all, except `formats` and `sql`, which stand below.
"""
