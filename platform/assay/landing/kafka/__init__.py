"""Files that a Kafka sink has written, turned into files of one value per line.

Belongs here: what the sinks of Confluent and Aiven add to records: names of objects, keys stored apart, envelopes. Does not
belong here: what values mean, and which records are given a key (`readers`), reading topics (`capture`).
"""
