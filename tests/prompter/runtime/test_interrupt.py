"""Ctrl-C as a request."""

import os
import signal
import threading

import pytest

from prompter.runtime.interrupt import StopRequest


def test_the_first_ctrl_c_asks_and_the_second_one_stops() -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    stop = StopRequest(said.append)
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.made and len(said) == 1
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_than_the_main_one_does_not_listen() -> None:
    reached: list[bool] = []

    def work() -> None:
        stop = StopRequest(print)
        with stop.listening():
            reached.append(stop.made)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert reached == [False]
