"""What is printed while work is under way, without a terminal and with one."""

import io
import time
import warnings

import pytest
from rich.console import Console

from hybridleuk import progress
from hybridleuk_cli import console
from hybridleuk_cli.console import Outcome, Screen, duration


@pytest.fixture
def no_waiting(monkeypatch):
    for name in ("_SHOW_AFTER", "_REPORT_AFTER", "_LINE_EVERY"):
        monkeypatch.setattr(console, name, 0.0)


def screen(*, terminal=False, **options) -> Screen:
    made = Screen(**options)
    made.err = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)
    return made


def work(screen, total=4, name="Measuring cells"):
    with progress.report_to(screen), progress.task(name, total, "images") as task:
        for _ in range(total or 3):
            time.sleep(0.02)
            task.advance()


def test_plain_lines_without_a_terminal(no_waiting):
    shown = screen()
    work(shown)
    lines = shown.err.file.getvalue().splitlines()
    assert lines[0] == "Measuring cells: 1 of 4 images", "no rate from what was loaded before"
    assert lines[1].startswith("Measuring cells: 2 of 4 images, ")
    assert "images/s" in lines[1]
    assert lines[1].endswith("left")
    assert lines[-1].startswith("Measuring cells: 4 images in ")
    assert "\r" not in shown.err.file.getvalue()
    assert "\x1b" not in shown.err.file.getvalue()


def test_short_tasks_say_nothing():
    for terminal in (False, True):
        shown = screen(terminal=terminal)
        work(shown)
        assert shown.err.file.getvalue() == ""


def test_bar_with_rate_on_a_terminal(no_waiting):
    shown = screen(terminal=True)
    with progress.report_to(shown), progress.task("Measuring cells", 40) as task:
        for _ in range(30):
            time.sleep(0.02)
            task.advance()
    text = shown.err.file.getvalue()
    assert "━" in text
    assert "/40" in text
    assert "images/s" in text
    assert "stopped after 30 of 40 images" in text


def test_task_without_total(no_waiting):
    for terminal in (False, True):
        shown = screen(terminal=terminal)
        work(shown, total=None)
        assert "3 images in " in shown.err.file.getvalue()


def test_quiet_shows_notes_and_errors_only(no_waiting):
    shown = screen(quiet=True)
    work(shown)
    shown.line("some news")
    shown.noted("weights are random")
    shown.error("broken")
    assert shown.err.file.getvalue() == "Note: weights are random\nError: broken\n"


def test_a_note_is_said_once_and_on_one_line():
    shown = screen()
    for _ in range(2):
        shown.noted("a very long sentence " * 20 + "[red]with brackets\n and a break")
    assert shown.err.file.getvalue().count("\n") == 1
    assert "[red]with brackets and a break" in shown.err.file.getvalue()


def test_outcome_as_json_or_summary(capsys):
    outcome = Outcome({"n_images": 3}, ["3 images"])
    for made in (Screen(), Screen(as_json=True), Screen(quiet=True)):
        made.finish(outcome)
        captured = capsys.readouterr()
        expected = '{\n  "n_images": 3\n}\n' if made.as_json else "3 images\n"
        assert captured.out == ("" if made.quiet else expected)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.97, "1:00 min"), (3599.6, "1:00 h"), (7260, "2:01 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_warnings_of_libraries_become_notes(run, monkeypatch):
    def warn() -> dict[str, bool]:
        warnings.warn("the matrix is singular", RuntimeWarning, stacklevel=1)
        warnings.warn("will be removed in 3.0", FutureWarning, stacklevel=1)
        return {}

    monkeypatch.setattr("hybridleuk_cli.doctor.weights_state", warn)
    monkeypatch.setattr("hybridleuk_cli.doctor._NEEDED", {})
    ended = run("doctor", "--quiet")
    assert ended.err == "Note: the matrix is singular\n"
    assert "FutureWarning: will be removed" in run("doctor", "--debug").err
