"""Plain JSON documents (`JsonDocuments`): one per line, or the records within responses.

Belongs here: finding documents, extracting their fields exactly, and splitting their arrays. Does not belong here: change events,
which say what has happened to a row (`readers.debezium`, `readers.dms`).
"""
