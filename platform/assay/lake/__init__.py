"""Where data is stored: objects, their keys, and what is recorded about them.

Belongs here: the object stores (S3 or a folder) and their compare-and-swap writes, the embedded S3 server,
the layout of keys, the ledger of ingested batches and the index of published partitions. Does not belong
here: what a table is (`contracts`), reading producers' formats (`landing`), running SQL (`engine`).
"""

from assay.lake.store import ObjectInfo, ObjectStore, open_store

__all__ = ["ObjectInfo", "ObjectStore", "open_store"]
