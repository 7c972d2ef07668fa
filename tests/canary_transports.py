"""Transports that show what they were given."""

import httpx

import smm_async as smm


class Telltale(httpx.AsyncBaseTransport):
    """Takes a request, and does with it, and with all that is in it, what it is told."""

    def __init__(self, act):
        self._act = act

    async def handle_async_request(self, request):
        body = b"".join([part async for part in request.stream])
        return self._act(f"{request.method} {request.url} {request.headers.raw} {body.decode()}", request)

    async def aclose(self):
        raise LookupError("It will not be closed.", self._act("", None))


def _raise(make_error):
    def act(text, request):
        error = make_error(text, request)
        error.add_note(text)
        raise error from KeyError(text, request)

    return act


class _Stream(httpx.AsyncByteStream):
    def __init__(self, text, *, ends_well):
        self._text = text
        self._ends_well = ends_well

    async def __aiter__(self):
        yield b"{"
        if not self._ends_well:
            raise LookupError(self._text)

    async def aclose(self):
        raise LookupError(self._text)


TELLTALES = {
    "read_error": _raise(lambda text, request: httpx.ReadError(text, request=request)),
    "connect_error": _raise(lambda text, request: httpx.ConnectError(text, request=request)),
    "bug": _raise(LookupError),
    "group": _raise(lambda text, request: ExceptionGroup(text, [LookupError(text, request), OSError(5, text)])),
    "error_of_ours": _raise(lambda text, request: smm.OutcomeUnknownError(text, text=text)),
    "no_response": lambda text, request: {"text": text},
    "broken_stream": lambda text, request: httpx.Response(200, stream=_Stream(text, ends_well=False)),
    "stream_that_is_not_closed": lambda text, request: httpx.Response(200, stream=_Stream(text, ends_well=True)),
}
