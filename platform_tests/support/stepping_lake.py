"""A lake for Dagster's steps in tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shop_lake import ShopLake

from assay.errors import StoreUnavailable
from assay.orchestration.resources import Lake, Opened
from assay.pipeline.state import State
from assay.pipeline.workspace import Workspace


class SteppingLake(Lake):
    """Opens a lake anew for every step, as a deployment does.

    Args:
        shop: The lake.

    Attributes:
        shop: The lake.
        gone: Whether it cannot be reached.
    """

    def __init__(self, shop: ShopLake) -> None:
        super().__init__()
        self.shop = shop
        self.gone = False

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """One step's lake."""
        with self.open_workspace() as workspace, workspace.connection() as connection:
            yield Opened(workspace, connection, State(workspace))

    @contextmanager
    def open_workspace(self) -> Iterator[Workspace]:
        """The lake, to look at."""
        if self.gone:
            raise StoreUnavailable("nobody answers")
        yield self.shop.workspace
