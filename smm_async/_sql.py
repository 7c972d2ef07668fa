"""The tables of a store, and each statement once, with what the two engines say differently in holes.

A parameter is written ``:name``. A hole may take an expression: ``{later::lease}`` is the moment ``:lease`` seconds from
now.
"""

# Our own text throughout: nothing that a caller passes gets into a statement but as a parameter.
# ruff: noqa: S608

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, LiteralString, cast

import attrs

__all__ = ["POSTGRES", "SQLITE", "VERSION", "Statements", "make_statements", "quote_name"]

VERSION: Final = 1
"""The version of the tables; a store of another one is refused."""

_PARAMETER: Final = re.compile(r"(?<!:):([a-z_]+)")


class _Hole:
    """Stands in a statement for what an engine says of an expression."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def __format__(self, expression: str) -> str:
        return self._pattern.replace("@", expression)


def _holes(**patterns: str) -> dict[str, _Hole]:
    return {name: _Hole(pattern) for name, pattern in patterns.items()}


SQLITE: Final = _holes(
    # Without the last word, a number that was freed is given again, and who acknowledges late would lose another's event.
    id="integer primary key autoincrement",
    ref="integer",
    moment="real",
    money="text",
    now=":now",
    later="(:now + @)",
    since="(:now - @)",
    until="(@ - :now)",
    span="@",
    latest="max(@)",
    locked="",
    among="in (select id from @)",
    one_of="in (select value from json_each(@))",
    texts="(select value as number from json_each(@) where true)",
    news="select * from temp.smm_news",
    fill="",
    compact="without rowid",
)
"""Moments are seconds since 1970, and those of a statement are its parameter ``now``; lists are JSON."""

POSTGRES: Final = _holes(
    id="bigint primary key generated always as identity",
    ref="bigint",
    moment="timestamptz",
    money="numeric",
    now="now()",
    later="(now() + @ * interval '1 second')",
    since="cast(extract(epoch from now() - @) as float8)",
    until="cast(extract(epoch from @ - now()) as float8)",
    span="(@ * interval '1 second')",
    latest="greatest(@)",
    locked="for update skip locked",
    # An `in` may be planned as a pass over the whole table, for what a limit leaves is not known beforehand.
    among="= any(array(select id from @))",
    one_of="= any(cast(@ as bigint[]))",
    texts="(select number from unnest(cast(@ as text[])) as given (number))",
    news="""
        select * from unnest(cast(:order_id as bigint[]), cast(:claim as integer[]), cast(:version as integer[]),
            cast(:due_in as float8[]), cast(:misses as integer[]), cast(:status as text[]), cast(:state as text[]),
            cast(:charge as numeric[]), cast(:start_count as bigint[]), cast(:remains as bigint[]),
            cast(:currency as text[]), cast(:kind as text[]))
        as given (order_id, claim, version, due_in, misses, status, state, charge, start_count, remains, currency, kind)""",
    fill="with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
    compact="",
)
"""Moments are the server's; lists are arrays."""

_TABLES: Final = (
    "create table {schema}smm_schema (version integer not null)",
    """
    create table {schema}smm_panel (
        id {id},
        name text not null unique,
        turn {moment} not null,
        paused_until {moment} not null
    )
    """,
    """
    create table {schema}smm_order (
        id {id},
        panel {ref} not null references {schema}smm_panel (id),
        number text not null,
        version integer not null default 1,
        status text,
        state text,
        charge {money},
        start_count bigint,
        remains bigint,
        currency text,
        claim integer not null default 0,
        misses integer not null default 0,
        due_at {moment} not null,
        added_at {moment} not null,
        changed_at {moment} not null,
        ended_at {moment},
        unique (panel, number)
    ) {fill}
    """,
    "create index smm_due on {schema}smm_order (panel, due_at) where ended_at is null",
    """
    create table {schema}smm_event (
        id {id},
        order_id {ref} not null references {schema}smm_order (id),
        version integer not null,
        kind text not null,
        status text,
        state text,
        charge {money},
        start_count bigint,
        remains bigint,
        currency text,
        at {moment} not null,
        taken_until {moment},
        attempts integer not null default 0,
        unique (order_id, version)
    )
    """,
    # What is left of an order that was forgotten: it must not begin anew, with the keys that it had.
    """
    create table {schema}smm_pruned (
        panel {ref} not null references {schema}smm_panel (id),
        number text not null,
        version integer not null,
        primary key (panel, number)
    ) {compact}
    """,
)

_TRACKED: Final = """
    p.name, o.number, o.version, o.status, o.state, o.charge, o.start_count, o.remains, o.currency, o.misses,
    o.added_at, o.changed_at, o.due_at, o.ended_at
"""
_EVENT: Final = """
    p.name, o.number, e.version, e.status, e.state, e.charge, e.start_count, e.remains, e.currency, o.misses,
    o.added_at, o.changed_at, o.due_at, e.at, e.id, e.kind
"""
_OF_PANEL: Final = "panel = (select id from {schema}smm_panel where name = :panel)"
# The first due by the index: planned as `exists`, it was a pass over the whole table.
_FIRST_DUE: Final = "(select min(due_at) from {schema}smm_order where panel = :id and ended_at is null)"
_ENDED_SINCE: Final = "o.ended_at < {later:-:seconds}"
_TO_PRUNE: Final = f"""
    {_ENDED_SINCE} and not exists (select 1 from {{schema}}smm_event e where e.order_id = o.id)
"""


@attrs.frozen
class Statements:
    """The statements of one engine."""

    tables: tuple[LiteralString, ...]
    put_version: LiteralString = "insert into {schema}smm_schema (version) values (:version)"
    version: LiteralString = "select version from {schema}smm_schema"
    put_panel: LiteralString = """
        insert into {schema}smm_panel (name, turn, paused_until) values (:panel, {now}, {now})
        on conflict (name) do nothing
    """
    # With an offset it is planned as what it is, a look for each number, and not as a pass over all that were forgotten.
    add: LiteralString = """
        insert into {schema}smm_order (panel, number, due_at, added_at, changed_at)
        select p.id, given.number, {now}, {now}, {now}
        from {schema}smm_panel p, {texts::orders} as given
        where p.name = :panel and not exists
            (select 1 from {schema}smm_pruned t where t.panel = p.id and t.number = given.number limit 1 offset 0)
        on conflict (panel, number) do nothing
    """
    # Where a transaction that prunes does not hold up those that add: one that ended meanwhile was not seen.
    take_back: LiteralString = f"""
        delete from {{schema}}smm_order where id = any(array(
            select (select o.id from {{schema}}smm_order o where o.panel = t.panel and o.number = t.number)
            from {{texts::orders}} as given cross join lateral (
                select * from {{schema}}smm_pruned where {_OF_PANEL} and number = given.number offset 0
            ) as t
        ))
    """
    look: LiteralString = """
        select p.id, {until:p.paused_until}, {until:p.turn},
            (select count(*) from (
                select 1 from {schema}smm_order
                where panel = p.id and ended_at is null and due_at <= {now} order by due_at limit :limit
            ) as due),
            (select {until:min(due_at)} from {schema}smm_order where panel = p.id and ended_at is null)
        from {schema}smm_panel p where p.name = :panel
    """
    claim: LiteralString = f"""
        with due as (
            select id from {{schema}}smm_order
            where panel = :id and ended_at is null and due_at <= {{later::ahead}} and {_FIRST_DUE} <= {{now}}
            order by due_at limit :limit {{locked}}
        )
        update {{schema}}smm_order set due_at = {{later::lease}}, claim = claim + 1
        where id {{among:due}}
        returning id, number, claim, version, status, {{since:changed_at}}, misses
    """
    record: LiteralString = """
        with news as ({news})
        update {schema}smm_order as o set
            status = coalesce(n.status, o.status),
            state = case when n.status is null then o.state else n.state end,
            charge = case when n.status is null then o.charge else n.charge end,
            start_count = case when n.status is null then o.start_count else n.start_count end,
            remains = case when n.status is null then o.remains else n.remains end,
            currency = case when n.status is null then o.currency else n.currency end,
            misses = n.misses,
            due_at = {later:n.due_in},
            changed_at = case when n.status is null or n.status = o.status then o.changed_at else {now} end,
            ended_at = case when n.kind is null then null else {now} end
        from news as n
        where n.order_id = o.id and o.ended_at is null and n.version = o.version
            and (n.kind = 'ended' or n.claim = o.claim)
        returning id
    """
    put_events: LiteralString = """
        insert into {schema}smm_event
            (order_id, version, kind, status, state, charge, start_count, remains, currency, at)
        select id, version, :kind, status, state, charge, start_count, remains, currency, {now}
        from {schema}smm_order where id {one_of::ids}
    """
    new_events: LiteralString = f"""
        select {_EVENT} from {{schema}}smm_event e
        join {{schema}}smm_order o on o.id = e.order_id and o.version = e.version
        join {{schema}}smm_panel p on p.id = o.panel
        where o.id {{one_of::ids}} order by e.id
    """
    reserve: LiteralString = """
        update {schema}smm_panel set turn = {latest:turn, {now}} + {span::turns * :interval}
        where name = :panel and {latest:turn, {now}} + {span::turns * :interval} <= {later::horizon}
        returning {until:turn}
    """
    pause: LiteralString = """
        update {schema}smm_panel
        set paused_until = {latest:paused_until, {later::seconds}}, turn = {latest:turn, {later::seconds}}
        where name = :panel
    """
    find: LiteralString = f"""
        select {_TRACKED} from {{schema}}smm_order o join {{schema}}smm_panel p on p.id = o.panel
        join {{texts::orders}} as given on given.number = o.number
        where p.name = :panel order by o.id
    """
    page: LiteralString = f"""
        select {_TRACKED}, o.id from {{schema}}smm_order o join {{schema}}smm_panel p on p.id = o.panel
        where o.id > :after and (cast(:panel as text) is null or p.name = :panel)
            and (cast(:open as integer) is null or (o.ended_at is null) = (cast(:open as integer) = 1))
        order by o.id limit :limit
    """
    reopen: LiteralString = f"""
        update {{schema}}smm_order
        set ended_at = null, version = version + 1, claim = claim + 1, misses = 0, due_at = {{now}}, changed_at = {{now}}
        where number = :number and ended_at is not null and {_OF_PANEL}
    """
    bring_back: LiteralString = f"""
        insert into {{schema}}smm_order (panel, number, version, due_at, added_at, changed_at)
        select panel, number, version + 1, {{now}}, {{now}}, {{now}} from {{schema}}smm_pruned
        where number = :number and {_OF_PANEL}
        on conflict (panel, number) do nothing
    """
    forget_pruned: LiteralString = f"delete from {{schema}}smm_pruned where number = :number and {_OF_PANEL}"
    take: LiteralString = """
        with free as (
            select id from {schema}smm_event where taken_until is null or taken_until <= {now}
            order by id limit :limit {locked}
        )
        update {schema}smm_event set taken_until = {later::lease}, attempts = attempts + 1 where id {among:free} returning id
    """
    events: LiteralString = f"""
        select {_EVENT} from {{schema}}smm_event e
        join {{schema}}smm_order o on o.id = e.order_id
        join {{schema}}smm_panel p on p.id = o.panel
        where e.id {{one_of::ids}} order by e.id
    """
    ack: LiteralString = "delete from {schema}smm_event where id {one_of::ids}"
    # Again after a second, and after twice as long each time that it was taken; 300 at most.
    release: LiteralString = """
        update {schema}smm_event
        set taken_until = {later:case when attempts > 9 then 300 else 1 << (attempts - 1) end}
        where id {one_of::ids} and attempts > 0
    """
    stats: LiteralString = """
        select p.name, count(o.id) - count(o.ended_at),
            count(case when o.ended_at is null and o.due_at <= {now} then 1 end),
            {since:min(case when o.ended_at is null and o.due_at <= {now} then o.due_at end)},
            count(o.ended_at), cast(coalesce(sum(e.waiting), 0) as bigint), {until:p.paused_until}
        from {schema}smm_panel p
        left join {schema}smm_order o on o.panel = p.id
        left join (select order_id, count(*) as waiting from {schema}smm_event group by order_id) e on e.order_id = o.id
        group by p.id, p.name, p.paused_until order by p.name
    """
    prune_events: LiteralString = f"""
        delete from {{schema}}smm_event where order_id in
            (select o.id from {{schema}}smm_order o where {_ENDED_SINCE})
    """
    # Two statements where nobody else can change anything between them, and one where somebody can.
    keep_pruned: LiteralString = f"""
        insert into {{schema}}smm_pruned (panel, number, version)
        select o.panel, o.number, o.version from {{schema}}smm_order as o where {_TO_PRUNE}
    """
    prune: LiteralString = f"delete from {{schema}}smm_order as o where {_TO_PRUNE}"
    keep_and_prune: LiteralString = f"""
        with gone as (
            delete from {{schema}}smm_order as o where {_TO_PRUNE} returning o.panel, o.number, o.version
        )
        insert into {{schema}}smm_pruned (panel, number, version) select panel, number, version from gone
    """


def make_statements(holes: Mapping[str, _Hole], schema: str = "", marker: str = r":\1") -> Statements:
    r"""Return the statements for an engine.

    Args:
        holes: `SQLITE` or `POSTGRES`.
        schema: what stands before each table's name.
        marker: what the driver calls a parameter, in which ``\1`` is its name.
    """

    def fill(text: Any) -> Any:
        if isinstance(text, tuple):
            return tuple(map(fill, _TABLES))
        return _PARAMETER.sub(marker, text.format(schema=schema, **holes))

    texts: dict[str, Any] = attrs.asdict(Statements(_TABLES))
    return Statements(**{name: fill(text) for name, text in texts.items()})


def quote_name(name: str) -> LiteralString:
    """Return a name as SQL quotes it."""
    quoted = '"' + name.replace('"', '""') + '"'
    # To mypy, every text is a literal one.
    return cast("LiteralString", quoted)  # type: ignore[redundant-cast]
