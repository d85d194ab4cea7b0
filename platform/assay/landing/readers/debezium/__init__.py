"""Debezium change events.

Belongs here: the forms of a message, its position, and how it encodes values. Does not belong here: other formats; keys that a
sink has stored apart from the messages (`readers.sink_reader`).
"""
