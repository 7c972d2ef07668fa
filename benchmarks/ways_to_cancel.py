"""Ways in which callers are cancelled, one after the other on asyncio and on trio.

Each takes a run, makes its ``victims`` call, and has them all cancelled at its moment ``at``: each by itself, or all that
stand under one deadline or in one task group together. Where a victim gets a ``cancel``, the run may call that before.
"""

import asyncio
import contextlib

import anyio
import trio


class SiblingError(Exception):
    """What ends a task group."""


async def by_cancel(world):
    tasks = [asyncio.ensure_future(victim()) for victim in world.victims]
    for victim, task in zip(world.victims, tasks, strict=True):
        victim.cancel = task.cancel
    timer = asyncio.get_running_loop().call_at(world.at, world.cancel_victims)
    await asyncio.wait(tasks)
    timer.cancel()


async def by_scope(world):
    async def call_in_scope(victim):
        with trio.CancelScope() as scope:
            victim.cancel = scope.cancel
            await victim()

    async def cancel_later():
        await trio.sleep_until(world.at)
        world.cancel_victims()

    async with trio.open_nursery() as outer:
        outer.start_soon(cancel_later)
        async with trio.open_nursery() as inner:
            for victim in world.victims:
                inner.start_soon(call_in_scope, victim)
        outer.cancel_scope.cancel()


async def by_wait_for(world):
    seconds = world.at - anyio.current_time()
    await asyncio.gather(*(asyncio.wait_for(victim(), seconds) for victim in world.victims), return_exceptions=True)


async def by_move_on_at(world):
    async def call_until(victim):
        with trio.move_on_at(world.at):
            await victim()

    async with trio.open_nursery() as nursery:
        for victim in world.victims:
            nursery.start_soon(call_until, victim)


async def by_fail_after(world):
    with contextlib.suppress(TimeoutError), anyio.fail_after(world.at - anyio.current_time()) as scope:
        if len(world.victims) == 1:
            world.victims[0].cancel = scope.cancel
            await world.victims[0]()
            return
        async with anyio.create_task_group() as group:
            for victim in world.victims:
                group.start_soon(victim)


async def by_task_group(world):
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            sibling = group.create_task(fail_at(world.at))
            await asyncio.wait([group.create_task(victim()) for victim in world.victims])
            sibling.cancel()


async def by_nursery(world):
    with contextlib.suppress(ExceptionGroup):
        async with trio.open_nursery() as outer:
            outer.start_soon(fail_at, world.at)
            async with trio.open_nursery() as inner:
                for victim in world.victims:
                    inner.start_soon(victim)
            outer.cancel_scope.cancel()


async def fail_at(moment):
    await anyio.sleep_until(moment)
    raise SiblingError


WAYS = {
    "asyncio": {
        "cancel()": by_cancel,
        "wait_for": by_wait_for,
        "fail_after": by_fail_after,
        "task group": by_task_group,
    },
    "trio": {
        "cancel()": by_scope,
        "wait_for": by_move_on_at,
        "fail_after": by_fail_after,
        "task group": by_nursery,
    },
}
