"""What holds for the workers of all panels of a tracker."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from smm_async._poll import Poll
from smm_async._reports import Change, Observation

__all__ = ["Settings"]

_LOG: Final = logging.getLogger("smm_async")


@attrs.frozen(kw_only=True)
class Settings:
    """What a tracker was told."""

    poll: Poll
    lease: float
    ahead: float
    idle: float
    max_misses: int | None
    window: float
    """For how many seconds to try to record what was heard, before it is dropped: it was only read."""
    horizon: float
    """How many seconds ahead a turn may be reserved, so that its answer comes within the lease."""
    rng: random.Random
    observe: Callable[[Observation], object] | None
    publish: Callable[[Sequence[Change]], object]

    def report(self, observation: Observation) -> None:
        """Tell what observes the tracker, if anything does."""
        if self.observe is None:
            return
        try:
            self.observe(observation)
        except Exception:  # noqa: BLE001  looking must not change what is looked at
            _LOG.exception("What observes a tracker has failed.")
