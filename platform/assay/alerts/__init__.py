"""Alerting: current incidents, the channels to which they are sent, and figures for Prometheus.

Belongs here: finding incidents in the lake's state, remembering which were sent, sending messages. Does not belong here: finding
bad data (`quality`), failing runs (`orchestration`), showing incidents on a terminal (`cli`).
"""
