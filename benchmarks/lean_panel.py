"""A panel that costs next to nothing, in a process of its own, so that only the client is measured.

``python -m benchmarks.lean_panel [CPU]`` prints the port it listens on. It answers each line of its input with what it
has counted since the last one, as JSON, and ends with its input. An address ``/150/0.3/api/v2`` is answered after 150 ms
on average, spread lognormally by 0.3; ``/api/v2`` at once.
"""

import asyncio
import functools
import json
import math
import os
import random
import subprocess
import sys
import threading

from benchmarks.baseline import make_row

try:
    import uvloop
except ImportError:
    uvloop = None

TAILS = {
    b"%02d" % number: b'":' + json.dumps(make_row(number), separators=(",", ":")).encode() for number in range(100)
}
"""What follows an id in an answer, by its last two digits."""
RANDOM = random.Random(1)


class Counts:
    def __init__(self):
        self.take()

    def take(self):
        """Return what was counted, and begin anew."""
        counted = dict(vars(self))
        self.requests = self.ids = self.most = 0
        return counted

    def add(self, ids):
        self.requests += 1
        self.ids += ids
        self.most = max(self.most, ids)


@functools.cache
def delay_in(path):
    """Return the average seconds and the spread that an address names."""
    words = path.decode().strip("/").split("/")
    return (float(words[0]) / 1000, float(words[1])) if len(words) > 2 else (0.0, 0.0)


def answer_to(body, counts):
    """Return the JSON about the ids in a form."""
    ids = body.rpartition(b"&order")[2].partition(b"=")[2].split(b"%2C")
    counts.add(len(ids))
    if len(ids) == 1:
        return TAILS[ids[0][-2:]][2:]
    return b'{"' + b',"'.join([id_ + TAILS[id_[-2:]] for id_ in ids]) + b"}"


class Connection(asyncio.Protocol):
    def __init__(self, counts):
        self._counts = counts
        self._loop = asyncio.get_running_loop()
        self._data = b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        if not blank or len(body) < (length := int(head.lower().partition(b"content-length:")[2].split(None, 1)[0])):
            return
        self._data = body[length:]
        content = answer_to(body[:length], self._counts)
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content)
        seconds, sigma = delay_in(head.split(b" ", 2)[1])
        if seconds:
            seconds = RANDOM.lognormvariate(math.log(seconds) - sigma**2 / 2, sigma)
            self._loop.call_later(seconds, self._transport.write, reply + content)
        else:
            self._transport.write(reply + content)


async def serve():
    counts, loop = Counts(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counts), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)

    def read_input():
        for _ in sys.stdin:
            print(json.dumps(counts.take()), flush=True)
        # Not at leisure: there may be connections that nobody closes.
        os._exit(0)

    threading.Thread(target=read_input, daemon=True).start()
    await asyncio.Event().wait()


class LeanPanel:
    """The panel, from the outside; used with ``with``."""

    def __init__(self, cpu=None):
        self._cpu = cpu

    def __enter__(self):
        command = [sys.executable, "-m", "benchmarks.lean_panel", *([] if self._cpu is None else [str(self._cpu)])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._port = int(self._process.stdout.readline())
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def url(self, seconds=0.0, sigma=0.0):
        """Return an address, which answers after as many seconds."""
        delay = f"/{seconds * 1000:g}/{sigma:g}" if seconds else ""
        return f"http://127.0.0.1:{self._port}{delay}/api/v2"

    def counts(self):
        """Return what was counted since this was asked for the last time: ``requests``, ``ids``, ``most`` at once."""
        print(file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def main():
    if len(sys.argv) > 1:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    (asyncio if uvloop is None else uvloop).run(serve())


if __name__ == "__main__":
    main()
