"""What puts changes into the landing zone: a database's change log, Kafka topics.

Belongs here: capturing changes and writing them as landing objects, and comparing what arrived with where it came from. Does not
belong here: reading landing objects (`landing`), the tables made of them, any one business's tables.
"""
