"""A share of the day that `python -m tests.simulation day` simulates with a hundred thousand orders."""

import pytest

from tests.simulation.loops import BACKENDS

pytestmark = pytest.mark.thorough


@pytest.mark.parametrize("backend", BACKENDS)
def test_day_of_watching(backend):
    """Every end is seen, once and in time, with few lookups, and no minute is a burst."""
    pytest.importorskip("resource")
    from tests.simulation.day import simulate_day  # noqa: PLC0415  it needs `resource`

    day = simulate_day(backend, 1000)

    # Those of the last minutes may be seen after midnight.
    assert day.ended - 15 <= day.seen <= day.ended
    assert 50 < day.lookups_per_order < 150
    assert day.most_per_order < 300
    assert day.ids_per_request > 20
    assert day.busiest_minute < 60
    assert min(day.delays) > 0
    assert max(day.delays) < 1.25 * 900
    assert sorted(day.shares)[int(0.95 * len(day.shares))] < 0.1
    assert dict(day.rows())["orders"] == "1,000"
