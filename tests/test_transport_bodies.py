"""What becomes of an answer before anybody reads it: caps, one bounded gzip, and the few headers that count."""

import gzip
import tracemalloc
import zlib

import anyio
import anyio.lowlevel
import httpx
import pytest

import smm_async as smm
from smm_async._responses import Content
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.scripted_transport import Drip, ScriptedTransport, answer, streamed
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

KEY = "simulated-key"
PANEL = smm.Panel("https://panel.example/api/v2")


async def send(*acts, limit=1000):
    """Return what becomes of one question that is answered by the first of ``acts``."""
    transport = Transport(PANEL, Secret(KEY), ScriptedTransport(*acts))
    return await transport.send(ask(PANEL, "balance"), limit=limit)


def zipped(content, **headers):
    return answer(gzip.compress(content), content_encoding="gzip", **headers)


class Parts(httpx.AsyncByteStream):
    """A body in pieces, which counts how many were taken."""

    def __init__(self, *parts):
        self._parts = parts
        self.taken = 0

    async def __aiter__(self):
        for part in self._parts:
            self.taken += 1
            await anyio.lowlevel.checkpoint()
            yield part


def in_parts(parts, **headers):
    async def act():
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return httpx.Response(200, stream=parts, headers=named)

    return act


@pytest.mark.parametrize("coding", [None, "", "identity", "Identity ", "gzip", "GZIP", "x-gzip"])
async def test_body_in_a_known_coding_is_read(coding):
    """Plain bodies and gzip are read, by whichever of their names."""
    content = b'{"balance":"1"}'
    headers = {} if coding is None else {"content_encoding": coding}
    body = gzip.compress(content) if coding and "gzip" in coding.lower() else content

    reply = await send(answer(body, 207, **headers))

    assert (reply.status_code, reply.body) == (207, content)


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "compress", "gzip, gzip", "gzip,identity", "aws-chunked"])
async def test_body_in_another_coding_is_refused(coding):
    """A coding that was not asked for is refused before a byte of the body is read."""
    parts = Parts(b"x")

    with pytest.raises(smm.BadReplyError, match="not asked for") as caught:
        await send(in_parts(parts, content_encoding=coding))

    assert (caught.value.action, caught.value.status_code, caught.value.text) == ("balance", 200, "")
    assert parts.taken == 0


async def test_several_coding_headers_are_refused():
    """Two headers with one coding each are two codings."""

    async def act():
        return httpx.Response(200, content=b"", headers=[("Content-Encoding", "gzip"), ("Content-Encoding", "gzip")])

    with pytest.raises(smm.BadReplyError, match="not asked for"):
        await send(act)


@pytest.mark.parametrize("make", [answer, zipped], ids=["plain", "gzip"])
async def test_body_at_its_cap_is_read_and_above_it_refused(make):
    """A body may have as many bytes as its cap, not one more."""
    assert len((await send(make(b"x" * 1000))).body) == 1000

    with pytest.raises(smm.BadReplyError, match="larger than 1000 bytes"):
        await send(make(b"x" * 1001))


async def test_plain_body_above_its_cap_is_not_read_on():
    """Of an endless body no more is read than it takes to refuse it, and its connection is given up."""
    parts = Parts(*[b"x" * 400] * 1000)

    with pytest.raises(smm.BadReplyError, match="larger than 1000 bytes"):
        await send(in_parts(parts))

    assert parts.taken <= 4


async def test_body_that_is_endless_and_never_waits_is_refused():
    """A transport that cannot be cancelled does not hold up the loop either."""

    class AtOnce(httpx.AsyncByteStream):
        def __aiter__(self):
            return self

        async def __anext__(self):
            return b"x" * 400

    with pytest.raises(smm.BadReplyError, match="larger than 1000 bytes"):
        await send(in_parts(AtOnce()))


@pytest.fixture(scope="module")
def bomb():
    return gzip.compress(b"\0" * 2**26, 1)


@pytest.mark.parametrize("chunk", [1000, 100_000])
async def test_gzip_bomb_is_refused_with_little_memory(bomb, chunk):
    """A small body that would unpack to 64 MiB is refused after the cap, whatever pieces it comes in."""
    parts = Parts(*(bomb[start : start + chunk] for start in range(0, len(bomb), chunk)))

    tracemalloc.start()
    with pytest.raises(smm.BadReplyError, match="larger than 100000 bytes"):
        await send(in_parts(parts, content_encoding="gzip"), limit=100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2**21
    assert parts.taken <= 3


PACKED = gzip.compress(b"1", mtime=0)
# What a compressor writes when it is flushed and there is nothing to write.
EMPTY_BLOCKS = zlib.compressobj(wbits=-15).flush(zlib.Z_SYNC_FLUSH) * 80


@pytest.mark.parametrize(
    ("start", "endless"),
    [(PACKED[:10], EMPTY_BLOCKS), (PACKED, b"\0" * 400), (PACKED, PACKED * 20)],
    ids=["empty_blocks", "zeros", "more_gzip"],
)
async def test_packed_body_above_its_cap_is_refused_even_if_nothing_comes_out(start, endless):
    """The cap holds for the packed bytes too, also for those after the end of the packed content."""
    parts = Parts(start, *[endless] * 1000)

    with pytest.raises(smm.BadReplyError, match="larger than 1000 bytes"):
        await send(in_parts(parts, content_encoding="gzip"))

    assert parts.taken <= 5


def test_packed_body_with_a_trailer_keeps_nothing_of_it():
    """What follows the end of the packed content takes no memory."""
    content = Content(10_000, is_packed=True)

    for chunk in (PACKED, b"\0" * 4000, b"\0" * 4000):
        content.take(chunk)

    assert bytes(content.unpacked) == b"1"
    assert content.complaint is None
    assert content._gzip is not None
    assert content._gzip.unused_data == b""


@pytest.mark.parametrize("body", [b"no gzip", PACKED[:10] + b"\xff" * 20, PACKED[:-8] + b"\0" * 8], ids=range(3))
async def test_broken_gzip_is_a_bad_reply(body):
    """What says that it is gzip and is not, or is broken, is no answer that could be used."""
    with pytest.raises(smm.BadReplyError, match="not the gzip that it claims"):
        await send(answer(body, content_encoding="gzip"))


@pytest.mark.parametrize("left", [1, 8, 9, 12])
async def test_gzip_cut_short_is_a_bad_reply(left):
    """A packed body without its end is refused: what came out of it may be cut in the middle of a number."""
    with pytest.raises(smm.BadReplyError, match="cut short"):
        await send(answer(gzip.compress(b'{"balance": "100.84"}')[:-left], content_encoding="gzip"))


async def test_gzip_that_goes_on_is_a_bad_reply():
    """A second packed body behind the first may be the rest of a number."""
    with pytest.raises(smm.BadReplyError, match="something follows its gzip"):
        await send(answer(PACKED + PACKED, content_encoding="gzip"))


async def test_gzip_in_single_bytes_is_read():
    """A packed body may come in any pieces."""
    packed = gzip.compress(b'{"balance":"1"}')

    reply = await send(in_parts(Parts(*(packed[i : i + 1] for i in range(len(packed)))), content_encoding="gzip"))

    assert reply.body == b'{"balance":"1"}'


async def test_empty_body_that_claims_to_be_packed_is_empty():
    """Servers leave the header on answers without a body."""
    assert (await send(answer(b"", 204, content_encoding="gzip"))).body == b""


@pytest.mark.parametrize(("count", "is_fine"), [(100, True), (101, False), (5000, False)])
async def test_headers_are_at_most_one_hundred(count, is_fine):
    """An answer with more than 100 headers is refused before its body is read."""
    parts = Parts(b"{}")

    async def act():
        return httpx.Response(200, stream=parts, headers=[(f"X-{n % 7}", "1") for n in range(count)])

    if is_fine:
        assert (await send(act)).body == b"{}"
    else:
        with pytest.raises(smm.BadReplyError, match="more than 100 headers"):
            await send(act)
        assert parts.taken == 0


@pytest.mark.parametrize(
    ("call", "cap"),
    [
        (lambda client: client.balance(), 16 * 1024),
        (lambda client: client.status(1), 256 * 1024),
        (lambda client: client.call("anything"), 256 * 1024),
        (lambda client: client.add(smm.orders.Default(service=1, link="x", quantity=1)), 256 * 1024),
    ],
    ids=["balance", "status", "call", "add"],
)
async def test_each_action_has_its_cap(call, cap):
    """Each action's answer has a cap of its own; a write whose answer is too large may have happened."""
    transport = ScriptedTransport(answer(b" " * (cap + 1)))

    async with smm.Client(PANEL, key=KEY, transport=transport) as client:
        with pytest.raises((smm.BadReplyError, smm.OutcomeUnknownError), match=f"larger than {cap} bytes"):
            await call(client)

    assert len(transport.requests) == 1


async def test_catalogue_has_the_largest_cap():
    """The catalogue may have 16 MiB."""
    transport = ScriptedTransport(answer(b" " * (16 * 2**20 + 1)))

    async with smm.Client(PANEL, key=KEY, transport=transport) as client:
        with pytest.raises(smm.BadReplyError, match=f"larger than {16 * 2**20} bytes"):
            await client.services()


async def test_drip_ends_at_the_budget():
    """A body that comes byte by byte does not outlast the call's budget."""
    transport = ScriptedTransport(streamed(Drip(b" ", 10_000, 0.2)))
    started = anyio.current_time()

    async with smm.Client(PANEL, key=KEY, transport=transport, budget=5.0) as client:
        with pytest.raises(smm.NoAnswerError):
            await client.balance()
        assert anyio.current_time() - started == pytest.approx(5.0, abs=0.01)

    assert transport.open == 0
