"""When an order is asked for again."""

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smm_async as smm

LOTS = st.floats(0, 1)
ANY_SILENCE = st.floats(-1e9, 1e12)


@st.composite
def polls(draw):
    """Draw any poll that is allowed."""
    shortest = draw(st.floats(0.01, 1e5))
    longest = draw(st.floats(shortest, 1e7))
    return smm.Poll(shortest=shortest, factor=draw(st.floats(1e-3, 10)), longest=longest)


@pytest.mark.parametrize(
    ("silence", "delay"), [(0, 15), (-100, 15), (150, 15), (151, 15.1), (7200, 720), (9000, 900), (1e6, 900)]
)
def test_delay_is_a_share_of_the_silence_between_bounds(silence, delay):
    """An order is asked for after a tenth of the time for which it has not moved, 15 to 900 seconds."""
    assert smm.Poll().next_delay(silence) == pytest.approx(delay)


@pytest.mark.parametrize(("lot", "delay"), [(0.0, 90.0), (0.5, 100.0), (1.0, 110.0)])
def test_delay_is_spread(lot, delay):
    """A random number moves the delay by up to a tenth."""
    poll = smm.Poll(shortest=1, factor=0.1, longest=1000)

    assert poll.next_delay(1000, lot=lot) == pytest.approx(delay)
    assert poll.delay_after_failures(0, 1000, lot=lot) == pytest.approx(delay)


@pytest.mark.parametrize(("failures", "delay"), [(0, 15), (1, 30), (2, 60), (5, 480), (6, 900), (10**9, 900)])
def test_failures_double_the_delay(failures, delay):
    """Each failure in a row doubles the delay, up to the longest."""
    assert smm.Poll().delay_after_failures(failures) == pytest.approx(delay)


def test_order_that_is_silent_for_long_is_not_asked_sooner_for_failing():
    """A failure makes no pause shorter than it would be without."""
    assert smm.Poll().delay_after_failures(1, 5000) == pytest.approx(500)


@given(polls(), ANY_SILENCE, LOTS, st.integers(0, 2000))
def test_delay_stays_within_its_bounds(poll, silence, lot, failures):
    """Whatever happens, the delay is between nine tenths of the shortest and eleven tenths of the longest."""
    delays = [poll.next_delay(silence, lot=lot), poll.delay_after_failures(failures, silence, lot=lot)]

    for delay in delays:
        assert 0.9 * poll.shortest * (1 - 1e-9) <= delay <= 1.1 * poll.longest * (1 + 1e-9)
    assert delays[0] <= delays[1]


@given(polls(), ANY_SILENCE, st.floats(0, 1e9))
def test_longer_silence_is_never_a_shorter_delay(poll, silence, more):
    """The delay only grows with the silence."""
    assert poll.next_delay(silence) <= poll.next_delay(silence + more)


@pytest.mark.parametrize("name", ["shortest", "factor", "longest"])
@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, "15", None])
def test_bad_number_is_refused(name, value):
    """What is no finite number above 0 is a `ValueError` that names it."""
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0"):
        smm.Poll(**{name: value})


def test_bounds_in_the_wrong_order_are_refused():
    """The longest pause is not shorter than the shortest; it may be as long."""
    with pytest.raises(ValueError, match="longest must be at least shortest, 60, not 30"):
        smm.Poll(shortest=60, longest=30)

    assert smm.Poll(shortest=60, longest=60).next_delay(1e6) == 60


def test_poll_is_a_value():
    """Polls with the same figures are equal, and cannot be changed."""
    poll = smm.Poll(shortest=5)

    assert poll == smm.Poll(shortest=5)
    assert hash(poll) == hash(smm.Poll(shortest=5))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        poll.shortest = 6
