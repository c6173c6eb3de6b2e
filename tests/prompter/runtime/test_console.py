"""What a person sees on a terminal of 80 columns."""

import io

import pytest
from rich.console import Console

from prompter.runtime.console import Show


def rendered(show: Show) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(show._live.renderable)
    return console.export_text()


def test_a_bar_shows_counts_and_figures_without_cutting_them() -> None:
    show = Show(quiet=True)
    bar = show.bar("unprompted-hot: queries", 16_000)
    figures = "reward 2.190 (confidence 0.41 certainty 0.56 disagreement 0.06 novelty 0.93) student loss 0.012 agree 0.97"
    show.step(bar, 12_345, figures)
    text = rendered(show)
    assert "12,345/16,000" in text
    assert " ".join(text.split()).endswith(figures)
    assert "…" not in text


def test_a_bar_shows_the_rate_once_it_is_known() -> None:
    show = Show(quiet=True)
    now = 0.0
    show._progress.get_time = lambda: now  # type: ignore[method-assign]
    bar = show.bar("queries", 1000)
    for done in (0, 100, 200, 300):
        show.step(bar, done)
        now += 2.0
    assert "50.0/s" in rendered(show)


@pytest.mark.parametrize("topic", ["a day", ""])
def test_samples_show_what_is_known_of_them(topic: str) -> None:
    show = Show(quiet=True)
    show.console = Console(width=80, record=True, file=io.StringIO())
    figures = {"wanted": "good", "reward": 1.25} if topic else {"wanted": None, "probability": 0.5}
    show.samples([{"topic": topic, "text": "a day at [sea]", "predicted": "bad", **figures}], "after 9 queries")
    words = show.console.export_text(clear=False).split()
    head = "wanted teacher reward topic and text" if topic else "teacher probability text"
    row = "good bad 1.25 a day at [sea]" if topic else "bad 0.50 a day at [sea]"
    assert " ".join(words[:3]) == "after 9 queries"
    assert " ".join(word for word in words[3:] if not set(word) <= {"─"}) == f"{head} {row}"
    assert ("\x1b[1ma day\x1b[0m at" in show.console.export_text(styles=True)) == bool(topic)


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Show(quiet=True) as show:
        show.step(show.bar("queries", 10), 10, "reward 1")
        show.say("hidden")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
