"""The commands `smm-async panel ...`, which look into a panel, or are one."""

from __future__ import annotations

from cyclopts import App

from smm_async._cli_probe import probe
from smm_async._cli_serve import serve

__all__ = ["app"]

app = App(name="panel", help="Look into a panel, or serve a simulated one.")
app.command(probe)
app.command(serve)
