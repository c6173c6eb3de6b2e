"""Find out once, within seconds, whether the hub can be reached.

The hub's client asks six times with growing pauses, about 25 seconds for each file that it looks for, and a model has many
names of files. So before the first look-up one request is made, with a short patience. Without an answer the client is told to
work offline for a while: it takes what is in its cache, and says at once what is not.
"""

import logging
import threading
import time

from huggingface_hub import constants, get_session

LOGGER = logging.getLogger("prompter")

PATIENCE = 4.0
"""Seconds that the hub has for an answer; looking up its address is part of it."""

TRUSTED_FOR = 60.0
"""Seconds after which a long-lived process asks again."""

_offline_since: float | None = None
_reached = False


def heed_network() -> None:
    """Let the hub's client work offline if the hub gives no answer. Ask at most once a minute, and never again once it did."""
    global _offline_since, _reached
    if _offline_since is not None and time.monotonic() - _offline_since > TRUSTED_FOR:
        _offline_since, constants.HF_HUB_OFFLINE = None, False
    if constants.HF_HUB_OFFLINE or _reached:
        return
    if _answers():
        _reached = True
        return
    LOGGER.warning("%s cannot be reached: only models that were downloaded before can be used.", constants.ENDPOINT)
    _offline_since, constants.HF_HUB_OFFLINE = time.monotonic(), True


def _answers() -> bool:
    """Return whether the hub answers. The look-up of an address cannot be stopped, so a thread makes the request."""
    found = threading.Event()

    def ask() -> None:
        try:
            if get_session().head(constants.ENDPOINT, timeout=PATIENCE).status_code < 500:
                found.set()
        except Exception as error:  # the client has its own exceptions, which changed between versions
            LOGGER.debug("the hub did not answer: %s", error)
        done.set()

    done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    done.wait(PATIENCE + 0.5)
    return found.is_set()
