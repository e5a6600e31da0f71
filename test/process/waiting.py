# SPDX-License-Identifier: Apache-2.0
"""Waiting for conditions: the one place in the tests where time passes on purpose.

Deadlines that a user was promised are given as they were promised; under sanitizers QUIPU_TEST_SLOW=3 multiplies them.
"""
import os
import time
from typing import Callable, TypeVar

T = TypeVar("T")
SLOW = float(os.environ.get("QUIPU_TEST_SLOW", "1"))
PERIOD_S = 0.01


def eventually(check: Callable[[], T], within: float = 5.0, what: str = "") -> T:
    """Calls check until it returns something true and hands that back. An AssertionError, an OSError and what is not
    true mean "not yet"; after `within` seconds the last of these is the failure."""
    end = time.monotonic() + within * SLOW
    while True:
        last: object
        try:
            found = check()
            if found:
                return found
            last = f"last seen: {found!r}"
        except (AssertionError, OSError) as error:
            last = error
        if time.monotonic() >= end:
            raise AssertionError(f"{what or 'the condition'} did not come true within {within * SLOW:g} s: {last}")
        time.sleep(PERIOD_S)


def always(check: Callable[[], object], during: float, what: str = "") -> None:
    """Fails as soon as check returns something false; passes when it was true for `during` seconds."""
    end = time.monotonic() + during
    while time.monotonic() < end:
        assert check(), f"{what or 'the condition'} did not stay true"
        time.sleep(PERIOD_S)


def pass_time(seconds: float) -> None:
    """Where the time itself is the event: how long a freeze lasts, or a client does nothing."""
    time.sleep(seconds)
