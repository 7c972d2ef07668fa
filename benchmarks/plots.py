"""Pictures of what the benchmarks measured, from the figures that they keep."""

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

OURS, BY_HAND, SIMPLE, PLAIN = "#0072b2", "#d55e00", "#009e73", "#777777"
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "lines.markersize": 4,
    "savefig.facecolor": "white",
    # Text stays text: small files, which differ only where figures do.
    "svg.fonttype": "none",
    "svg.hashsalt": "smm_async",
}
RESPONSE_SECONDS = 0.15
POLICIES = {"natural": (BY_HAND, "--s"), "linger 10 ms": (SIMPLE, "--^"), "ours": (OURS, "-o")}
STREAMS = {"asyncio": (OURS, "-o"), "trio": (BY_HAND, "--s")}
WAYS = {"by hand": (BY_HAND, "--s", "batches by hand"), "statuses()": (OURS, "-o", "statuses()")}


def in_full(axis, ticks=None):
    """Write the numbers of a logarithmic axis in full."""
    if ticks is not None:
        axis.set_ticks(ticks)
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.10g}"))
    axis.set_minor_locator(NullLocator())


def throughput(figure, figures):
    """How throughput grows with the slots, behind a panel that takes 50 ms for each answer."""
    figures = figures["throughput"]
    axes = figure.subplots()
    ceiling = figures["slots ceiling"]
    axes.plot(*zip(*ceiling, strict=True), ":", color=PLAIN, label="every slot full all the time")
    for name, (colour, line, label) in WAYS.items():
        axes.plot(*zip(*figures[f"slots {name}"], strict=True), line, color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="slots (max_in_flight)", ylabel="lookups a second")
    axes.set_title("Throughput, panel takes 50 ms, one core")
    in_full(axes.xaxis, [slots for slots, _ in ceiling])
    in_full(axes.yaxis, [1_000, 3_000, 10_000, 30_000, 100_000])
    axes.legend()


def added_wait(figure, figures):
    """How long lookups wait for company, by how many come: simulated, 8 slots or more for the same load."""
    figures = figures["window"]
    for axes, sigma in zip(figure.subplots(1, 2, sharey=True), ("0.02", "0.3"), strict=True):
        for name, (colour, line) in POLICIES.items():
            points = points_of(figures, sigma, name)
            axes.plot(*zip(*points, strict=True), line, color=colour, label=name)
        axes.set(xscale="log", yscale="symlog", xlabel="lookups a second")
        axes.set_title(f"response time 150 ms, sigma {sigma}")
        in_full(axes.xaxis, [10**power for power in range(5)])
        in_full(axes.yaxis, [0, 1, 3, 10, 30, 100, 300])
    figure.axes[0].set_ylabel("added wait, 99th percentile, ms")
    figure.axes[0].legend()


def points_of(figures, sigma, name):
    """Return the waits of a policy by rate, of all loads that were simulated."""
    points = []
    for key, wait in figures.items():
        words = key.split(" ", 4)
        if len(words) > 4 and words[:3] == ["simulated", f"{RESPONSE_SECONDS:g}", sigma] and words[4] == name:
            points.append((int(words[3]), wait))
    return sorted(points)


def batch_size(figure, figures):
    """What a lookup costs, by how many ids are in a request."""
    figures = figures["end_to_end"]
    axes = figure.subplots()
    for name, (colour, line, label) in WAYS.items():
        axes.plot(*zip(*figures[f"batches {name}"], strict=True), line, color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="ids in a request", ylabel="microseconds of CPU a lookup")
    axes.set_title("Cost of a lookup, asyncio")
    in_full(axes.xaxis, [batch for batch, _ in figures["batches statuses()"]])
    in_full(axes.yaxis, [10, 30, 100, 300, 1_000])
    axes.legend()


def stream_memory(figure, figures):
    """How much memory a process holds that reads a million results from one stream."""
    figures = figures["scale"]
    axes = figure.subplots()
    for loop, (colour, line) in STREAMS.items():
        places, held = zip(*figures[f"{loop} stream"], strict=True)
        axes.plot(places, [size / 1e6 for size in held], line, color=colour, label=loop)
    axes.set(xlabel="results", ylabel="MB held", title="stream_statuses()")
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    in_full(axes.xaxis)
    axes.legend(loc="lower right")


PLOTS = {
    "throughput": (throughput, 6),
    "added-wait": (added_wait, 9),
    "batch-size": (batch_size, 6),
    "stream-memory": (stream_memory, 6),
}


def draw_all(figures, folder):
    """Draw every picture into ``folder``, and return their names and what they show."""
    folder.mkdir(exist_ok=True)
    drawn = {}
    with mpl.rc_context(STYLE):
        for name, (draw, width) in PLOTS.items():
            figure = Figure(figsize=(width, 3.8), layout="constrained")
            draw(figure, figures)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            drawn[f"{name}.svg"] = draw.__doc__
    return drawn
