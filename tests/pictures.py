"""Draws what a coalescer does: `python -m tests.pictures` runs it in virtual time, and writes docs/pictures/*.svg.

Each scene is a real run. A bar is a caller, pale until its request leaves; below are the requests, in the slots that
were busy with them. Callers have the colour of the request that carried their key.
"""

import asyncio
from pathlib import Path
from xml.sax.saxutils import escape

import anyio
import attrs

import smm_async as smm
from tests.virtual_time import VirtualTimeLoop

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
LEFT, PLOT = 190, 430
MARGIN, TITLE, AXIS = 16, 34, 34
SLOT_HEIGHT = 26
COLOURS = 3
FONT_HEIGHT = 12
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .title { font-weight: 600; font-size: 14px; }
  .quiet { fill: #6b7280; }
  .inside { fill: #ffffff; font-weight: 600; }
  .card { fill: #ffffff; stroke: #d9dde3; }
  .grid { stroke: #e6e9ee; }
  .lane { fill: #f3f5f8; }
  .c0 { fill: #0969c3; } .c1 { fill: #c2410c; } .c2 { fill: #0f7b55; } .none { fill: #8b95a3; }
  .waits { opacity: 0.35; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e2e6ec; }
    .quiet { fill: #9aa4b2; }
    .inside { fill: #10151c; }
    .card { fill: #14181f; stroke: #313946; }
    .grid { stroke: #272e39; }
    .lane { fill: #1c222b; }
    .c0 { fill: #6cb6ff; } .c1 { fill: #ffa657; } .c2 { fill: #56d4a0; } .none { fill: #7d8794; }
  }"""


@attrs.frozen
class Call:
    """One task that asks for one key at a moment, and may lose its patience."""

    key: int
    at: float = 0.0
    patience: float | None = None
    says: str = ""


@attrs.frozen(kw_only=True)
class Scene:
    """Who asks when, and the coalescer and the panel that they ask. Times are milliseconds."""

    title: str
    calls: tuple[Call, ...]
    response: float
    slots: int = 2
    max_batch: int = 100
    unknown: frozenset[int] = frozenset()
    row: int = 20
    step: int = 20
    right: int = 160


@attrs.frozen
class Seen:
    """From when to when a call or a request took, and what came of it."""

    start: float
    end: float
    keys: tuple[int, ...]
    result: str = ""


SCENES = {
    "together": Scene(
        title="Four tasks ask at the same time: one request",
        calls=(Call(7), Call(8), Call(7), Call(9)),
        response=100,
        slots=1,
        unknown=frozenset({9}),
    ),
    "paced": Scene(
        title="Four slots, answers after 120 ms, at most 10 ids in a request",
        calls=(
            Call(1, 0, says="alone: leaves at once"),
            *(Call(2 + number, 140 + 7 * number) for number in range(6)),
            Call(8, 182, says="many: one every 30 ms"),
            *(Call(9 + number, 189 + 7 * number) for number in range(11)),
            Call(20, 325),
            *(Call(21 + number, 331 + number / 4) for number in range(5)),
            Call(26, 332.25, says="ten: full, leaves at once"),
            *(Call(27 + number, 332.5 + number / 4) for number in range(4)),
        ),
        response=120,
        slots=4,
        max_batch=10,
        row=7,
        step=60,
        right=50,
    ),
    "leaving": Scene(
        title="One slot; two tasks are cancelled, and nobody else notices",
        calls=(
            Call(1, 0, says="the first: sent at once"),
            Call(2, 10, says="waits for the slot"),
            Call(3, 20, patience=50, says="cancelled before it is sent"),
            Call(4, 30, patience=110, says="cancelled on the way"),
            Call(5, 40, says="waits for the slot"),
        ),
        response=100,
        slots=1,
    ),
}


async def play(scene):
    """Return what was seen of each call, in their order, and of each request."""
    begun, calls, requests = anyio.current_time(), {}, []

    def now():
        return round(1000 * (anyio.current_time() - begun), 2)

    async def fetch(keys):
        sent = now()
        await anyio.sleep(scene.response / 1000)
        requests.append(Seen(sent, now(), tuple(sorted(keys))))
        return {key: smm.UnknownOrderError("") if key in scene.unknown else f"status of {key}" for key in keys}

    async def run(number, call):
        await anyio.sleep_until(begun + call.at / 1000)
        result = "cancelled"
        with anyio.move_on_after(None if call.patience is None else call.patience / 1000):
            try:
                result = await coalescer.get(call.key)
            except smm.SmmError as error:
                result = type(error).__name__
        calls[number] = Seen(call.at, now(), (call.key,), result)

    async with smm.Coalescer(fetch, max_batch=scene.max_batch, max_in_flight=scene.slots) as coalescer:
        async with anyio.create_task_group() as tasks:
            for number, call in enumerate(scene.calls):
                tasks.start_soon(run, number, call)
        # A request whose callers have all left runs to its end.
        await anyio.sleep(scene.response / 1000)
    return [calls[number] for number in range(len(calls))], sorted(requests, key=lambda request: request.start)


def place_in_slots(requests):
    """Return the number of a slot for each request, the first one that is free."""
    free_at, places = [], []
    for request in requests:
        place = next((slot for slot, at in enumerate(free_at) if at <= request.start), len(free_at))
        free_at[place:] = [request.end, *free_at[place + 1 :]]
        places.append(place)
    return places


def request_of(call, requests):
    """Return the number of the request that carried a call's key, if one did."""
    rode = [n for n, one in enumerate(requests) if call.keys[0] in one.keys and call.start <= one.start <= call.end]
    return rode[0] if rode else None


def box(kind, x, y, width, height):
    """Return a rectangle."""
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def label(text, x, y, kind="", anchor="start"):
    """Return a text; ``y`` is its middle."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def draw_call(call, says, number, requests, scene, scale):
    """Yield the bar of one call, and its words where there is room for them."""
    y, height = TITLE + MARGIN + number * scene.row, scene.row - max(2, scene.row // 4)
    rode = request_of(call, requests)
    sent = call.end if rode is None else requests[rode].start
    colour = "none" if rode is None else f"c{rode % COLOURS}"
    yield box(f"{colour} waits", scale(call.start), y, max(1.0, scale(sent) - scale(call.start)), height)
    yield box(colour, scale(sent), y, scale(call.end) - scale(sent), height)
    if scene.row > FONT_HEIGHT:
        says = says or f"task {number + 1} asks for {call.keys[0]}"
        yield label(call.result, scale(call.end) + 8, y + height / 2, "quiet")
    if says:
        yield label(says, MARGIN, y + height / 2)


def draw_request(request, number, slot, top, scene, scale):
    """Yield one request in its slot, with what it asks for."""
    y, count = top + slot * SLOT_HEIGHT, len(request.keys)
    word = "ids" if count > 1 else "id"
    text = f"{word} {', '.join(map(str, request.keys))}" if scene.row > FONT_HEIGHT else f"{count} {word}"
    yield box(f"c{number % COLOURS}", scale(request.start), y + 3, scale(request.end) - scale(request.start), 20)
    yield label(text, (scale(request.start) + scale(request.end)) / 2, y + 13, "inside", "middle")


def draw_axis(scene, end, top, bottom, scale):
    """Yield the milliseconds, as lines behind everything."""
    for moment in range(0, int(end) + 1, scene.step):
        x = scale(moment)
        yield f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>'
        yield label(f"{moment}", x, bottom + 12, "quiet", "middle")
    yield label("ms", LEFT + PLOT + 24, bottom + 12, "quiet")


def draw(scene, calls, requests):
    """Return a picture of one run."""
    end = max(seen.end for seen in (*calls, *requests))
    width, slots_top = LEFT + PLOT + scene.right, TITLE + MARGIN + len(calls) * scene.row + 14
    bottom = slots_top + scene.slots * SLOT_HEIGHT

    def scale(moment):
        return LEFT + PLOT * moment / end

    parts = [box("card", 0.5, 0.5, width - 1, bottom + AXIS - 1), label(scene.title, MARGIN, 24, "title")]
    for slot in range(scene.slots):
        parts.append(box("lane", LEFT, slots_top + slot * SLOT_HEIGHT + 1, PLOT, SLOT_HEIGHT - 2))
        parts.append(label(f"slot {slot + 1}", MARGIN, slots_top + slot * SLOT_HEIGHT + 13, "quiet"))
    parts += draw_axis(scene, end, TITLE + MARGIN - 6, bottom, scale)
    for number, call in enumerate(calls):
        parts += draw_call(call, scene.calls[number].says, number, requests, scene, scale)
    for number, (request, slot) in enumerate(zip(requests, place_in_slots(requests), strict=True)):
        parts += draw_request(request, number, slot, slots_top, scene, scale)
    size = f'width="{width}" height="{bottom + AXIS}" viewBox="0 0 {width} {bottom + AXIS}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}\n</style>'
    return "\n".join([head, f"<title>{escape(scene.title)}</title>", *parts, "</svg>", ""])


async def picture(name):
    """Run one scene and return its picture."""
    scene = SCENES[name]
    return draw(scene, *await play(scene))


def main():
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    for name in SCENES:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            (FOLDER / f"{name}.svg").write_text(runner.run(picture(name)), "utf-8")


if __name__ == "__main__":
    main()
