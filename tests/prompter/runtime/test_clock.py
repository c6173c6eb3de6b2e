"""The clock, on a time that the test sets."""

import pytest

from prompter.runtime.clock import Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: time[0])
    return time


def test_blocks_add_up_and_nested_ones_count_on_both(now: list[float]) -> None:
    clock = Clock()
    for _ in range(2):
        with clock("rounds"):
            now[0] += 2
            with clock("writer"):
                now[0] += 3
    assert clock.seconds == {"rounds": 10.0, "writer": 6.0}


def test_a_checkpoint_within_a_block_knows_the_time_so_far(now: list[float]) -> None:
    clock = Clock()
    with clock("rounds"):
        now[0] += 5
        stored = clock.so_far()
        now[0] += 1
    assert stored == {"rounds": 5.0} and clock.seconds == {"rounds": 6.0}
    resumed = Clock()
    resumed.seconds.update(stored)
    with resumed("rounds"):
        now[0] += 4
    assert resumed.seconds == {"rounds": 9.0}


def test_time_is_booked_where_a_block_fails(now: list[float]) -> None:
    clock = Clock()
    with pytest.raises(ValueError), clock("teacher"):
        now[0] += 1
        raise ValueError
    assert clock.so_far() == {"teacher": 1.0}
