"""The daily quality report: one self-contained HTML file.

Belongs here: formatting numbers, plots, the page, and writing it to the lake. Does not belong here: collecting its content
(`pipeline.reporting`), judging data.
"""
