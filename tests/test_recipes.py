"""The recipes of docs/tracking.md for somebody else's scheduler: each is run, with the scheduler itself or a small fake."""

import inspect
import re
import sys
import types
from typing import Any, get_type_hints

import attrs
import pytest

from smm_async._worker import worker
from smm_async.cli import _make_app
from smm_async.tracking import EndKind, SQLiteStore, Tracker
from tests.pages import ROOT, panel  # noqa: F401  a fixture is used by its name

PAGE = ROOT / "docs" / "tracking.md"
TEXT = PAGE.read_text("utf-8")
PYTHON = re.findall(r"^```py\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
YAML = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
WORDS = {
    "procrastinate": "batch_defer",
    "streaq": "import streaq",
    "taskiq": "import TaskiqDepends",
    "celery": "@app.task",
}
"""A word by which to know each recipe."""


def run_recipe(name, **names):
    """Run the block of a recipe, with the names that it leaves to its reader, and return all names."""
    (source,) = [block for block in PYTHON if WORDS[name] in block]
    known: dict[str, Any] = {
        "URL": "https://panel.example/api/v2",
        "KEY": "your key",
        "SECRET": "made up",
        "store": SQLiteStore(),
        **names,
    }
    exec(compile(source, str(PAGE), "exec", dont_inherit=True), known)
    return known


@pytest.fixture
def store(tmp_path):
    """Return a store with one order."""
    store = SQLiteStore(tmp_path / "orders.db")
    store.open()
    store.add("alpha", ["7"])
    return store


def ends_in(store):
    """Return what has ended."""
    store.open()
    try:
        return [(event.key, event.kind) for event in store.take(10, 1.0)]
    finally:
        store.close()


DONE = [("alpha/7", EndKind.ENDED)]


def test_no_recipe_is_left_out():
    """Every block of Python that does not run by itself is one that is run below."""
    assert sorted(word in block for block in PYTHON for word in WORDS.values()).count(True) == len(PYTHON) == len(WORDS)
    assert len(YAML) == 2


@attrs.define
class Job:
    """In the place of a task of procrastinate."""

    deferred: list[Any] = attrs.field(factory=list)

    def configure(self, *, connection):
        """Remember the connection."""
        self.deferred.append(connection)
        return self

    def batch_defer(self, *arguments):
        """Defer jobs."""
        self.deferred.extend(arguments)


def test_procrastinate_s_recipe_defers_a_job_for_each_end(monkeypatch):
    """Each end is a job, deferred through the connection that records it."""
    job, made = Job(), []
    monkeypatch.setattr("smm_async.tracking.PostgresStore", lambda *args, **options: made.append((args, options)))
    recipe = run_recipe("procrastinate", bill=job)

    recipe["hand_over"]("the connection", [types.SimpleNamespace(key="alpha/7"), types.SimpleNamespace(key="alpha/8")])

    assert job.deferred == ["the connection", {"key": "alpha/7"}, {"key": "alpha/8"}]
    assert made == [(("postgresql://...",), {"on_record": recipe["hand_over"]})]


async def test_streaq_s_recipe_has_a_tracker_for_its_tasks(panel, store):
    """What the worker's lifespan yields is a tracker that looks up the panel."""
    pytest.importorskip("streaq", reason="streaq is not installed")
    recipe = run_recipe("streaq", store=store, redis_url="redis://127.0.0.1:1")
    async with recipe["lifespan"]() as tracker:
        assert isinstance(tracker, Tracker)
        await tracker.tend("alpha", seconds=50)

    assert ends_in(store) == DONE
    assert {name for name in recipe["worker"].registry if name.startswith("smm_async")} == {
        "smm_async_tend",
        "smm_async_revive",
    }


@attrs.define
class Broker:
    """In the place of a broker of taskiq, or an application of Celery: keeps what it is given to do, and how."""

    tasks: dict[str, Any] = attrs.field(factory=dict)
    conf: Any = attrs.field(factory=types.SimpleNamespace)

    def task(self, **options):
        """Return what registers a function as a task."""

        def register(function):
            self.tasks[function.__name__] = options
            function.name = f"app.{function.__name__}"
            return function

        return register


async def test_taskiq_s_recipe_tends_once_a_minute(panel, store, monkeypatch):
    """The task gets a tracker from the dependency that it names, and works for less than a minute."""
    module = types.ModuleType("taskiq")
    vars(module)["TaskiqDepends"] = attrs.make_class("TaskiqDepends", ["dependency"])
    monkeypatch.setitem(sys.modules, "taskiq", module)
    broker = Broker()
    recipe = run_recipe("taskiq", store=store, broker=broker)

    (depends,) = get_type_hints(recipe["tend"], recipe, include_extras=True)["tracker"].__metadata__
    made = depends.dependency()
    await recipe["tend"](await anext(made))
    await made.aclose()

    assert broker.tasks == {"tend": {"schedule": [{"cron": "* * * * *"}]}}
    assert ends_in(store) == DONE


def test_celery_s_recipe_tends_once_a_minute(panel, store):
    """The task, which is no coroutine, runs a loop of its own, each time a new one."""
    app = Broker()
    recipe = run_recipe("celery", store=store, app=app)

    for _ in range(2):
        recipe["tend"]()

    assert not inspect.iscoroutinefunction(recipe["tend"])
    assert app.conf.beat_schedule == {"tend": {"task": "app.tend", "schedule": 60.0}}
    assert app.tasks == {"tend": {"ignore_result": True, "expires": 60}}
    assert ends_in(store) == DONE


@pytest.mark.parametrize("manifest", YAML, ids=["Deployment", "CronJob"])
def test_manifest_is_one_that_kubernetes_and_the_command_understand(manifest, monkeypatch):
    """It parses, its command does too, and the worker may take as long to leave as its lease."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    monkeypatch.setenv("SMM_STORE", "sqlite:///orders.db")
    whole = yaml.safe_load(manifest)
    template = whole["spec"].get("template") or whole["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    program, *arguments = container["command"]

    command, bound, _ = _make_app().parse_args(arguments, exit_on_error=False, print_error=False)

    assert (program, command) == ("smm-async", worker)
    assert bound.arguments["panel"] == ("alpha=https://panel.example/api/v2",)
    assert container["envFrom"] == [{"secretRef": {"name": "track"}}]
    lease = inspect.signature(worker).parameters["lease"].default
    assert template["spec"]["terminationGracePeriodSeconds"] >= lease
    if whole["kind"] == "CronJob":
        assert (whole["spec"]["schedule"], bound.arguments["seconds"]) == ("* * * * *", 50)
    else:
        assert whole["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
