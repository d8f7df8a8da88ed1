"""The table of a sweep: what is left, in numbers and in words."""

import io

import pytest
from rich.console import Console

from mespot_lib.progress import Board, Line, duration_text, remaining_s, shown


def line(**counts):
    return Line("synthetic_casme2", "zhang2020", **counts)


@pytest.mark.parametrize(
    ("lines", "workers", "seconds"),
    [
        ([line(total=6, seconds=[10.0, 20.0])], 2, 45.0),
        ([line(total=6, done=4, failed=1, seconds=[10.0])], 1, 10.0),
        ([line(total=6, done=4, running=2, seconds=[10.0])], 2, 5.0),  # two half done, side by side
        ([line(total=6, seconds=[10.0]), line(total=2, seconds=[100.0])], 2, 130.0),
        ([line(total=6, seconds=[10.0]), line(total=2, done=2)], 2, 30.0),  # what has ended needs no time
        ([line(total=6)], 2, None),
        ([line(total=6, seconds=[10.0])], 0, None),
        ([], 2, 0.0),
    ],
)
def test_what_is_left(lines, workers, seconds):
    assert remaining_s(lines, workers) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5900, "98 min"),
        (6000, "1 h 40 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_durations_in_words(seconds, text):
    assert duration_text(seconds) == text


def test_the_table_holds_every_count():
    board = Board([line(total=7, done=3, failed=1, running=2, measured=4, to_measure=18, seconds=[12.0])], 2)
    console = Console(file=io.StringIO(), width=80)
    console.print(board)
    head, names, row = (text.split() for text in console.file.getvalue().splitlines()[:3])
    assert " ".join(head) == "4 of 7 runs, 2 workers, 0 s, about 12 s left"
    assert names == ["dataset", "method", "runs", "done", "failed", "running", "features", "s", "a", "run"]
    assert row == ["synthetic_casme2", "zhang2020", "7", "3", "1", "2", "4", "of", "18", "12"]


def test_a_log_file_gets_plain_lines(capsys):
    board = Board([line(total=2)], 2)
    with shown(board) as say:
        board.lines[0].done = 1
        say("first: done in 3 s")
    assert capsys.readouterr().err == "1 of 2 runs, 2 workers, 0 s: first: done in 3 s\n"
    with shown(board, wanted=False) as say:
        say("nothing")
    assert capsys.readouterr().err == ""
