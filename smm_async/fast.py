"""A transport in Rust (extra ``fast``, asyncio only), for workers that send so much that HTTP itself is what they wait for.

It carries a request for a third of the processor time that httpx takes; the rest of the client stays as it is.
"""

from __future__ import annotations

from datetime import timedelta

from pyreqwest.client import ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport

from smm_async._transport import CONNECT_SECONDS

__all__ = ["make_transport"]


def make_transport() -> HttpxTransport:
    """Return a transport for one `smm_async.Client`, which closes it: ``Client(..., transport=make_transport())``.

    Like the client's own it follows no redirect, which would carry the key elsewhere, keeps no cookies, and reads no
    proxy from the environment. It works on asyncio and uvloop, not on trio. What it says about connections proves
    nothing about a write, so that more of them end as `OutcomeUnknownError`.
    """
    builder = ClientBuilder().follow_redirects(False).default_cookie_store(False).referer(False)  # noqa: FBT003
    builder = builder.no_proxy().http1_only().connect_timeout(timedelta(seconds=CONNECT_SECONDS))
    return HttpxTransport(builder.build())
