"""What is done to raw objects after they were recorded.

Belongs here: merging small ones, removing events permanently. Does not belong here: writing events (`batches`), which events are
forgotten (`pipeline.forgetting`), when this is done (`orchestration`).
"""
