"""The errors that Assay raises on purpose.

Belongs here: the exceptions that any room may raise and that the command line shows as one sentence and a hint. Does not
belong here: the reasons for which a single record is quarantined; a bad record is data, not an exception.
"""

_ENDS = tuple(".!?…:")


class AssayError(Exception):
    """An error with what is wrong and what to do next.

    Args:
        message: What is wrong, naming the object, row, column or rule.
        hint: What the reader should do next; shown after the message.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        if not self.hint:
            return self.message
        if self.message.rstrip()[-1:] in _ENDS:
            return f"{self.message.rstrip()} {self.hint}"
        # Many messages end with another program's text, which has no full stop.
        return f"{self.message.rstrip()}{'.' if self.hint[:1].isupper() else ';'} {self.hint}"


class SettingsError(AssayError):
    """A setting is missing or wrong."""


class ContractError(AssayError):
    """A contract, a source or a domain is declared wrongly."""


class SqlError(AssayError):
    """A table's SQL does not parse, bind or agree with its contract; found when the domain is loaded."""


class StoreError(AssayError):
    """The object store rejected an operation."""


class StoreUnavailable(StoreError):
    """The object store cannot be reached; the operation may be retried."""


class ObjectMissing(StoreError):
    """The requested object, or the requested version of it, does not exist."""


class Conflict(StoreError):
    """A conditional write lost: another process wrote the object first."""


class ServerError(AssayError):
    """An embedded server did not start or stop."""


class IngestError(AssayError):
    """A source could not be ingested; what had been committed before stays in place."""


class LibraryMissing(IngestError):
    """A library that a landing object needs is not installed."""


class EditError(AssayError):
    """A record in quarantine cannot be edited or dropped as requested."""


class ControlError(AssayError):
    """A control cannot be queried, or its result is invalid."""


class ControlMissing(ControlError):
    """A control has no file."""
