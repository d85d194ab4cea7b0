"""Brings changes into the landing zone: from a database's change log, from Kafka topics.

Belongs here: capturing changes and writing them as landing objects, and comparing what arrived with its origin. Does not
belong here: reading landing objects (`landing`), the tables built from them, any specific business's tables.
"""
