"""Each waiter's own error: what a copy keeps, and what it does not share."""

import pytest

from smm_async._tickets import own_copy
from smm_async.errors import RateLimitedError


class FormattingError(Exception):
    """Makes its message of its arguments, as many do."""

    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code


class PickyError(Exception):
    """Cannot be copied."""

    def __init__(self, *, code):
        super().__init__(f"code {code}")


class ChangingError(Exception):
    """Becomes something else when copied."""

    def __copy__(self):
        return ValueError("changed")


def length_of(traceback):
    """Return how many frames a traceback names."""
    count = 0
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


def raised(error, cause=None):
    """Return ``error`` with the frames it was raised in."""
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_own_error_of_this_library_has_no_past():
    """An error of this library is copied with what it says, and without the frames that know the panel's answer."""
    error = raised(RateLimitedError("Slow down.", action="status", status_code=429, text="slow", retryable=False))
    error.retry_after = 7.0

    mine = own_copy(error)

    assert mine is not error
    assert type(mine) is RateLimitedError
    assert vars(mine) == vars(error)
    assert str(mine) == "Slow down."
    assert mine.__traceback__ is None
    assert mine.__cause__ is None


def test_own_error_of_others_keeps_its_past():
    """A foreign error keeps its traceback, its cause and its notes, for they tell what happened."""
    cause = OSError("the cable")
    error = raised(KeyError("foreign"), cause)
    error.add_note("seen at noon")

    mine = own_copy(error)

    assert mine is not error
    assert mine.args == ("foreign",)
    assert mine.__traceback__ is error.__traceback__
    assert mine.__cause__ is cause
    assert mine.__suppress_context__
    assert mine.__notes__ == ["seen at noon"]


def test_own_error_keeps_its_context():
    """What was being handled when a foreign error was raised stays known."""
    error = KeyError("foreign")
    error.__context__ = OSError("the cable")

    mine = own_copy(error)

    assert mine.__context__ is error.__context__
    assert not mine.__suppress_context__


def test_notes_are_everybodys_own():
    """A note that one caller adds to its error is not in another's."""
    error = KeyError("foreign")
    error.add_note("ours")
    mine, yours = own_copy(error), own_copy(error)

    mine.add_note("mine")

    assert yours.__notes__ == error.__notes__ == ["ours"]


def test_tracebacks_are_everybodys_own():
    """A traceback does not grow by what other callers do with their copies."""
    error = raised(KeyError("foreign"))
    copies = [own_copy(error) for _ in range(10)]

    for one in copies:
        raised(one)

    assert [length_of(one.__traceback__) for one in copies] == [2] * 10
    assert length_of(error.__traceback__) == 1


def test_error_that_makes_its_own_message():
    """A foreign error whose class makes the message says the same in each copy."""
    mine = own_copy(FormattingError(5))

    assert str(mine) == "code 5"
    assert vars(mine) == {"code": 5}


@pytest.mark.parametrize("error", [PickyError(code=5), ChangingError("same")])
def test_error_that_cannot_be_copied(error):
    """A foreign error that cannot be copied faithfully is shared."""
    assert own_copy(error) is error


@pytest.mark.parametrize(
    "error",
    [
        OSError(2, "No such file", "a.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ExceptionGroup("two", [KeyError("a"), OSError("b")]),
        StopIteration(7),
        AssertionError(),
    ],
)
def test_errors_of_python_are_copied(error):
    """Python's own errors are copied with all they say."""
    mine = own_copy(error)

    assert mine is not error
    assert type(mine) is type(error)
    assert (str(mine), mine.args) == (str(error), error.args)
