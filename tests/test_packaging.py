"""The shape of the package: which part may import which, and what is public."""

import ast
import graphlib
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import smm_async

PACKAGE = Path(smm_async.__file__).parent

# Arrows go down only: nothing that a part imports, at whatever remove, stands below it in this list. Modules that are
# not listed help one that is, and are bound by what it may import.
LEVELS = [
    {"errors", "models", "orders", "panels"},
    {"_backend"},
    {"_coalesce"},
    {"_wire", "_decode"},
    {"_transport"},
    {"_limits"},
    {"_client", "_watch"},
    {"__init__", "testing"},
    {"tracking", "otel", "conformance"},
    {"_demo", "_worker", "_track", "_cli_add", "_cli_services", "_cli_watch"},
    {"cli"},
]
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
LOOPS = {"asyncio", "trio"}


def part_of(path):
    """Return which part a source file belongs to: its own name, or that of its folder."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports_of(tree):
    """Return the dotted name of everything that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def reached_from(part):
    """Return the parts that a part imports, directly or by way of others."""
    reached: set[str] = set()
    ahead = [part]
    while ahead:
        ahead += INNER[ahead.pop()] - reached
        reached.update(ahead)
    return reached


FILES = sorted(PACKAGE.rglob("*.py"))
PARTS = {part_of(path) for path in FILES}
# Part -> the parts it imports; a name taken from the package itself makes that `__init__`.
INNER: dict[str, set[str]] = {part: set() for part in PARTS}
# Part -> the top-level modules it imports from elsewhere.
OUTER: dict[str, set[str]] = {part: set() for part in PARTS}
for file in FILES:
    for name in imports_of(ast.parse(file.read_text("utf-8"))):
        top, _, inner = name.partition(".")
        if top == "smm_async":
            inner = inner.partition(".")[0]
            INNER[part_of(file)] |= {inner if inner in PARTS else "__init__"} - {part_of(file)}
        else:
            OUTER[part_of(file)].add(top)
CORE = {"__init__"} | reached_from("__init__")
SIMULATION = {"testing"} | reached_from("testing")


def importers_of(modules, parts):
    """Return which of some parts import any of some modules from elsewhere."""
    return {part for part in parts if OUTER[part] & modules}


def test_imports_have_no_cycle():
    """The parts can be put into an order in which each imports only earlier ones."""
    order = list(graphlib.TopologicalSorter(INNER).static_order())

    assert set(order) == PARTS


def test_imports_go_one_way():
    """No part reaches a part that is built on it."""
    upward = {
        f"{part} reaches {other}"
        for part in LEVEL_OF
        for other in reached_from(part) & set(LEVEL_OF)
        if LEVEL_OF[other] > LEVEL_OF[part]
    }

    assert upward == set()


def test_coalescer_is_generic():
    """The coalescer knows nothing of panels and orders, only errors and loops."""
    assert reached_from("_coalesce") & set(LEVEL_OF) <= {"errors", "_backend"}


def test_wire_and_decoding_know_no_http():
    """What builds forms and reads answers reaches neither httpx nor anything that waits."""
    parts = {"_wire", "_decode"} | reached_from("_wire") | reached_from("_decode")

    assert importers_of({"httpx", "anyio"} | LOOPS, parts) == set()


def test_simulated_panel_shares_no_code_with_what_it_tests():
    """The simulated panel and the client have public modules in common, at most."""
    assert {part for part in SIMULATION & CORE if part.startswith("_")} == set()


def test_only_the_backend_names_a_loop():
    """Nothing but `_backend` imports asyncio or trio, extras included."""
    assert importers_of(LOOPS, PARTS) == {"_backend"}


def test_only_the_transport_imports_httpx():
    """In the core, nothing but `_transport` imports httpx."""
    assert importers_of({"httpx"}, CORE) == {"_transport"}


def test_core_needs_its_dependencies_only():
    """The core and the simulated panel import what is installed with them, and the standard library."""
    known = sys.stdlib_module_names | {"anyio", "attrs", "cattrs", "httpx", "trio", "outcome"}
    surplus = {part: OUTER[part] - known for part in CORE | SIMULATION if OUTER[part] - known}

    assert surplus == {}


def test_import_needs_no_extra():
    """The core and the simulated panel can be imported where no extra is installed.

    httpx imports rich and, by way of httpcore, trio wherever it finds them; so they are made impossible to find, instead
    of looked for afterwards.
    """
    code = (
        "import sys; "
        "sys.modules.update(dict.fromkeys(['cyclopts', 'h2', 'httpx2', 'rich', 'trio', 'uvicorn', 'uvloop'])); "
        "import smm_async, smm_async.testing"
    )

    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_version_is_the_distribution_s():
    """`__version__` and what an installer sees are one."""
    assert smm_async.__version__ == importlib.metadata.version("smm_async")


def public_modules():
    """Return the package and every module in it whose name does not start with an underscore."""
    found = (module.name for module in pkgutil.walk_packages([str(PACKAGE)], "smm_async."))
    return [smm_async, *(importlib.import_module(name) for name in found if "._" not in name)]


PUBLIC_MODULES = pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)


def test_all_is_complete():
    """`smm_async.__all__` lists every public name that the package binds, submodules as it likes."""
    bound = {name for name in vars(smm_async) if name[0] != "_"} - {"annotations"}
    submodules = {name for name in bound if isinstance(getattr(smm_async, name), types.ModuleType)}

    assert bound - submodules <= set(smm_async.__all__) <= bound | {"__version__"}


def test_every_error_is_exported():
    """Every error can be caught as `smm_async.…`."""
    assert set(smm_async.errors.__all__) <= set(smm_async.__all__)


@PUBLIC_MODULES
def test_all_is_sorted(module):
    """`__all__` lists constants, then classes, then the rest, each once and from A to Z."""
    names = list(module.__all__)

    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def public_members(owner):
    """Yield the dotted name and value of every function, class, method and property that ``owner`` makes public."""
    names = owner.__all__ if isinstance(owner, types.ModuleType) else [name for name in vars(owner) if name[0] != "_"]
    for name in names:
        value = inspect.getattr_static(owner, name)
        label = f"{owner.__name__}.{name}"
        if inspect.isclass(value):
            yield label, value
            yield from public_members(value)
        elif isinstance(value, staticmethod | classmethod | property) or inspect.isroutine(value):
            yield label, value


@PUBLIC_MODULES
def test_public_names_are_documented(module):
    """Every public module, class, function, method and property has a docstring of its own."""
    members = {module.__name__: module, **dict(public_members(module))}

    assert [name for name, value in members.items() if not (value.__doc__ or "").strip()] == []
