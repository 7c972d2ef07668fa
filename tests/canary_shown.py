"""What can be told of a thing: its texts, fields, copies and parts, and the frames of an exception."""

import copy
import functools
import io
import pickle
import traceback
import types

import attrs
import rich.console
import rich.traceback

from smm_async import _words
from smm_async._secret import Secret

# The words of panels, of which there are many.
_COMMON = (_words.ORDER_STATES, _words.REFILL_STATES, _words.ERROR_WORDS, _words.ERROR_CODES, _words.UNCLEAR_WORDS)


def as_text(shown):
    """Return bytes in the only way that keeps all ASCII in them, texts as they are, and other things as printed."""
    if isinstance(shown, bytes):
        return shown.decode(errors="backslashreplace")
    return shown if isinstance(shown, str) else f"{shown!r} {shown!s}"


def shown_by(error):
    """Return all that can be told of an exception, or of ``None``."""
    return [] if error is None else [described(error), *map(repr, chain_of(error)), *fields_of(error)]


def described(error):
    """Return a traceback with all names in all frames."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def extracted(error):
    """Return what rich's traceback takes from an exception to draw it: texts, and all names in all frames."""
    return repr(
        rich.traceback.Traceback.extract(
            type(error),
            error,
            error.__traceback__,
            show_locals=True,
            locals_max_length=None,
            locals_max_string=None,
            locals_hide_dunder=False,
        )
    )


def drawn(error):
    """Return rich's traceback as it is drawn, which takes a tenth of a second."""
    drawing = io.StringIO()
    console = rich.console.Console(file=drawing, width=200)
    console.print(rich.traceback.Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True))
    return drawing.getvalue()


def chain_of(error):
    """Return an exception and all that hang on it: causes, contexts, and the members of groups."""
    chain, rest = [], [error]
    while rest:
        one = rest.pop()
        if one is not None and one not in chain:
            chain.append(one)
            rest += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return chain


def fields_of(thing):
    """Return a thing's fields, by all names and as records are turned into them."""
    shown = [repr(getattr(thing, "__dict__", None))]
    shown += [repr(getattr(thing, name, None)) for name in dir(thing) if not name.startswith("__")]
    shown += [repr(getattr(thing, "__notes__", None))]
    return [*shown, repr(attrs.asdict(thing))] if attrs.has(type(thing)) else shown


def taken_along(thing, *, pickled):
    """Return what a pickle or a copy of a thing shows, or the complaint that there is none."""
    takes = [functools.partial(pickle.dumps, protocol=number) for number in (0, 2, pickle.HIGHEST_PROTOCOL)]
    shown = []
    for take in takes if pickled else [copy.copy, copy.deepcopy]:
        try:
            taken = take(thing)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            shown += [repr(error)]
        else:
            shown += [as_text(taken)] if pickled else [repr(taken), *fields_of(taken)]
    return shown


def reachable_from(thing):
    """Yield all that hangs on an object by names, keys, places and closures, except for what is inside a secret."""
    seen, rest = dict.fromkeys(map(id, _COMMON)), [thing]
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, Secret):
            continue
        # Kept, so that no other gets its id.
        seen[id(one)] = one
        yield one
        rest += _parts_of(one)


def _parts_of(one):
    if isinstance(one, dict):
        return [*one, *one.values()]
    if isinstance(one, (list, tuple, set, frozenset)):
        return list(one)
    if isinstance(one, (functools.partial, types.MethodType, types.FunctionType)):
        return _bound_in(one)
    if type(one).__module__.startswith("smm_async"):
        slots = [name for cls in type(one).__mro__ for name in getattr(cls, "__slots__", ())]
        return [getattr(one, "__dict__", None), *(getattr(one, name, None) for name in slots)]
    return []


def _bound_in(call):
    if isinstance(call, functools.partial):
        return [call.func, call.args, call.keywords]
    if isinstance(call, types.MethodType):
        return [call.__self__]
    return [cell.cell_contents for cell in call.__closure__ or ()]
