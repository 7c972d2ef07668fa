"""Why a request was sent."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["Reason"]


class Reason(enum.Enum):
    """Why a request was sent, and not sooner or later."""

    IDLE = "idle"
    """Nothing like it was on its way, so there was nothing to wait for."""
    FULL = "full"
    """As many ids waited as one request may hold."""
    PACED = "paced"
    """A slot was free, and response time / slots had passed since the last request."""
    LINGERED = "lingered"
    """``max_delay`` had passed since the first of its lookups came."""
    FOLLOW_UP = "follow_up"
    """A batch's answer said nothing about this id, so it was asked for alone."""
    REPEATED = "repeated"
    """The attempt before had failed in a way that passes."""
    SPLIT = "split"
    """A larger request was not answered as a whole, so this asks for a part of it."""
    UNMERGED = "unmerged"
    """It is a read that is not merged."""
    WRITE = "write"
    """It is a write, which goes by itself."""

    @property
    def is_batch(self) -> bool:
        """Whether such a request takes lookups from the queue; others ask again, or have none."""
        return self in _BATCHES


_BATCHES: Final = frozenset({Reason.IDLE, Reason.FULL, Reason.PACED, Reason.LINGERED})
