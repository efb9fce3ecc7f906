"""How long to wait before the next try: exponential, with jitter; clock and chance are handed in.

What may come in: any number of failures. What it never does: sleep, read a clock, or give up.
"""

import random
from collections.abc import Callable
from typing import Final

_LEAST_SPREAD: Final = 1.0
"""Over how many seconds at least those come back who were told the same."""


class Backoff:
    """Waits that double with each failure up to a limit."""

    def __init__(self, base: float, longest: float, chance: Callable[[], float] = random.random) -> None:
        self._base = base
        self._longest = longest
        self._chance = chance
        self.failures = 0
        """How many failures there were since the last success."""

    def reset(self) -> None:
        """It worked: the next failure waits shortly again."""
        self.failures = 0

    def fail(self) -> float:
        """It failed: how many seconds to wait. Between half of the exponential delay and the whole of it."""
        self.failures += 1
        return self.after(self.failures)

    def after(self, failures: int) -> float:
        """How many seconds to wait after so many failures that are counted elsewhere."""
        doubled = self._base * (1 << min(max(failures - 1, 0), 20))
        return min(doubled, self._longest) * (0.5 + 0.5 * self._chance())

    def spread(self, asked: float) -> float:
        """A wait that somebody else asked for, lengthened: others were told the same in the same moment."""
        return asked + max(asked / 2, _LEAST_SPREAD) * self._chance()
