"""What AWS DMS writes: files in S3 (`Dms`), and messages in Kafka and Kinesis (`DmsJson`).

Belongs here: names and layouts of its files, its columns about a change, the order of changes. Does not belong here: other
delimited text (`readers.delimited`).
"""
