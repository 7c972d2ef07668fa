"""A panel that answers with what it is given, and remembers what it was asked."""

import contextlib
import json
from collections import deque
from urllib.parse import parse_qsl

import anyio
import httpx

import smm_async as smm

KEY = "simulated-key-of-somebody"
URL = "https://panel.example/api/v2"


def reply(body, status_code=200, content_type="application/json", **headers):
    """Return a response with a JSON value, or with bytes or a text as they are, as its body."""
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return httpx.Response(status_code, content=content, headers={"content-type": content_type} | headers)


class CannedPanel(httpx.MockTransport):
    """Answers the first requests with ``replies``, one each, and all later ones with what ``single`` says of a form."""

    def __init__(self, *replies, single=lambda form: reply({"error": "Incorrect order ID"})):
        super().__init__(self._answer)
        self._replies = deque(replies)
        self._single = single
        self.forms = []
        """What each request asked for, without the key."""

    def _answer(self, request):
        form = dict(parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True))
        assert form.pop("key") == KEY
        self.forms.append(form)
        return self._replies.popleft() if self._replies else self._single(form)

    def client(self, panel=URL, **options):
        """Return a client of this panel."""
        return smm.Client(panel, key=KEY, transport=self, **options)


async def outcome_of(call, *args):
    """Return what a call returns, or the error it raises."""
    try:
        return await call(*args)
    except smm.SmmError as error:
        return error


async def all_at_once(call, ids):
    """Return what ``call`` returns or raises for each id, each asked from a task of its own."""
    results = {}

    async def one(id_):
        results[id_] = await outcome_of(call, id_)

    async with anyio.create_task_group() as tasks:
        for id_ in ids:
            tasks.start_soon(one, id_)
    return results


@contextlib.asynccontextmanager
async def asking(*replies, **options):
    """Yield a canned panel and a client of it."""
    panel = CannedPanel(*replies, **options)
    async with panel.client() as client:
        yield panel, client


async def ask(page, body, name, *args, single=None):
    """Return what a call makes of a printed example, and the forms that were sent."""
    panel = CannedPanel(reply(body), **({"single": single} if single else {}))
    async with panel.client(page) as client:
        call = getattr(client, name)
        if args and isinstance(args[0], list):
            value = await all_at_once(call, args[0])
        else:
            value = await outcome_of(call, *args)
    return value, panel.forms
