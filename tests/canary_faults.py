"""All that may happen to a client, and the channels that must have shown something of it then."""

import functools

import attrs

from tests import canary_scenes as scenes
from tests.canary_answers import ANSWERS, NESTED, UNANSWERED, UNUSABLE
from tests.canary_net import OF_CLIENTS, OF_ERRORS, OF_REQUESTS, OF_VALUES
from tests.canary_transports import TELLTALES

_HTTP = frozenset({"span of httpx"})
_JOURNAL = frozenset({"journal"})
_UNSENT = OF_ERRORS | OF_CLIENTS
_ERRORS = _UNSENT | OF_REQUESTS
_SILENT = OF_CLIENTS | OF_REQUESTS | _HTTP | _JOURNAL | {"log"}


@attrs.frozen
class Fault:
    """What happens, and what must be heard of it."""

    scene: object
    """An async function of a `Stage`."""
    channels: frozenset[str]
    """The channels in which something must have been shown."""
    shown_by_others: frozenset[str] = frozenset()
    """The channels in which other libraries show what a server says, before this one gets it."""


def _telltale(name):
    outcomes = UNUSABLE if name == "stream_that_is_not_closed" else UNANSWERED
    return functools.partial(scenes.be_told_of, act=TELLTALES[name], outcomes=outcomes)


_SCENES = {
    scenes.be_answered: _SILENT | OF_VALUES,
    scenes.be_answered_with_the_key: _SILENT,
    scenes.read_a_large_catalogue: _ERRORS | _HTTP,
    scenes.be_refused: _ERRORS | _JOURNAL | _HTTP,
    scenes.distrust: _ERRORS | _JOURNAL | _HTTP,
    scenes.speak_tls_to_nobody: _ERRORS | _JOURNAL | _HTTP,
    scenes.be_sure_that_nothing_left: _ERRORS | _JOURNAL,
    scenes.leave: _ERRORS | OF_VALUES | _JOURNAL,
    scenes.close_meanwhile: _ERRORS | _JOURNAL,
    scenes.leave_open: _ERRORS | OF_VALUES | _JOURNAL | {"warning"},
    scenes.reconcile: _ERRORS | OF_VALUES | _JOURNAL,
    scenes.fail_to_write_down: _UNSENT,
}

FAULTS = {
    **{
        name: Fault(
            functools.partial(scenes.meet, what=one),
            _ERRORS | _JOURNAL | (_HTTP if one.is_surely_sent else frozenset()),
            one.shown_by_others,
        )
        for name, one in ANSWERS.items()
    },
    **{f"transport_with_{name}": Fault(_telltale(name), _ERRORS | _JOURNAL) for name in TELLTALES},
    **{scene.__name__: Fault(scene, channels) for scene, channels in _SCENES.items()},
}
BUGS = {scene.__name__: Fault(scene, _ERRORS) for scene in (scenes.meet_a_bug, scenes.meet_a_bug_in_a_thread)}
ESCAPES = {name: Fault(functools.partial(scenes.meet, what=one), _ERRORS | _HTTP) for name, one in NESTED.items()}
