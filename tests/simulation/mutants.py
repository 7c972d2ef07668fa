"""Bugs to plant in the package, and the violation that each must be found by.

A mutant is a change to the source text, made while the package is imported: by a process of its own, which then hunts
for it. Nothing on the disk changes. Each text to be replaced must stand exactly once in its module, so that a mutant that
has become meaningless fails loudly.
"""

import importlib.abc
import importlib.machinery
import sys
from pathlib import Path

import attrs


@attrs.frozen
class Mutant:
    """One planted bug."""

    name: str
    expected: str
    """How the violation begins that tells of it."""
    module: str
    changes: tuple[tuple[str, str], ...]


def _mutant(name, expected, module, *changes):
    return Mutant(name, expected, f"smm_async.{module}", tuple(zip(changes[::2], changes[1::2], strict=True)))


MUTANTS = (
    # Who waits for what.
    _mutant(
        "asks for who has left",
        "I4",
        "_tickets",
        "        return entry[0] if is_there else None\n",
        "        return entry[0]\n",
        "(ticket[0] for ticket in entry.values() if is_open(ticket, key))",
        "(ticket[0] for ticket in entry.values())",
    ),
    _mutant(
        "takes before the gate",
        "I4",
        "_coalesce",
        "            async with self._gate:\n                batch = self._take(loop)\n",
        "            batch = self._take(loop)\n            async with self._gate:\n",
    ),
    _mutant(
        "sends what its caller gave up",
        "I4",
        "_calls",
        "                one.departure.stop()\n",
        "",
        "if not call.is_wanted or call.waiter.done():",
        "if False:",
    ),
    _mutant(
        "newer caller displaces the older",
        "I13",
        "_tickets",
        "            self._waiting[key] = {id(entry): entry, id(ticket): ticket}\n",
        "            self._waiting[key] = ticket\n",
    ),
    _mutant(
        "list displaces the older callers",
        "I13",
        "_tickets",
        "        shared = self._waiting.keys() & keys.keys()\n",
        "        shared = set()\n",
    ),
    _mutant(
        "asked alone for the first caller only",
        "I13",
        "_tickets",
        "            self._alone.append((key, tickets))",
        "            self._alone.append((key, dict(list(tickets.items())[:1])))",
    ),
    _mutant(
        "joins what is on its way",
        "I2",
        "_coalesce",
        "        self._queue.join(ticket)\n",
        "        for batch in self._in_flight:\n"
        "            if key in batch.entries:\n"
        "                entry = batch.entries[key]\n"
        "                entry = entry if isinstance(entry, dict) else {id(entry): entry}\n"
        "                batch.entries[key] = {**entry, id(ticket): ticket}\n"
        "                return ticket\n"
        "        self._queue.join(ticket)\n",
    ),
    _mutant(
        "shares one exception object",
        "I1 two callers",
        "_tickets",
        "answer(ticket, key, own_copy(result))",
        "answer(ticket, key, result)",
    ),
    _mutant(
        "wakes a list too early",
        "I1 statuses",
        "_tickets",
        "len(self.open) <= self._enough:",
        "len(self.open) <= self._enough + 1:",
    ),
    _mutant("list takes what others asked for", "I13", "_tickets", "None if is_mixed else last", "last"),
    _mutant(
        "forgets the unasked of a list",
        "I1 statuses",
        "_coalesce",
        "            _share_out(crowd.stop, results)",
        "            pass",
    ),
    _mutant(
        "leader takes all down",
        "I13",
        "_coalesce",
        "            self._queue.leave(ticket, key)\n            raise\n        if",
        "            self._queue.leave(ticket, key)\n"
        "            for batch in self._in_flight:\n"
        "                if (key, ticket) in batch.places():\n"
        "                    self._fail(batch, NoAnswerError('gone'))\n"
        "            raise\n        if",
    ),
    _mutant(
        "swallows a cancellation",
        "I8",
        "_coalesce",
        "            self._queue.leave(ticket, key)\n            raise\n        if",
        "            self._queue.leave(ticket, key)\n            raise NoAnswerError('gone')\n        if",
    ),
    # Streams.
    _mutant(
        "slow reader does not slow the asking",
        "I11",
        "_stream",
        "islice(self._ids, max(0, self._most - self._taken))",
        "islice(self._ids, self._most)",
    ),
    _mutant(
        "async source gives one too many",
        "I11",
        "_async_stream",
        "self._has_ended or self._granted <= 0",
        "self._has_ended or self._granted < 0",
    ),
    _mutant(
        "left stream goes on asking",
        "I4",
        "_stream",
        "        self._has_left = self._has_ended = True\n        self._take_back()\n",
        "        self._has_left = self._has_ended = True\n",
        "in (self.open, self._own, self._ready, self._aside):",
        "in (self._ready, self._aside):",
    ),
    _mutant(
        "cancelled reader goes on asking", "I4", "_coalesce", "if stream.open and stream.is_deserted:", "if False:"
    ),
    _mutant(
        "cancelled wait loses ids",
        "I1",
        "_stream",
        "        self._aside.extend(self._take_back())\n",
        "        self._take_back()\n",
    ),
    _mutant(
        "stream ends with its source",
        "I1 stream",
        "_stream",
        "if self._has_ended and not self.open:",
        "if self._has_ended:",
    ),
    _mutant(
        "source of a left stream stays open",
        "I14",
        "_async_stream",
        "                await source.aclose()\n",
        "                pass\n",
    ),
    # Batches.
    _mutant("takes one too many", "I3", "_tickets", "len(entries) < size:", "len(entries) <= size:"),
    _mutant(
        "answers by place",
        "I2",
        "_coalesce",
        "            result = answers.get(key, _MISSING)\n",
        "            result = answers.get(key, _MISSING) and [*answers.values(), *answers.values()][[*batch.entries].index(key) % len(answers) - 1]\n",
    ),
    _mutant(
        "drops what is left out",
        "I13",
        "_coalesce",
        "                self._queue.ask_alone(key, entry)\n",
        "                pass\n",
    ),
    _mutant(
        "one bad id spoils the batch",
        "I13",
        "_exchange",
        "        if isinstance(answers, SmmError):\n            raise answers\n        return answers\n",
        "        for answer in [answers] if isinstance(answers, SmmError) else answers.values():\n            if isinstance(answer, SmmError):\n                raise answer\n        return answers\n",
    ),
    _mutant(
        "list leaves out its errors",
        "I1",
        "_client",
        "    if all(map(is_, own_ids, wire_ids)):\n",
        "    if False:\n",
        "for own, id_ in zip(own_ids, wire_ids, strict=True)}",
        "for own, id_ in zip(own_ids, wire_ids, strict=True) if not isinstance(found[id_], Exception)}",
    ),
    _mutant(
        "list answers by place",
        "I2",
        "_wire",
        "        id_ = id_in(action, row)\n        if id_ in wanted:",
        "        id_ = ids[len(rows) % len(ids)]\n        if id_ in wanted:",
    ),
    _mutant(
        "spreads a flat row",
        "I2",
        "_wire",
        "    if not rows and len(ids) == 1:\n        return _own_row(action, ids[0], value)\n",
        "    if not rows:\n        return {id_: row for one in ids for id_, row in _own_row(action, one, value).items()}\n",
    ),
    # Slots and time.
    _mutant(
        "lost wake-up",
        "I7",
        "_coalesce",
        "            if self._on_watch or not self._queue:\n",
        "            if True:\n",
        "            self._in_flight.add(batch)\n            self._rouse(loop)\n",
        "            self._in_flight.add(batch)\n",
    ),
    _mutant(
        "wakes one slot at most",
        "I7 after the storm 1 of",
        "_coalesce",
        "            self._in_flight.add(batch)\n            self._rouse(loop)\n",
        "            self._in_flight.add(batch)\n",
    ),
    _mutant(
        "slot leaks on a cancelled request",
        "I7",
        "_transport",
        "        if exc_type is not GeneratorExit:",
        "        if exc_type is None:",
    ),
    _mutant(
        "slot dies of an error",
        "I7",
        "_coalesce",
        "            self._fail(batch, error if isinstance(error, Exception) else _interrupted(error))\n",
        "            self._fail(batch, error if isinstance(error, Exception) else _interrupted(error))\n            await anyio.sleep_forever()\n",
    ),
    _mutant(
        "one request too many",
        "I11",
        "_transport",
        "        self._places = places\n",
        "        self._places = places + 1\n",
    ),
    _mutant(
        "requests without a deadline",
        "I11",
        "_coalesce",
        "anyio.CancelScope(deadline=batch.deadline)",
        "anyio.CancelScope()",
    ),
    _mutant(
        "no budget in the queue",
        "I12",
        "_tickets",
        "                if is_open(ticket, key):\n                    yield key, ticket",
        "                if False:\n                    yield key, ticket",
    ),
    _mutant(
        "budget of a call without its wait",
        "I12",
        "_calls",
        "            with anyio.CancelScope(deadline=deadline):\n                async with self._gate.at(call.question.action):\n",
        "            async with self._gate.at(call.question.action):\n                with anyio.CancelScope(deadline=deadline + call.budget):\n",
    ),
    _mutant("batch stays in flight", "I11", "_coalesce", "        self._in_flight.discard(batch)\n", ""),
    _mutant("ended calls are kept", "I11", "_calls", "        self._open.discard(call)\n", ""),
    _mutant(
        "body of an answer stays open",
        "I11",
        "_transport",
        "                finally:\n                    await response.aclose()\n",
        "                finally:\n                    pass\n",
    ),
    # Limits.
    _mutant(
        "one more in a window",
        "I15 more than",
        "_limits",
        "if len(self._left_at) > self._limit.requests:",
        "if len(self._left_at) > self._limit.requests + 1:",
        "len(self._left_at) < self._limit.requests:",
        "len(self._left_at) <= self._limit.requests:",
    ),
    _mutant(
        "repetitions do not wait for a turn",
        "I15",
        "_limits",
        "if not quota.is_free(now)]:",
        "if False]:",
    ),
    _mutant(
        "limit of an action puts out the one for all",
        "I15 more than",
        "_limits",
        "return [self._own[action], self._shared] if",
        "return [self._own[action]] if",
    ),
    _mutant(
        "goes on asking after 429",
        "I15 asked in a pause",
        "_limits",
        ".pause(anyio.current_time() + pause)",
        ".pause(0.0)",
    ),
    _mutant("turn is used for ever", "I15", "_limits", "        self._turns -= 1\n", ""),
    # Closing.
    _mutant(
        "closing forgets who is queued",
        "I6",
        "_coalesce",
        " for place in batch.places()] + self._queue.clear()",
        " for place in batch.places()]",
    ),
    _mutant(
        "closing forgets who is in flight",
        "I6",
        "_coalesce",
        "places = [place for batch in self._in_flight for place in batch.places()] + self._queue.clear()",
        "places = self._queue.clear()",
    ),
    _mutant(
        "closing tells nobody",
        "I6",
        "_host",
        "            self._closed = True\n            self._tell_end()\n",
        "            self._closed = True\n",
    ),
    _mutant(
        "closing leaves its tasks",
        "I6",
        "_host",
        "        if self.is_here and self._ended is not None:\n            self._ring()",
        "        if False:\n            self._ring()",
    ),
    _mutant(
        "closing waits for what hangs",
        "I6 closing took",
        "_calls",
        "        with anyio.move_on_after(self._grace):\n            while",
        "        if True:\n            while",
    ),
    _mutant(
        "closing has no grace time",
        "I13",
        "_calls",
        "        with anyio.move_on_after(self._grace):\n            while",
        "        with anyio.move_on_after(0):\n            while",
    ),
    _mutant(
        "busy closing has no grace time",
        "I13",
        "_host",
        "while not self._is_ending:",
        "while not self._closed:",
    ),
    _mutant(
        "closing is cut short",
        "I13",
        "_host",
        "        with anyio.CancelScope(shield=True):\n            try:\n                if before",
        "        with anyio.CancelScope():\n            try:\n                if before",
    ),
    _mutant(
        "closing leaves the transport",
        "I6 the transport",
        "_transport",
        "await _close(self._given)",
        "pass",
    ),
    _mutant(
        "exit swallows",
        "I6 the body",
        "_client",
        '        traceback: TracebackType | None,\n    ) -> None:\n        """Close it."""\n        await self.aclose()\n',
        '        traceback: TracebackType | None,\n    ) -> None:\n        """Close it."""\n        await self.aclose()\n        return True\n',
    ),
    _mutant(
        "a closed client goes on",
        "I6",
        "_host",
        "        if self._closed:\n            message",
        "        if self._closed and not self._loop:\n            message",
    ),
    # Money.
    _mutant(
        "sends a write again",
        "I5",
        "_exchange",
        "        except SmmError as error:\n            return unknown(question.action, error)\n        # What",
        "        except SmmError as error:\n"
        "            call.departure.may_have_left = False\n"
        "            reply = await self._transport.send_write(question, call.departure, limit=_BATCH)\n"
        "        # What",
    ),
    _mutant(
        "lost answer means no",
        "I10",
        "_exchange",
        "            return unknown(question.action, error)\n",
        "            return NotSentError('No.')\n",
    ),
    _mutant(
        "late answer means no",
        "I10",
        "_calls",
        '            return self._unknown(call, "no answer in time")\n',
        '            return NotSentError("No.")\n',
    ),
    _mutant(
        "unclear text means no",
        "I10",
        "_writes",
        "    return not is_any_text and not reader.refusals.is_unclear(refusal)",
        "    return True",
    ),
    _mutant(
        "answer without an id means yes",
        "I10",
        "_writes",
        "    return done if done is not None and is_yes else unknown(action, reader.bad_shape(action, reply))",
        "    return done or '1'",
    ),
    _mutant(
        "closing denies what was sent",
        "I10",
        "_calls",
        "            if not call.is_on_its_way:\n                call.departure",
        "            if True:\n                call.departure",
    ),
    _mutant(
        "late outcome is thrown away",
        "I10",
        "_calls",
        "        if call.is_write and call.departure.may_have_left and not call.is_wanted:\n            self._left_behind.append(call.as_unsettled())\n",
        "",
    ),
    _mutant(
        "all but one of several writes are forgotten",
        "I10",
        "_calls",
        "            for one in calls:\n                one.is_wanted = False",
        "            for one in calls[:1]:\n                one.is_wanted = False",
    ),
    _mutant(
        "clear no is unknown",
        "I13",
        "_writes",
        "    return not is_any_text and not reader.refusals.is_unclear(refusal)",
        "    return False",
    ),
    _mutant(
        "outcome of the same instant is thrown away",
        "I10",
        "_calls",
        "                    self._left_behind.append(one.as_unsettled())\n            raise",
        "                    pass\n            raise",
    ),
)


class _Planter(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    """Finds one module of the package where it is, and loads it with its change."""

    def __init__(self, mutant):
        self._mutant = mutant
        self._path = ""

    def find_spec(self, fullname, path=None, target=None):
        """Return where the module is, if it is the one to change."""
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        self._path = spec.origin
        return importlib.machinery.ModuleSpec(fullname, self, origin=spec.origin)

    def get_filename(self, fullname):
        """Return the module's file."""
        return self._path

    def get_data(self, path):
        """Return the changed source."""
        return mutate(Path(path).read_text("utf-8"), self._mutant).encode()


def mutate(source, mutant):
    """Return the source of a module with its bug.

    Raises:
        LookupError: the text to be replaced is not there, or not once.
    """
    for old, new in mutant.changes:
        if source.count(old) != 1:
            raise LookupError(f"{mutant.name!r}: its text stands {source.count(old)} times in {mutant.module}: {old!r}")
        source = source.replace(old, new)
    return source


def plant(name):
    """Have the package imported with one bug, and return the mutant. To be called before anything imports it."""
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    assert mutant.module not in sys.modules
    sys.meta_path.insert(0, _Planter(mutant))
    return mutant
