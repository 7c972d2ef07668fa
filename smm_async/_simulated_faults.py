"""What can go wrong between a client and a simulated panel, as data."""

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from attrs import define, field, frozen

from smm_async._simulated_requests import Answer, ReceivedRequest, json_answer

_CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Checking</body></html>"
_ACTIONS_WITH_ROWS = frozenset({"services", "products"})
_EMPTY = Answer(200, (), b"")

Delivery = Literal["whole", "refused", "stalled", "cut", "lost"]
"""How the answer travels: complete, no connection, never, the first bytes only, or not at all."""


@frozen(kw_only=True)
class Fault:
    """What happens to one request; made by the constructors below, queued with `SimulatedPanel.fault`.

    `executed` says whether the panel does what it was asked before things go wrong. Every request that a fault
    meets is counted, but for `refuse`. Over a socket an ASGI server has always accepted the connection and sends
    the head before the body: there `refuse` becomes the server's own 500, and `lost_answer` a head without a body.
    """

    name: str
    """The constructor's name."""
    executed: bool
    """Whether the action is carried out."""
    delivery: Delivery = "whole"
    """How the answer travels."""
    first_bytes: int = 0
    """How many bytes of the body arrive, if `delivery` is `"cut"`."""
    delay: float = 0.0
    """Seconds beyond the panel's latency."""
    answer: Answer | None = None
    """Sent in place of the panel's own answer."""
    without_ids: frozenset[str] = frozenset()
    """Ids whose rows are left out."""
    without_last: int = 0
    """How many rows are left out at the end."""
    is_reversed: bool = False
    """Whether the rows come in the opposite order."""
    scope: Literal["all", "rows", "plural"] = "all"
    """Which requests it meets: all, those answered with rows, or only those with several ids."""

    @classmethod
    def refuse(cls) -> "Fault":
        """Refuse the connection: `httpx.ConnectError`, nothing is executed and nothing counted."""
        return cls(name="refuse", executed=False, delivery="refused")

    @classmethod
    def stall(cls, *, executed: bool = False) -> "Fault":
        """Never answer, until the client gives up."""
        return cls(name="stall", executed=executed, delivery="stalled")

    @classmethod
    def late(cls, delay: float) -> "Fault":
        """Execute at once, and answer `delay` seconds later than usual."""
        return cls(name="late", executed=True, delay=delay)

    @classmethod
    def cut(cls, first_bytes: int = 0) -> "Fault":
        """Execute, announce the whole body, send its first bytes: `httpx.ReadError` while it is read."""
        return cls(name="cut", executed=True, delivery="cut", first_bytes=first_bytes)

    @classmethod
    def lost_answer(cls, *, executed: bool = True) -> "Fault":
        """Drop the connection before the answer: `httpx.ReadError`."""
        return cls(name="lost_answer", executed=executed, delivery="lost")

    @classmethod
    def raw(
        cls,
        body: bytes | str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        executed: bool = False,
    ) -> "Fault":
        """Answer with this status and body verbatim; without `headers` the type is JSON."""
        lines = {"content-type": "application/json"} if headers is None else headers
        content = body.encode() if isinstance(body, str) else body
        answer = Answer(status, tuple((name.lower(), value) for name, value in lines.items()), content)
        return cls(name="raw", executed=executed, answer=answer)

    @classmethod
    def html(cls, status: int = 403, *, body: bytes = _CHALLENGE, executed: bool = False) -> "Fault":
        """Answer with a web page, as a firewall, a login or a maintenance page does, with any status."""
        answer = Answer(status, (("content-type", "text/html; charset=UTF-8"),), body)
        return cls(name="html", executed=executed, answer=answer)

    @classmethod
    def error(cls, text: str, *, status: int = 200, executed: bool = False) -> "Fault":
        """Answer `{"error": text}`, with any status."""
        return cls(name="error", executed=executed, answer=json_answer({"error": text}, status=status))

    @classmethod
    def rate_limited(
        cls, retry_after: float | str | None = None, *, status: int = 429, text: str = "Too many requests"
    ) -> "Fault":
        """Answer that there were too many requests; `retry_after` in seconds or as an HTTP date becomes a header."""
        headers = () if retry_after is None else (("retry-after", str(retry_after)),)
        answer = json_answer({"error": text}, status=status, headers=headers)
        return cls(name="rate_limited", executed=False, answer=answer)

    @classmethod
    def server_error(cls, status: int = 500, *, text: str = "Internal server error", executed: bool = False) -> "Fault":
        """Answer with a 5xx and `{"error": text}`, before or after executing."""
        return cls(name="server_error", executed=executed, answer=json_answer({"error": text}, status=status))

    @classmethod
    def rows_left_out(cls, *ids: str | int, last: int = 0) -> "Fault":
        """Leave out the rows of these ids, and the last rows; meets plural requests and catalogues."""
        return cls(
            name="rows_left_out",
            executed=True,
            without_ids=frozenset(map(str, ids)),
            without_last=last,
            scope="rows",
        )

    @classmethod
    def reordered(cls) -> "Fault":
        """Answer with the rows in the opposite order; meets plural requests and catalogues."""
        return cls(name="reordered", executed=True, is_reversed=True, scope="rows")

    @classmethod
    def batch_error(cls, text: str = "Incorrect request", *, status: int = 200) -> "Fault":
        """Refuse every plural request as a whole, executing nothing; single ones pass."""
        answer = json_answer({"error": text}, status=status)
        return cls(name="batch_error", executed=False, answer=answer, scope="plural")

    def meets(self, request: ReceivedRequest) -> bool:
        """Return whether it can happen to this request."""
        if self.scope == "all" or request.is_plural:
            return True
        return self.scope == "rows" and request.action in _ACTIONS_WITH_ROWS

    def change(self, answer: Answer | None) -> Answer:
        """Return what is sent for the panel's own answer, which is None if nothing was executed."""
        if self.answer is not None:
            return self.answer
        if answer is None:
            return _EMPTY
        return self._with_other_rows(answer) if self.scope == "rows" else answer

    def _with_other_rows(self, answer: Answer) -> Answer:
        value: Any = json.loads(answer.body)
        if isinstance(value, list):
            rows = cast("list[dict[str, Any]]", value)
            # The first field of a row is its id.
            keyed = [(str(next(iter(row.values()))), row) for row in rows]
            return json_answer([row for _, row in self._left_of(keyed)])
        by_id = cast("dict[str, Any]", value)
        if not all(isinstance(row, dict) for row in by_id.values()):
            # A refusal of the whole request has no rows.
            return answer
        return json_answer(dict(self._left_of(list(by_id.items()))))

    def _left_of(self, rows: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        left = [row for row in rows if row[0] not in self.without_ids]
        left = left[: max(0, len(left) - self.without_last)]
        return left[::-1] if self.is_reversed else left


NO_FAULT = Fault(name="none", executed=True)


@define
class _Queued:
    fault: Fault
    times: int | None
    action: str | None


@define(eq=False)
class FaultQueue:
    """The faults that wait for their requests, in the order they were queued."""

    _waiting: list[_Queued] = field(factory=list[_Queued])

    def put(self, fault: Fault, times: int | None, action: str | None) -> None:
        """Queue a fault for a number of requests (None: for ever), of one action or of any."""
        self._waiting.append(_Queued(fault, times, action))

    def clear(self) -> None:
        """Forget every fault."""
        self._waiting.clear()

    def take(self, request: ReceivedRequest) -> Fault:
        """Return the first fault that meets a request, used up once, or `NO_FAULT`."""
        for queued in self._waiting:
            if queued.action in {None, request.action} and queued.fault.meets(request):
                self._use(queued)
                return queued.fault
        return NO_FAULT

    def _use(self, queued: _Queued) -> None:
        if queued.times is None:
            return
        queued.times -= 1
        if queued.times == 0:
            self._waiting.remove(queued)
