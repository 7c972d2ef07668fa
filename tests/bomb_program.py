"""Has a client read bodies that would fill the memory; run as a program by `test_hostile_bodies`.

Each line of the input is a job in JSON. Each is done in a process of its own, forked from this one, and answered with
one line: what came of it, and how far the peak of that process's memory rose meanwhile.
"""

import functools
import itertools
import json
import os
import resource
import sys
import zlib

import anyio
import anyio.lowlevel
import httpx

import smm_async as smm

MEBIBYTE = 2**20
ZEROS = bytes(MEBIBYTE)
PIECE = 64 * 1024
GZIP_START = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
CALLS = {
    "balance": lambda client: client.balance(),
    "statuses": lambda client: client.statuses([1, 2, 3]),
    "add": lambda client: client.add(ORDER),
    "services": lambda client: client.services(),
}


@functools.cache
def gzip_bomb(mebibytes):
    """Return what gzip makes of so many mebibytes of zeros, without having them."""
    compressor = zlib.compressobj(9, wbits=-15)
    block = compressor.compress(ZEROS) + compressor.flush(zlib.Z_FULL_FLUSH)
    check = functools.reduce(lambda known, _: zlib.crc32(ZEROS, known), range(mebibytes), 0)
    end = check.to_bytes(4, "little") + (mebibytes * MEBIBYTE % 2**32).to_bytes(4, "little")
    return GZIP_START + block * mebibytes + b"\x03\0" + end


def packed(content):
    """Return ``content`` packed by gzip."""
    compressor = zlib.compressobj(9, wbits=31)
    return compressor.compress(content) + compressor.flush()


def zstd_bomb(mebibytes):
    """Return a frame of Zstandard (RFC 8878) that is nothing but one byte again and again."""
    block = (MEBIBYTE // 8 << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd\0\x58" + block * (8 * mebibytes) + b"\x01\0\0"


def in_pieces(content):
    """Yield ``content`` as sockets do."""
    return (content[start : start + PIECE] for start in range(0, len(content), PIECE))


BOMBS = {
    "gzip": ("gzip", lambda: in_pieces(gzip_bomb(512))),
    "gzip of two gibibytes": ("gzip", lambda: in_pieces(gzip_bomb(2048))),
    "gzip at once": ("gzip", lambda: iter([gzip_bomb(512)])),
    "gzip in gzip": ("gzip", lambda: in_pieces(packed(gzip_bomb(512)))),
    "gzip in gzip, named twice": ("gzip, gzip", lambda: in_pieces(packed(gzip_bomb(512)))),
    "gzip of many members": ("gzip", lambda: in_pieces(packed(ZEROS) * 512)),
    "gzip of many short members": ("gzip", lambda: in_pieces(packed(b"[") * 100_000)),
    "gzip of empty blocks": ("gzip", lambda: itertools.chain([GZIP_START], itertools.repeat(b"\0\0\0\xff\xff" * 9999))),
    "gzip with an endless name": (
        "gzip",
        lambda: itertools.chain([b"\x1f\x8b\x08\x08\0\0\0\0\0\x03"], itertools.repeat(b"x" * PIECE)),
    ),
    "brotli": ("br", lambda: itertools.repeat(b"\xcf\xff\xff\x7f\xf8" * 9999)),
    "zstd": ("zstd", lambda: in_pieces(zstd_bomb(512))),
    "plain": (None, lambda: itertools.repeat(b" " * PIECE)),
    "plain in large pieces": (None, lambda: (b"[" * MEBIBYTE for _ in itertools.count())),
    "plain numbers": (None, lambda: itertools.chain([b"[1"], itertools.repeat(b",1" * 9999))),
    "called gzip": ("gzip", lambda: itertools.repeat(b" " * PIECE)),
}


class BombTransport(httpx.AsyncBaseTransport):
    """Answers with a small body at first, and then with a bomb."""

    def __init__(self, coding, pieces):
        self._headers = {} if coding is None else {"Content-Encoding": coding}
        self._pieces = pieces
        self.is_armed = False
        self.requests = 0
        self.taken = 0

    async def handle_async_request(self, request):
        async for _ in request.stream:
            pass
        if not self.is_armed:
            return httpx.Response(200, stream=httpx.ByteStream(packed(b"[]")), headers={"Content-Encoding": "gzip"})
        self.requests += 1
        return httpx.Response(200, stream=_Counted(self), headers=self._headers)


class _Counted(httpx.AsyncByteStream):
    def __init__(self, transport):
        self._transport = transport

    async def __aiter__(self):
        for piece in self._transport._pieces:
            self._transport.taken += len(piece)
            yield piece
            await anyio.lowlevel.checkpoint()


def peak_memory():
    """Return the most memory that this process has had, in MiB."""
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def fill_memory():
    """Take memory until the peak of this process rises, and return it: from then on, whatever is taken shows."""
    ballast, peak = [], peak_memory()
    while peak_memory() == peak:
        ballast.append(b"\1" * (MEBIBYTE // 4))
    return ballast


async def outcome_of(call, client):
    """Return the names of what a call makes of the answer."""
    try:
        value = await CALLS[call](client)
    except smm.SmmError as error:
        return [type(error).__name__]
    return sorted({type(one).__name__ for one in value.values()} if isinstance(value, dict) else {type(value).__name__})


async def read_bomb(call, coding, pieces):
    """Have one body read, and return what came of it."""
    transport = BombTransport(coding, pieces)
    async with smm.Client("https://panel.example/", key="simulated-key", transport=transport) as client:
        await outcome_of(call, client)
        transport.is_armed = True
        ballast, before = fill_memory(), peak_memory()
        outcome = await outcome_of(call, client)
        grown = peak_memory() - before
    del ballast
    return {"outcome": outcome, "grown": grown, "requests": transport.requests, "taken": transport.taken}


def main():
    """Fork a process for each job."""
    for line in sys.stdin:
        job = json.loads(line)
        coding, make = BOMBS[job["bomb"]]
        pieces = make()
        child = os.fork()
        if child == 0:
            print(json.dumps(anyio.run(read_bomb, job["call"], coding, pieces, backend=job["backend"])), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        anyio.run(anyio.sleep, 0, backend=backend)
    main()
