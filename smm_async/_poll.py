"""When to ask again for an order that goes on: the longer nothing has happened, the later."""

from __future__ import annotations

import math
from typing import Final

import attrs

__all__ = ["LAG", "Poll"]

LAG: Final = 600.0
"""For how many seconds "no such order" is taken for lag, unless somebody says otherwise."""
_JITTER: Final = 0.1


def _check(_: Poll, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        message = f"{attribute.name} must be a finite number above 0, not {value!r}."
        raise ValueError(message)


def _check_longest(poll: Poll, attribute: attrs.Attribute[float], value: float) -> None:
    _check(poll, attribute, value)
    if value < poll.shortest:
        message = f"longest must be at least shortest, {poll.shortest:g}, not {value!r}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class Poll:
    """How often an order is asked for: in proportion to how long it has stood where it stands, between bounds.

    With the default, an order that began two hours ago has been asked for about 50 times, and the end of one that took
    two hours is seen after six minutes on average: by 5 % of its life. Twice the factor is half the lookups.

    Raises:
        ValueError: a number that is not above 0, or bounds in the wrong order.
    """

    shortest: float = attrs.field(default=15.0, validator=_check)
    """Seconds between two lookups of an order that has just moved."""
    factor: float = attrs.field(default=0.10, validator=_check)
    """The share of its silence after which an order is asked for again."""
    longest: float = attrs.field(default=900.0, validator=_check_longest)
    """Seconds between two lookups of an order at most; a single pause may be a third longer, to share a request."""

    def next_delay(self, silence: float, *, lot: float = 0.5) -> float:
        """Return in how many seconds to ask for an order again, within 10 % of its share.

        Args:
            silence: seconds since it last moved. Below 0, where a clock was set back, counts as 0.
            lot: a random number from 0 to 1, so that orders do not stay in step; 0.5 is no deviation.
        """
        return self._spread(min(max(self.shortest, self.factor * silence), self.longest), lot)

    def delay_after_failures(self, failures: int, silence: float = 0.0, *, lot: float = 0.5) -> float:
        """Return in how many seconds to ask again after this many failures in a row: twice as long for each.

        It is at least what `next_delay()` says, and at most `longest`, within 10 %.
        """
        # No float holds two to the power of very many failures, and 64 are years.
        backoff = self.shortest * 2.0 ** min(failures, 64)
        return self._spread(min(max(backoff, self.factor * silence), self.longest), lot)

    def _spread(self, delay: float, lot: float) -> float:
        return delay * (1 + _JITTER * (2 * lot - 1))
