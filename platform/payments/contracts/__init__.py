"""The contracts of the payments domain, one module per subject.

Belongs here: the raw sources of a subject, its enriched tables and its marts, each a Pandera model; a table is its
contract here and one SQL file in `assets_sql/`. Does not belong here: SQL of a whole table, anything computed.
"""
