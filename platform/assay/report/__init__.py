"""The daily quality report as people see it: one HTML file that needs nothing but itself.

Belongs here: numbers as texts, plots, the page, and writing it to the lake. Does not belong here: collecting what it says
(`pipeline.reporting`), judging data.
"""
