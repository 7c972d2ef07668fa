"""A small storm over real processes: workers are killed and frozen, and a real database crashes under them."""

from pathlib import Path

import pytest

from tests.databases import import_postgres
from tests.tracking.storm import storm

pytestmark = pytest.mark.thorough


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to look into")
def test_every_end_is_recorded_once_in_a_storm():
    """Whatever falls over, every order ends, each end is recorded once, and reaches a consumer under one key.

    `python -m tests.tracking storm` does the same with very many orders, and counts wasted lookups, too.
    """
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    import_postgres()

    result = storm("postgres", orders=1500, workers=2, seed=199, lookups=4, crashes=1, scale=0.4)

    assert result.done["crashes of the database"] > 0
    assert result.done["workers frozen past the lease"] > 0
    assert result.done["workers that did not leave in order"] == 0
    assert result.orders == result.ended == result.recorded == result.distinct == result.delivered_distinct
