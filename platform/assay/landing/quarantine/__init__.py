"""What becomes of records that could not be read.

Belongs here: writing them to quarantine, reading them again, editing them. Does not belong here: why a record is rejected
(`readers`, `batches.typed`), rows that break a contract's rules (`quality`), who asks for a replay or an edit (`pipeline`).
"""
