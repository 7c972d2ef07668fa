"""What the tests of streams share: kinds of sources, and readers."""

import anyio.lowlevel
import pytest

from tests.coalescing import FakeFetch, values_of


def plain(keys):
    """Give the keys as an iterator gives them."""
    yield from keys


async def quick(keys):
    """Give the keys without ever waiting."""
    for key in keys:
        yield key


async def slow(keys):
    """Give each key after a pass of the loop."""
    for key in keys:
        await anyio.lowlevel.checkpoint()
        yield key


SOURCES = {"plain": plain, "quick": quick, "slow": slow}


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


@pytest.fixture(params=SOURCES)
def make_source(request):
    """Give what makes a source of some keys."""
    return SOURCES[request.param]


class Source:
    """An async source that is no generator; it keeps what was taken, and waits for more after the last key."""

    def __init__(self, keys):
        self.keys = iter(keys)
        self.taken = []
        self.is_closed = False
        self.more = anyio.Event()

    def __aiter__(self):
        """Return itself."""
        return self

    async def __anext__(self):
        """Return the next key."""
        for key in self.keys:
            self.taken.append(key)
            return key
        await self.more.wait()
        raise StopAsyncIteration

    async def aclose(self):
        """Note that somebody closed it."""
        self.is_closed = True


async def read_all(coalescer, source, pairs=None):
    """Return all pairs of a stream, in the order they came; they can be watched while they come."""
    pairs = [] if pairs is None else pairs
    async with coalescer.stream(source) as results:
        await extend(pairs, results)
    return pairs


async def extend(pairs, results):
    """Add what is left of a stream; where it fails, or is cancelled, the pairs until then are kept."""
    async for pair in results:
        pairs.append(pair)


async def read_until_error(coalescer, source, pairs, kind=Exception):
    """Keep the pairs of a stream until it raises, and return what it raised."""
    try:
        await read_all(coalescer, source, pairs)
    except kind as error:
        return error
    return None


def pairs_of(keys):
    """Return what a stream yields for these keys, if all goes well and in order."""
    return list(values_of(keys).items())


def is_at_rest(coalescer):
    """Return whether nobody waits, nothing is on its way, and no stream is known."""
    return not coalescer._queue and not coalescer._in_flight and not coalescer._streams
