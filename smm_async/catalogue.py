"""What changed between two readings of a panel's catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from smm_async.models import Service

__all__ = ["CatalogueDiff", "ServiceChange", "diff_services"]

_PRICES: Final = ("rate", "type")
_LIMITS: Final = ("min", "max")


@attrs.frozen
class ServiceChange:
    """One service before and after."""

    before: Service
    after: Service
    fields: frozenset[str]
    """The names of the fields that differ; those in ``extra`` as ``"extra"``."""

    @property
    def is_price_change(self) -> bool:
        """Whether an order may cost another amount: the rate changed, or the type that says what the rate is for."""
        return not self.fields.isdisjoint(_PRICES)

    @property
    def is_limit_change(self) -> bool:
        """Whether the smallest or the largest order changed."""
        return not self.fields.isdisjoint(_LIMITS)


@attrs.frozen
class CatalogueDiff:
    """What is different in the newer catalogue; services keep the order of the catalogue they are from."""

    new: tuple[Service, ...]
    gone: tuple[Service, ...]
    changed: tuple[ServiceChange, ...]

    @property
    def price_changes(self) -> tuple[ServiceChange, ...]:
        """Those that may cost another amount now."""
        return tuple(change for change in self.changed if change.is_price_change)

    @property
    def limit_changes(self) -> tuple[ServiceChange, ...]:
        """Those with other bounds now."""
        return tuple(change for change in self.changed if change.is_limit_change)

    def __bool__(self) -> bool:
        """Return whether anything differs."""
        return bool(self.new or self.gone or self.changed)


def diff_services(old: Iterable[Service], new: Iterable[Service], *, most_gone: float = 0.5) -> CatalogueDiff:
    """Return what is new, gone and changed between two answers to ``services``, matched by id.

    Args:
        old: the earlier catalogue.
        new: the later one.
        most_gone: the largest share of the old services, from 0 to 1, that may be gone. Panels cut answers short, and
            answer with a part of the catalogue in trouble: what is missing then must not be switched off.

    Raises:
        ValueError: a larger share is gone; ``new`` is then not to be trusted.
    """
    before, after = _by_id(old), _by_id(new)
    gone = tuple(service for id_, service in before.items() if id_ not in after)
    if len(gone) > most_gone * len(before):
        message = (
            f"{len(gone)} of {len(before)} services would be gone, which looks like a catalogue cut short: "
            "read it again, or raise most_gone if you know better."
        )
        raise ValueError(message)
    changes = (_change(service, after[id_]) for id_, service in before.items() if id_ in after)
    return CatalogueDiff(
        new=tuple(service for id_, service in after.items() if id_ not in before),
        gone=gone,
        changed=tuple(change for change in changes if change.fields),
    )


def _by_id(services: Iterable[Service]) -> Mapping[str, Service]:
    return {service.service: service for service in services}


def _change(before: Service, after: Service) -> ServiceChange:
    names = (field.name for field in attrs.fields(Service))
    return ServiceChange(
        before, after, frozenset(name for name in names if getattr(before, name) != getattr(after, name))
    )
