"""How far a sweep is: a live table in a terminal or notebook, plain lines elsewhere.

It draws what it is given and knows nothing of runs.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class Line:
    """The runs of one method on one dataset, counted by what has become of them.

    seconds : of its finished runs, in this sweep or an earlier one.
    """

    dataset: str
    method: str
    total: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    measured: int = 0
    to_measure: int = 0
    seconds: list[float] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Return how many runs have not ended."""
        return self.total - self.done - self.failed


def remaining_s(lines: Sequence[Line], workers: int) -> float | None:
    """Return how many seconds the rest will about take, None while a method of it has never been timed.

    Half of a run under way is taken as done. Measuring of features is not counted; it is quick beside the runs.
    """
    known = [line for line in lines if line.left]
    if any(not line.seconds for line in known) or not workers:
        return None
    work = sum((line.left - line.running / 2) * sum(line.seconds) / len(line.seconds) for line in known)
    return work / workers


def duration_text(seconds: float) -> str:
    """Return "40 s", "12 min", "3 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


@dataclass
class Board:
    """The lines of a sweep and how many workers it has; rich draws it as a table."""

    lines: Sequence[Line]
    workers: int
    started: float = field(default_factory=time.monotonic)

    def headline(self) -> str:
        """Return how many runs have ended, the time since the start, and what is left of it."""
        total, left = sum(line.total for line in self.lines), sum(line.left for line in self.lines)
        ahead = remaining_s(self.lines, self.workers)
        rest = f", about {duration_text(ahead)} left" if left and ahead is not None else ""
        spent = duration_text(time.monotonic() - self.started)
        return f"{total - left} of {total} runs, {self.workers} workers, {spent}{rest}"

    def __rich__(self) -> "Table":
        from rich.table import Table

        table = Table(title=self.headline(), title_justify="left", box=None, pad_edge=False)
        for name in ("dataset", "method"):
            table.add_column(name)
        for name in ("runs", "done", "failed", "running", "features", "s a run"):
            table.add_column(name, justify="right")
        for line in self.lines:
            mean = f"{sum(line.seconds) / len(line.seconds):.0f}" if line.seconds else ""
            features = f"{line.measured} of {line.to_measure}" if line.to_measure else ""
            counts = (line.total, line.done, line.failed, line.running)
            cells = [str(count or "") for count in counts]
            style = "red" if line.failed else "bold" if line.running else "" if line.left else "dim"
            table.add_row(line.dataset, line.method, *cells, features, mean, style=style)
        return table


@contextlib.contextmanager
def shown(board: Board, wanted: bool = True) -> Iterator[Callable[[str], None]]:
    """Keep a board on the screen while the block lasts; yield what says a line that is to stay.

    In a terminal and in a notebook the board is live. Elsewhere (a log file) each line comes with its headline.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    if not wanted:
        yield lambda text: None
    elif console.is_terminal or console.is_jupyter:
        with Live(board, console=console, refresh_per_second=2):
            yield lambda text: console.print(text, markup=False, highlight=False)
    else:
        yield lambda text: print(f"{board.headline()}: {text}", file=sys.stderr, flush=True)
