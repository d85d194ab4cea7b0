"""SQL as readable text: a SELECT with one column per line, common tables one after the other.

Belongs here: layout. Does not belong here: what is selected.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Select:
    """One SELECT.

    Attributes:
        columns: Expression by output column, in order.
        source: The text after FROM.
        where: A condition, if any.
        grouped: Whether to group by all columns that are not aggregates.
        windows: Named windows.
        headings: Comments, by the column that they precede.
    """

    columns: Mapping[str, str]
    source: str
    where: str = ""
    grouped: bool = False
    windows: Mapping[str, str] = field(default_factory=dict)
    headings: Mapping[str, str] = field(default_factory=dict)

    def text(self, indent: str = "") -> str:
        """The statement."""
        lines = [f"{indent}SELECT"]
        last = len(self.columns) - 1
        for place, (name, expression) in enumerate(self.columns.items()):
            if name in self.headings:
                lines.append(f"{indent}  -- {self.headings[name]}")
            said = expression if expression == name else f"{expression} AS {name}"
            lines.append(f"{indent}  {said}{',' if place < last else ''}")
        lines.append(f"{indent}FROM {self.source}")
        if self.where:
            lines.append(f"{indent}WHERE {self.where}")
        if self.grouped:
            lines.append(f"{indent}GROUP BY ALL")
        if self.windows:
            listed = f",\n{indent}  ".join(f"{name} AS ({window})" for name, window in self.windows.items())
            lines.append(f"{indent}WINDOW\n{indent}  {listed}")
        return "\n".join(lines)


def statement(heading: Iterable[str], tables: Mapping[str, tuple[Sequence[str], str]], final: Select) -> str:
    """A whole statement.

    Args:
        heading: Comment lines at the top.
        tables: Comment lines and SQL, by name of the common table.
        final: The final SELECT.
    """
    lines = [f"-- {line}" for line in heading]
    for place, (name, (comments, body)) in enumerate(tables.items()):
        lines += [f"-- {line}" for line in comments]
        lines.append(f"{'WITH ' if place == 0 else ''}{name} AS (")
        lines.append(body)
        lines.append(")," if place < len(tables) - 1 else ")")
        lines.append("")
    return "\n".join([*lines, final.text()]) + "\n"


def indented(text: str) -> str:
    """Indent a text by two spaces."""
    return "\n".join(f"  {line}" if line else line for line in text.splitlines())


def without_comments(sql: str) -> str:
    """Generated SQL without its comments, which are on lines of their own."""
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
