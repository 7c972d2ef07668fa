"""What happens around an order when its event loop is gone."""

import types

from smm_async._calls import Call
from smm_async._ledger import Ledger
from smm_async._wire import Question


class ForgetfulJournal:
    """A journal that says yes to everything and remembers what it was told."""

    evidence = False

    def __init__(self):
        self.told = []

    async def begin(self, ref, *_, **__):
        """Let the order go."""
        self.told.append(("begin", ref))

    async def finish(self, ref, *_, **__):
        """Remember the end."""
        self.told.append(("finish", ref))


@types.coroutine
def wait_for_ever():
    """Wait for something that never comes."""
    yield


def test_order_thrown_away_with_its_loop_stays_open():
    """Where nothing can be awaited any more, nothing is written down: the order stays open in the journal."""
    journal = ForgetfulJournal()
    question = Question("add", "https://panel.example/", b"", {"service": "1"})
    call = Call(question, waiter=None, is_write=True, budget=1.0)
    placing = Ledger(journal).place(call, "a", wait_for_ever, None)

    placing.send(None)
    placing.close()

    assert journal.told == [("begin", "a")]
    assert call.ref == "a"
