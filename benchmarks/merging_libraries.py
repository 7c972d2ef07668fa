"""Libraries that merge concurrent calls into batches, each used as its documentation says, behind one small interface.

Each class is made with ``load``, which takes a list of keys and returns as many values, and with the largest batch and
the most batches in flight. It has ``get(key)`` to await. Those that can be closed have ``aclose()``, which is to be the
end for everybody at once, and ``drain()`` if those who wait may be served before.
"""

import importlib.metadata

import smm_async as smm

try:
    import aiodataloader
except ImportError:
    aiodataloader = None
try:
    import strawberry.dataloader as strawberry
except ImportError:
    strawberry = None
try:
    import async_batcher.batcher as async_batcher
except ImportError:
    async_batcher = None


class Ours:
    """The coalescer. It has no cache that would have to be turned off."""

    package, is_here = "smm_async", True
    closings = ("aclose",)

    def __init__(self, load, max_batch, max_in_flight):
        async def fetch(keys):
            return dict(zip(keys, await load(keys), strict=False))

        coalescer = smm.Coalescer(fetch, max_batch=max_batch, max_in_flight=max_in_flight)
        self.get = coalescer.get
        self.aclose = coalescer.aclose


class Aiodataloader:
    """Merges callers of one key by its cache, which is told to forget a key when it is loaded: no answer is old."""

    package, is_here = "aiodataloader", aiodataloader is not None
    closings = ()

    def __init__(self, load, max_batch, _):
        async def forget_and_load(keys):
            for key in keys:
                loader.clear(key)
            return await load(keys)

        loader = aiodataloader.DataLoader(forget_and_load, max_batch_size=max_batch)
        self.get = loader.load


class AiodataloaderUncached:
    """Asks for a key as often as it is called for."""

    package, is_here = "aiodataloader", aiodataloader is not None
    closings = ()

    def __init__(self, load, max_batch, _):
        self.get = aiodataloader.DataLoader(load, max_batch_size=max_batch, cache=False).load


class Strawberry:
    """Merges callers of one key by its cache, which is told to forget a key when it is loaded: no answer is old."""

    package, is_here = "strawberry-graphql", strawberry is not None
    closings = ()

    def __init__(self, load, max_batch, _):
        async def forget_and_load(keys):
            loader.clear_many(keys)
            return await load(keys)

        loader = strawberry.DataLoader(load_fn=forget_and_load, max_batch_size=max_batch)
        self.get = loader.load


class StrawberryUncached:
    """Asks for a key as often as it is called for."""

    package, is_here = "strawberry-graphql", strawberry is not None
    closings = ()

    def __init__(self, load, max_batch, _):
        self.get = strawberry.DataLoader(load_fn=load, max_batch_size=max_batch, cache=False).load


class AsyncBatcher:
    """Has no cache, and never looks whether two items are the same."""

    package, is_here = "async-batcher", async_batcher is not None
    closings = ("aclose", "drain")

    def __init__(self, load, max_batch, max_in_flight):
        class Batcher(async_batcher.AsyncBatcher):
            async def process_batch(self, batch):
                return await load(batch)

        self._batcher = Batcher(max_batch_size=max_batch, concurrency=max_in_flight)
        self.get = self._batcher.process
        self.drain = self._batcher.stop

    async def aclose(self):
        await self._batcher.stop(force=True)


LIBRARIES = {
    "ours": Ours,
    "aiodl": Aiodataloader,
    "aiodl-nc": AiodataloaderUncached,
    "strawb": Strawberry,
    "strawb-nc": StrawberryUncached,
    "batcher": AsyncBatcher,
}


def version_of(name):
    """Return the name and the installed version of a package."""
    return f"{name} {importlib.metadata.version(name)}"
