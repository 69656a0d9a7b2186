from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfuturectl.model.resources import StrategySpec
from backfuturectl.planning.plan import (
    DesiredBot,
    DrainBot,
    Effect,
    Ending,
    PlanAction,
    RefuseEdit,
    ReplaceBot,
    RunningBot,
    StartBot,
    StopBot,
    UpdateBot,
    plan,
)

PAIR = "BTC/USDT"
REMOVED = "the strategy was removed from the files"


def spec(**fields: Any) -> StrategySpec:
    base = {"connection": "main", "pairs": [PAIR], "leverage": 2}
    return StrategySpec.model_validate(base | fields)


def desired(name: str = "eth", *, digest: str = "new", **fields: Any) -> DesiredBot:
    wanted = spec(**fields)
    return DesiredBot(f"{name}/BTC-USDT", name, wanted.connection, PAIR, wanted, 2, digest)


def running(name: str = "eth", *, digest: str = "old", **fields: Any) -> RunningBot:
    flags = {
        key: fields.pop(key)
        for key in ("has_open_deal", "is_compared", "is_draining", "is_stopping", "refused_digest")
        if key in fields
    }
    current = spec(**fields)
    return RunningBot(
        f"{name}/BTC-USDT", name, current.connection, PAIR, current, 1, digest, **flags
    )


def planned(
    wanted: DesiredBot | None, current: RunningBot | None, *others: RunningBot
) -> tuple[PlanAction, ...]:
    return plan(
        {} if wanted is None else {wanted.bot: wanted},
        {bot.bot: bot for bot in ([] if current is None else [current]) + list(others)},
    )


def test_a_new_bot_is_started() -> None:
    assert planned(desired(), None) == (StartBot("eth/BTC-USDT", desired()),)


def test_equal_digests_need_nothing() -> None:
    assert planned(desired(digest="same"), running(digest="same", has_open_deal=True)) != ()
    same = replace(running(digest="same"), generation=2)
    assert planned(desired(digest="same"), same) == ()


def test_a_share_of_capital_that_was_edited_reaches_a_bot_whose_document_is_the_same() -> None:
    wanted = desired(digest="same", marginLimit="800 USDT")
    current = running(digest="same", marginLimit="1000 USDT", has_open_deal=True)
    (action,) = planned(wanted, replace(current, generation=2))
    assert isinstance(action, UpdateBot)
    assert [(c.change.path, c.change.new) for c in action.changes] == [("marginLimit", "800 USDT")]


@pytest.mark.parametrize(
    ("on_change", "base_order", "effect"),
    [
        ("adopt", "auto", Effect.REPLANNED),
        ("adopt", "20 USDT", Effect.AT_ONCE),
        ("keep", "auto", Effect.AT_ONCE),
        ("close", "auto", Effect.AT_ONCE),
    ],
)
def test_a_limit_plans_the_ladder_anew_only_where_it_is_adopted_and_sizes_it(
    on_change: str, base_order: str, effect: Effect
) -> None:
    common = {"onChange": on_change, "baseOrder": base_order}
    current = running(maxActiveDeals=2, has_open_deal=True, **common)
    (action,) = planned(desired(maxActiveDeals=1, **common), current)
    assert isinstance(action, UpdateBot)
    assert [change.effect for change in action.changes] == [effect]


# The specification's table, cell by cell, for a bot with an open deal.
@pytest.mark.parametrize(
    ("field", "on_change", "kind", "effect"),
    [
        ("live", "keep", UpdateBot, Effect.AT_ONCE),
        ("live", "adopt", UpdateBot, Effect.AT_ONCE),
        ("live", "drain", UpdateBot, Effect.AT_ONCE),
        ("live", "close", UpdateBot, Effect.AT_ONCE),
        ("ladder", "keep", UpdateBot, Effect.NEXT_DEAL),
        ("ladder", "adopt", UpdateBot, Effect.REPLANNED),
        ("ladder", "drain", UpdateBot, Effect.NEXT_DEAL),
        ("ladder", "close", ReplaceBot, Effect.AFTER_CLOSE),
        ("identity", "keep", RefuseEdit, Effect.REFUSED),
        ("identity", "adopt", RefuseEdit, Effect.REFUSED),
        ("identity", "drain", ReplaceBot, Effect.AFTER_FLAT),
        ("identity", "close", ReplaceBot, Effect.AFTER_CLOSE),
    ],
)
def test_an_edit_does_to_an_open_deal_what_the_table_says(
    field: str, on_change: str, kind: type[PlanAction], effect: Effect
) -> None:
    edit: dict[str, Any] = {
        "live": {"takeProfit": {"percent": 2}},
        "ladder": {"averaging": {"stepScale": Decimal("1.2")}},
        "identity": {"leverage": 3},
    }[field]
    current = running(onChange=on_change, has_open_deal=True)
    (action,) = planned(desired(onChange=on_change, **edit), current)
    assert isinstance(action, kind)
    assert isinstance(action, UpdateBot | ReplaceBot | RefuseEdit)
    assert [change.effect for change in action.changes] == [effect]


@pytest.mark.parametrize("on_change", ["keep", "adopt", "drain", "close"])
def test_a_flat_bot_takes_every_edit_at_once(on_change: str) -> None:
    ladder = desired(baseOrder="10 USDT", onChange=on_change)
    (updated,) = planned(ladder, running(onChange=on_change))
    assert isinstance(updated, UpdateBot)
    assert updated.changes[0].effect is Effect.AT_ONCE
    (replaced,) = planned(desired(leverage=3, onChange=on_change), running(onChange=on_change))
    assert isinstance(replaced, ReplaceBot)
    assert replaced.how is Ending.FLAT


def test_the_new_document_decides_how_its_edit_is_carried_out() -> None:
    current = running(onChange="keep", has_open_deal=True)
    (action,) = planned(desired(leverage=3, onChange="drain"), current)
    assert isinstance(action, ReplaceBot)
    assert action.how is Ending.DRAIN


def test_a_refusal_names_the_fields_and_is_said_once() -> None:
    (action,) = planned(desired(leverage=3, mode="paper"), running(has_open_deal=True))
    assert isinstance(action, RefuseEdit)
    assert action.why == "mode, leverage cannot change while a deal is open"
    told = running(has_open_deal=True, refused_digest=action.digest)
    assert planned(desired(leverage=3, mode="paper"), told) == ()


def test_a_refused_edit_is_carried_out_when_the_deal_has_ended() -> None:
    (action,) = planned(desired(leverage=3), running(refused_digest="new"))
    assert isinstance(action, ReplaceBot)


def test_a_refused_edit_that_is_taken_back_is_forgotten() -> None:
    current = running(digest="same", has_open_deal=True, refused_digest="new")
    (action,) = planned(desired(digest="same"), current)
    assert isinstance(action, UpdateBot)
    assert action.changes == ()


def test_a_bot_that_waits_for_flat_is_left_in_peace_until_it_is() -> None:
    wanted = desired(leverage=3, onChange="drain")
    assert planned(wanted, running(has_open_deal=True, is_draining=True)) == ()
    (action,) = planned(wanted, running(is_draining=True))
    assert isinstance(action, ReplaceBot)
    assert action.how is Ending.FLAT


def test_a_drain_whose_reason_is_gone_is_lifted() -> None:
    (action,) = planned(desired(), running(has_open_deal=True, is_draining=True))
    assert isinstance(action, UpdateBot)
    assert action.is_resumed


@pytest.mark.parametrize(
    ("on_delete", "expected"),
    [
        ("drain", DrainBot("eth/BTC-USDT", REMOVED)),
        (
            "close",
            StopBot("eth/BTC-USDT", Ending.CLOSE, REMOVED, "spec.onDelete"),
        ),
        (
            "abandon",
            StopBot("eth/BTC-USDT", Ending.ABANDON, REMOVED, "spec.onDelete"),
        ),
    ],
)
def test_a_removed_strategy_ends_as_its_stored_document_says(
    on_delete: str, expected: PlanAction
) -> None:
    assert planned(None, running(onDelete=on_delete, has_open_deal=True)) == (expected,)


@pytest.mark.parametrize("on_delete", ["drain", "close", "abandon"])
def test_a_removed_bot_without_a_deal_just_ends(on_delete: str) -> None:
    (action,) = planned(None, running(onDelete=on_delete))
    assert isinstance(action, StopBot)
    assert action.how is Ending.FLAT


def test_a_bot_that_has_not_looked_at_the_exchange_only_opens_no_deal_for_now() -> None:
    unsure = running(is_compared=False, onChange="close", onDelete="abandon")
    (action,) = planned(desired(leverage=3, onChange="close"), unsure)
    assert isinstance(action, ReplaceBot)
    assert action.how is Ending.DRAIN
    assert planned(None, unsure) == (DrainBot("eth/BTC-USDT", REMOVED),)
    told = replace(unsure, is_draining=True)
    assert planned(desired(leverage=3, onChange="close"), told) == ()
    assert planned(None, told) == ()
    assert planned(desired(leverage=3), replace(unsure, is_stopping=True)) == ()


def test_an_edit_that_replaces_nothing_waits_for_no_look_at_the_exchange() -> None:
    (action,) = planned(desired(marginLimit="500 USDT"), running(is_compared=False))
    assert isinstance(action, UpdateBot)


def test_a_draining_orphan_is_left_in_peace() -> None:
    assert planned(None, running(has_open_deal=True, is_draining=True)) == ()


@pytest.mark.parametrize(
    ("on_change", "closes"), [("keep", False), ("drain", False), ("close", True)]
)
def test_a_removed_pair_follows_the_strategys_newest_document(on_change: str, closes: bool) -> None:
    orphan = replace(running(has_open_deal=True), bot="eth/ETH-USDT", pair="ETH/USDT")
    current = replace(running(digest="new"), generation=2)
    (action, *_) = planned(desired(onChange=on_change), current, orphan)
    assert action.bot == "eth/ETH-USDT"
    assert isinstance(action, StopBot if closes else DrainBot)


def test_nothing_replaces_a_bot_whose_end_is_not_confirmed() -> None:
    assert planned(desired(leverage=9), running(is_stopping=True, has_open_deal=True)) == ()
    assert planned(None, running(is_stopping=True, has_open_deal=True)) == ()


def test_a_renamed_strategy_starts_after_its_former_self_is_gone() -> None:
    former = running("former", has_open_deal=True)
    actions = planned(desired("latter"), None, former)
    assert [type(action) for action in actions] == [DrainBot, StartBot]
    start = actions[-1]
    assert isinstance(start, StartBot)
    assert start.after == ("former/BTC-USDT",)


def test_a_new_bot_waits_for_departing_bots_of_other_strategies() -> None:
    former = running("former", has_open_deal=True)
    elsewhere = running("elsewhere", connection="other")
    wanted = desired("latter")
    (start,) = plan({wanted.bot: wanted}, {}, departing=[former, elsewhere])
    assert isinstance(start, StartBot)
    assert start.after == ("former/BTC-USDT",)


def test_a_bot_that_moves_to_another_account_clears_the_way_first() -> None:
    moving = running("moving", connection="main")
    moved = desired("moving", connection="other")
    comer = desired("comer", connection="main")
    actions = plan({moved.bot: moved, comer.bot: comer}, {moving.bot: moving})
    assert isinstance(actions[0], ReplaceBot)
    assert isinstance(actions[1], StartBot)
    assert actions[1].after == ("moving/BTC-USDT",)


def test_stops_come_before_starts() -> None:
    wanted = {bot.bot: bot for bot in (desired("a"), desired("b", leverage=3), desired("c"))}
    current = {
        bot.bot: bot
        for bot in (running("b"), running("c"), running("y", has_open_deal=True), running("z"))
    }
    kinds = [type(action) for action in plan(wanted, current)]
    assert kinds == [StopBot, DrainBot, ReplaceBot, UpdateBot, StartBot]


# A model of what carrying out an action does to the books.


def apply(
    books: Mapping[str, RunningBot], actions: tuple[PlanAction, ...]
) -> dict[str, RunningBot]:
    bots = dict(books)
    for action in actions:
        match action:
            case StopBot():
                del bots[action.bot]
            case DrainBot():
                bots[action.bot] = replace(bots[action.bot], is_draining=True)
            case RefuseEdit():
                bots[action.bot] = replace(bots[action.bot], refused_digest=action.digest)
            case ReplaceBot(how=Ending.DRAIN):
                bots[action.bot] = replace(bots[action.bot], is_draining=True)
            case ReplaceBot():
                del bots[action.bot]
                start(bots, action.desired, action.after)
            case UpdateBot():
                bot = bots[action.bot]
                bots[action.bot] = replace(
                    fresh(action.desired),
                    has_open_deal=bot.has_open_deal,
                    is_draining=bot.is_draining and not action.is_resumed,
                )
            case StartBot():
                start(bots, action.desired, action.after)
    return bots


def start(bots: dict[str, RunningBot], wanted: DesiredBot, after: tuple[str, ...]) -> None:
    if not any(name in bots for name in after):
        bots[wanted.bot] = fresh(wanted)


def fresh(wanted: DesiredBot) -> RunningBot:
    return RunningBot(
        wanted.bot,
        wanted.strategy,
        wanted.connection,
        wanted.pair,
        wanted.spec,
        wanted.generation,
        wanted.digest,
    )


_SPECS = [
    spec(connection=connection, leverage=leverage, baseOrder=base, onChange=change, onDelete=delete)
    for connection in ("main", "other")
    for leverage in (1, 2)
    for base in ("10 USDT", "20 USDT")
    for change in ("keep", "adopt", "drain", "close")
    for delete in ("drain", "close", "abandon")
]


@st.composite
def worlds(
    draw: st.DrawFn,
) -> tuple[dict[str, DesiredBot], dict[str, RunningBot]]:
    wanted: dict[str, DesiredBot] = {}
    current: dict[str, RunningBot] = {}
    for name in draw(st.sets(st.sampled_from("abcd"))):
        number = draw(st.integers(0, len(_SPECS) - 1))
        bot = f"{name}/BTC-USDT"
        chosen = _SPECS[number]
        wanted[bot] = DesiredBot(bot, name, chosen.connection, PAIR, chosen, 1, f"d{number}")
    for name in draw(st.sets(st.sampled_from("abcd"))):
        number = draw(st.integers(0, len(_SPECS) - 1))
        bot = f"{name}/BTC-USDT"
        chosen = _SPECS[number]
        current[bot] = RunningBot(
            bot,
            name,
            chosen.connection,
            PAIR,
            chosen,
            1,
            f"d{number}",
            has_open_deal=draw(st.booleans()),
            is_compared=draw(st.booleans()),
            is_draining=draw(st.booleans()),
            is_stopping=draw(st.booleans()),
            refused_digest=draw(st.sampled_from([None, "d0", "d1"])),
        )
    return wanted, current


@given(world=worlds())
def test_applying_a_plan_leaves_nothing_but_starts_that_wait(
    world: tuple[dict[str, DesiredBot], dict[str, RunningBot]],
) -> None:
    wanted, current = world
    books = apply(current, plan(wanted, current))
    # A start may have waited for a bot that the same plan ended.
    books = apply(books, plan(wanted, books))
    for action in plan(wanted, books):
        assert isinstance(action, StartBot)
        assert any(name in books for name in action.after)


@given(world=worlds())
def test_when_every_deal_ends_the_books_become_what_is_desired(
    world: tuple[dict[str, DesiredBot], dict[str, RunningBot]],
) -> None:
    wanted, books = world
    for _ in range(4):
        books = apply(books, plan(wanted, books))
        ended = {
            name: replace(bot, has_open_deal=False, is_compared=True) for name, bot in books.items()
        }
        books = {name: bot for name, bot in ended.items() if not bot.is_stopping}
    assert plan(wanted, books) == ()
    assert {name: bot.digest for name, bot in books.items()} == {
        name: bot.digest for name, bot in wanted.items()
    }


@given(world=worlds())
def test_an_open_deal_loses_its_bot_only_when_a_document_says_so(
    world: tuple[dict[str, DesiredBot], dict[str, RunningBot]],
) -> None:
    wanted, current = world
    for action in plan(wanted, current):
        if isinstance(action, StopBot | ReplaceBot) and action.how is not Ending.DRAIN:
            bot = current[action.bot]
            assert bot.is_compared or bot.has_open_deal
            if not bot.has_open_deal:
                continue
            document = wanted.get(action.bot)
            if document is None:
                assert bot.spec.on_delete == action.how
            else:
                assert document.spec.on_change == action.how == "close"


@given(world=worlds())
def test_the_order_of_the_inputs_does_not_matter(
    world: tuple[dict[str, DesiredBot], dict[str, RunningBot]],
) -> None:
    wanted, current = world
    backwards = plan(dict(reversed(wanted.items())), dict(reversed(current.items())))
    assert backwards == plan(wanted, current)


@pytest.mark.parametrize(
    ("newcomer", "leaver", "waits"),
    [("live", "live", True), ("paper", "live", False), ("live", "paper", False)],
)
def test_paper_and_live_bots_are_not_in_each_others_way(
    newcomer: str, leaver: str, waits: bool
) -> None:
    wanted = desired("new", mode=newcomer)
    leaving = running("old", mode=leaver, has_open_deal=True)
    (action,) = plan({wanted.bot: wanted}, {}, departing=[leaving])
    assert isinstance(action, StartBot)
    assert bool(action.after) == waits
