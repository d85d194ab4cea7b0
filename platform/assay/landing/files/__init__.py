"""Landing objects as files: what can be read of them without knowing their format.

Belongs here: fetching, decompressing, recognizing containers, and taking text apart (lines, delimited records, JSON values) with
the byte at which each part begins, past every damage. Does not belong here: anything that needs to know a source, what a record
means (`readers`), what only Kafka's sinks do (`kafka`).
"""
