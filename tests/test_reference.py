"""The reference names everything that is public."""

import re

import pytest

import smm_async as smm
from tests.pages import ROOT
from tests.test_packaging import public_modules

REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: smm_async\.?(\S*)((?:\n   :.*)*)$", re.MULTILINE)
EXCLUDED = re.compile(r":exclude-members: (.*)")


def described():
    """Return the names that the reference describes, without the package's own."""
    names = set()
    for kind, name, options in DIRECTIVE.findall(REFERENCE):
        if kind == "module" and name:
            excluded = {own for line in EXCLUDED.findall(options) for own in line.split(", ")}
            names |= {name, *(f"{name}.{own}" for own in set(modules()[name].__all__) - excluded)}
        elif kind != "module":
            names.add(name)
    return names


def modules():
    """Return the public modules of the package, by their names in it."""
    return {module.__name__.removeprefix("smm_async."): module for module in public_modules() if module is not smm}


@pytest.mark.parametrize("name", modules())
def test_reference_has_every_module_and_its_names(name):
    """Each public module is in docs/reference.md, with all its names but those that it has from the package itself."""
    module = modules()[name]
    borrowed = {own for own in module.__all__ if own in described() and getattr(smm, own) is getattr(module, own)}

    assert {name, *(f"{name}.{own}" for own in set(module.__all__) - borrowed)} - described() == set()


@pytest.mark.parametrize("name", smm.__all__)
def test_reference_has_every_name(name):
    """Each name of `smm_async` is described: as such, or as a name of a public module."""
    assert described() & {name, *(f"{own}.{name}" for own in modules() if name in modules()[own].__all__)}
