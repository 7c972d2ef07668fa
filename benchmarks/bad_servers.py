"""Servers on the loopback interface that keep their clients waiting, each in a way of its own.

``python -m benchmarks.bad_servers`` prints one line of JSON, the ports by name and the certificate to trust, and runs
until its standard input ends: a process of its own, so that it takes no time from the loop that is measured.
"""

import asyncio
import contextlib
import json
import os
import socket
import ssl
import sys

import trustme

SMALL = 16 * 1024
"""How large an answer about a balance may be."""
LARGE = 256 * 1024
"""How large other answers may be."""
DRIP_SECONDS = 1.0
TRICKLE_SECONDS = 0.01
BELOW_LIMIT = 400
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n" * 500
BALANCE = b'{"balance": "1.50", "currency": "USD"}'
AUTHORITY = trustme.CA()


async def receive(connection):
    data = await asyncio.get_running_loop().sock_recv(connection, 65536)
    if not data:
        raise ConnectionResetError
    return data


async def send(connection, data):
    await asyncio.get_running_loop().sock_sendall(connection, data)


async def receive_request(receive_some):
    """Return the bytes of a request with a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await receive_some()
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += await receive_some()
    return body


async def never_answer(connection):
    """Take what comes, and say nothing: to a request, or to the first word of a handshake."""
    while True:
        await receive(connection)


async def never_read(_):
    await asyncio.Event().wait()


async def drip_head(connection):
    await receive_request(lambda: receive(connection))
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
        await send(connection, bytes([byte]))
        await asyncio.sleep(DRIP_SECONDS)


async def drip_body(connection):
    await receive_request(lambda: receive(connection))
    await send(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await send(connection, b" ")
        await asyncio.sleep(DRIP_SECONDS)


async def stay_below_limit(connection):
    """Send nearly as much as an answer may have at once, and then no end."""
    body = await receive_request(lambda: receive(connection))
    limit = SMALL if b"action=balance" in body else LARGE
    await send(connection, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (limit - BELOW_LIMIT))
    while True:
        await send(connection, b" ")
        await asyncio.sleep(TRICKLE_SECONDS)


async def flood_with_hints(connection):
    await receive_request(lambda: receive(connection))
    while True:
        await send(connection, HINTS)


class Tls:
    """The server's half of TLS, on a socket that it reads only when it is told to."""

    def __init__(self, connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
        self._connection = connection
        self._incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self.outgoing, server_side=True)

    async def _do(self, step, *args):
        while True:
            try:
                return step(*args)
            except ssl.SSLWantReadError:
                await self.flush()
                self._incoming.write(await receive(self._connection))

    async def flush(self):
        await send(self._connection, self.outgoing.read())

    async def take_hello(self):
        """Have the first answer of the handshake ready to be sent."""
        self._incoming.write(await receive(self._connection))
        with contextlib.suppress(ssl.SSLWantReadError):
            self._session.do_handshake()

    async def shake_hands(self):
        await self._do(self._session.do_handshake)

    async def receive(self):
        return await self._do(self._session.read, 65536)

    async def send(self, data):
        self._session.write(data)
        await self.flush()


async def stop_in_handshake(connection):
    """Send the first half of what a server says in a handshake."""
    tls = Tls(connection)
    await tls.take_hello()
    words = tls.outgoing.read()
    await send(connection, words[: len(words) // 2])
    await never_answer(connection)


async def die_after_one(connection):
    """Answer one request over TLS, and then neither read, nor say goodbye."""
    tls = Tls(connection)
    await tls.shake_hands()
    await receive_request(tls.receive)
    await tls.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BALANCE), BALANCE))
    await never_read(connection)


ACTS = {
    "never_answer": never_answer,
    "never_read": never_read,
    "drip_head": drip_head,
    "drip_body": drip_body,
    "stay_below_limit": stay_below_limit,
    "flood_with_hints": flood_with_hints,
    "stop_in_handshake": stop_in_handshake,
    "die_after_one": die_after_one,
}


def listen(backlog=100):
    listener = socket.socket()
    # What the accepted sockets get: one that never reads is to be full soon.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(backlog)
    listener.settimeout(0)
    return listener


async def serve(listener, act):
    tasks = set()
    while True:
        connection, _ = await asyncio.get_running_loop().sock_accept(listener)
        connection.settimeout(0)
        tasks.add(task := asyncio.create_task(meet(connection, act)))
        task.add_done_callback(tasks.discard)


async def meet(connection, act):
    with connection, contextlib.suppress(OSError, ssl.SSLError):
        await act(connection)


def fill(listener):
    """Have the connections that wait to be accepted fill the queue: who comes now gets no answer at all."""
    waiting = [socket.socket() for _ in range(3)]
    for each in waiting:
        each.settimeout(0)
        each.connect_ex(listener.getsockname())
    return waiting


async def main():
    listeners = {name: listen() for name in ACTS}
    deaf = listen(backlog=0)
    waiting = fill(deaf)
    ports = {name: listener.getsockname()[1] for name, listener in {**listeners, "never_accept": deaf}.items()}
    print(json.dumps({"ports": ports, "authority": AUTHORITY.cert_pem.bytes().decode()}), flush=True)
    tasks = [asyncio.create_task(serve(listeners[name], act)) for name, act in ACTS.items()]
    await asyncio.to_thread(sys.stdin.read)
    del waiting, tasks
    # Nothing of what is open is worth a goodbye.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
