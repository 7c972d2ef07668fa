"""A panel in a process of its own, on plain sockets: an order ends at its k-th lookup, and is counted after that.

It writes its answers itself, since the simulated panel of the package would take more time than what is measured.
Run as ``python -m tests.tracking.panel LATENCY LOOKUPS``, it prints its port; a GET answers with the counters as JSON.
"""

import asyncio
import json
import signal
import sys
from urllib.parse import parse_qs

GOING = b'"%s":{"charge":"0.27819","start_count":"3572","status":"In progress","remains":"157","currency":"USD"}'
DONE = b'"%s":{"charge":"0.27819","start_count":"3572","status":"Completed","remains":"0","currency":"USD"}'


class Panel:
    """The books and the counters."""

    def __init__(self, latency, most_lookups):
        self.latency = latency
        self.most_lookups = most_lookups
        self.seen: dict[str, int] = {}
        self.requests = self.ids = self.late = self.ended = 0

    def answer(self, ids):
        """Return the answer to one request, and count it."""
        self.requests += 1
        self.ids += len(ids)
        rows = [(DONE if self._has_ended(id_) else GOING) % id_.encode() for id_ in ids]
        if len(ids) == 1:
            return rows[0].partition(b":")[2]
        return b"{%s}" % b",".join(rows)

    def _has_ended(self, id_):
        count = self.seen[id_] = self.seen.get(id_, 0) + 1
        last = 1 + hash_of(id_) % self.most_lookups
        self.late += count > last
        self.ended += count == last
        return count >= last

    def counters(self):
        """Return what was counted."""
        return {"requests": self.requests, "ids": self.ids, "late": self.late, "ended": self.ended}


def hash_of(id_):
    """Return a number that is the same in every process."""
    return (int(id_) * 2654435761 >> 7) & 0xFFFF


class Connection(asyncio.Protocol):
    """One connection: a request after the other."""

    def __init__(self, panel):
        self.panel = panel
        self.data = b""

    def connection_made(self, transport):
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data):
        """Answer each request that is whole."""
        self.data += data
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            body, self.data = rest[:length], rest[length:]
            self.serve(head, body)

    def serve(self, head, body):
        """Answer one request, after a while."""
        if head.startswith(b"GET"):
            self.send(json.dumps(self.panel.counters()).encode())
            return
        form = parse_qs(body.decode())
        ids = form.get("orders", form.get("order", [""]))[0].split(",")
        answer = self.panel.answer(ids)
        if self.panel.latency:
            asyncio.get_running_loop().call_later(self.panel.latency, self.send, answer)
        else:
            self.send(answer)

    def send(self, answer):
        """Write one answer, unless nobody is there any more."""
        if not self.transport.is_closing():
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self.transport.write(head % len(answer) + answer)


async def main(latency, most_lookups):
    """Serve on a free port, which is printed, until a signal or the end of the input."""
    panel = Panel(latency, most_lookups)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: Connection(panel), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
    else:
        uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
