"""What a person sees on a terminal of 80 columns."""

import io
import logging

import pytest
from rich.console import Console as Terminal

from prompter.runtime.console import Console


def rendered(show: Console) -> str:
    console = Terminal(width=80, record=True, file=io.StringIO())
    console.print(show._live.renderable)
    return console.export_text()


def test_a_bar_shows_counts_and_figures_without_cutting_them() -> None:
    show = Console(quiet=True)
    bar = show.bar("unprompted-hot: queries", 16_000)
    figures = "reward 2.190 (confidence 0.41 certainty 0.56 disagreement 0.06 novelty 0.93) student loss 0.012 agree 0.97"
    show.step(bar, 12_345, figures)
    text = rendered(show)
    assert "12,345/16,000" in text
    assert " ".join(text.split()).endswith(figures)
    assert "…" not in text


def test_a_bar_shows_the_rate_once_it_is_known() -> None:
    show = Console(quiet=True)
    now = 0.0
    show._progress.get_time = lambda: now  # type: ignore[method-assign]
    bar = show.bar("queries", 1000)
    for done in (0, 100, 200, 300):
        show.step(bar, done)
        now += 2.0
    assert "50.0/s" in rendered(show)


@pytest.mark.parametrize("topic", ["a day", ""])
def test_samples_show_what_is_known_of_them(topic: str) -> None:
    show = Console(quiet=True)
    show.terminal = Terminal(width=80, record=True, file=io.StringIO())
    figures = {"wanted": "good", "reward": 1.25} if topic else {"wanted": None, "probability": 0.5}
    show.samples([{"topic": topic, "text": "a day at [sea]", "predicted": "bad", **figures}], "after 9 queries")
    words = show.terminal.export_text(clear=False).split()
    head = "wanted teacher reward topic and text" if topic else "teacher probability text"
    row = "good bad 1.25 a day at [sea]" if topic else "bad 0.50 a day at [sea]"
    assert " ".join(words[:3]) == "after 9 queries"
    assert " ".join(word for word in words[3:] if not set(word) <= {"─"}) == f"{head} {row}"
    assert ("\x1b[1ma day\x1b[0m at" in show.terminal.export_text(styles=True)) == bool(topic)


def test_lines_go_through_logging_and_show_once(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with Console(quiet=False) as console:
        console.say("50 % of [them]")
    assert capsys.readouterr().out.count("50 % of [them]") == 1
    assert not caplog.records  # an application that logs warnings only sees nothing of it
    logger = logging.getLogger("prompter")
    assert (logger.level, logger.propagate, logger.handlers) == (logging.NOTSET, True, [])
    with caplog.at_level(logging.INFO):
        for quiet in (True, False):
            with Console(quiet) as console:
                console.say("a line")
        assert [record.message for record in caplog.records] == ["a line"] * 2
    assert capsys.readouterr().out.count("a line") == 1


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True) as show:
        show.step(show.bar("queries", 10), 10, "reward 1")
        show.say("hidden")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
