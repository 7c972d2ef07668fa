"""What `smm-async balance` does: show what is left on the account."""

from __future__ import annotations

import sys

import smm_async as smm
from smm_async._cli_output import TABLE, Column, Output, Writer, shown
from smm_async._cli_panel import DEFAULTS, Connection
from smm_async._cli_run import DONE, run

__all__ = ["balance", "money"]


def balance(*, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Show what is left on the account.

    Args:
        connection: Which panel, and how.
        output: How to write it.
    """

    async def work(client: smm.Client) -> int:
        found = await client.balance()
        if output.is_table:
            sys.stdout.write(f"{money(found.balance, found.currency)}\n")
            return DONE
        with Writer(output, [Column("balance"), Column("currency")]) as writer:
            writer.write({"balance": found.balance, "currency": found.currency, "extra": found.extra})
        return DONE

    return run(connection, work)


def money(amount: object, currency: str | None) -> str:
    """Return an amount with its currency, where that is known."""
    return shown(f"{amount:f} {currency or ''}".rstrip())
