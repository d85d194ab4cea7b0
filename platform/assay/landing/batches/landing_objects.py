"""Reading landing objects: fetched, combined and staged, as far as each object alone determines its records.

Belongs here: the steps from objects in the lake to a staged batch, which all callers share. Does not belong here: the steps
themselves, and what is done with the records (`ingest`, `quarantine.replay`, `quarantine.editing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from assay.contracts import Source
from assay.errors import AssayError, IngestError, StoreError
from assay.lake.store import DISK_IS_FULL, ObjectInfo, ObjectStore
from assay.landing.batches.staging import stage
from assay.landing.batches.ties import resolve_ties
from assay.landing.files.fetch import fetch
from assay.landing.files.landed_file import LandedFile
from assay.landing.kafka.keys import KeysBeside
from assay.landing.kafka.sink_files import put_together
from assay.landing.readers.documents.elements import keep_elements
from assay.landing.readers.edits import EditsReader, is_edit
from assay.landing.readers.registry import is_of_sink, kept_containers, reader_for


@dataclass(frozen=True)
class Objects:
    """Landing objects of one source that are read together: either the producer's, or edits.

    Attributes:
        store: The lake.
        source: The source.
        infos: The objects.
        beside: Which objects hold the keys of which others.
    """

    store: ObjectStore
    source: Source
    infos: Sequence[ObjectInfo]
    beside: KeysBeside = field(default_factory=KeysBeside)

    @property
    def are_edits(self) -> bool:
        """Whether they are edited records."""
        return bool(self.infos) and is_edit(self.infos[0].key)

    def fetch(self, folder: Path, lacking: dict[str, str] | None = None) -> list[LandedFile]:
        """Fetch them to local disk; objects that have changed since they were listed are left out.

        Args:
            folder: Where they go.
            lacking: Collects, by key, the missing library that an object needs; if None, a missing library is an error.

        Raises:
            LibraryMissing: A library that an object needs is not installed, and `lacking` is None.
        """
        if self.are_edits:
            return fetch(self.store, self.infos, folder)
        files = fetch(self.store, self.infos, folder, kept_containers(self.source), lacking) if self.infos else []
        if not is_of_sink(self.source):
            return files
        return put_together(files, self.beside, self.store, self.source, folder, lacking)

    def stage(self, cursor: duckdb.DuckDBPyConnection, files: list[LandedFile], staged: str, folder: Path) -> list[str]:
        """Read some of their files into a staged table, and resolve ties between lines of one object; returns the warnings."""
        if self.are_edits:
            return stage(cursor, self.source, EditsReader(), files, staged, folder)
        warnings = stage(cursor, self.source, reader_for(self.source), files, staged, folder)
        resolve_ties(cursor, self.source, staged)
        keep_elements(cursor, self.source, staged)
        return warnings


def explained(source: Source, what: str, error: duckdb.Error | OSError) -> AssayError:
    """Explain what stopped a batch: lack of room, the lake, or its content."""
    said = str(error).split("\n", 1)[0]
    if isinstance(error, duckdb.OutOfMemoryException) or "No space left" in said or getattr(error, "errno", None) in DISK_IS_FULL:
        return IngestError(
            f"{source.full_name}: there is no room to read what has landed: {said}",
            hint="Raise ASSAY_MEMORY, or free space below ASSAY_HOME.",
        )
    if isinstance(error, duckdb.IOException | OSError):
        return StoreError(f"{source.full_name}: the lake cannot be read: {said}", hint="Run again.")
    return IngestError(
        f"{source.full_name}: {what} cannot be read: {said}",
        hint="Nothing of them was recorded. Correct the source's declaration, or take the object out of the landing zone.",
    )
