"""What is wrong now, and telling people of it: incidents, the channels they are told through, and figures for Prometheus.

Belongs here: finding incidents in the lake's state, remembering which were told, sending messages. Does not belong here: finding
bad data (`quality`), failing runs (`orchestration`), showing incidents on a terminal (`cli`).
"""
