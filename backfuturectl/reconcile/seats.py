"""A bot on the books: what it runs, what it was told, and what its connection allows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from backfuturectl.config.parsing import Document
from backfuturectl.engine.bot import Bot
from backfuturectl.exchanges.paper import PaperAccount
from backfuturectl.model.ids import bot_id, via_bot_id
from backfuturectl.model.market import Market, Quote
from backfuturectl.model.resources import ConnectionSpec, Strategy, StrategySpec
from backfuturectl.model.status import Reason
from backfuturectl.planning.plan import DesiredBot, RunningBot
from backfuturectl.reconcile.connections import Line
from backfuturectl.reconcile.hub import Shared
from backfuturectl.reconcile.supervisor import Supervisor
from backfuturectl.strategy.base import Gate
from backfuturectl.strategy.filled import filled

HEALTHY_LOOKS: Final = 3
"""How many looks in a row, a second apart, must find a cause gone before a bot trades freely."""


@dataclass(slots=True)
class Seat:
    """One bot on the books.

    Attributes:
        planned: What it was last told to be.
        account_digest: Of the Connection document whose account it uses.
        shared: Whose prices and candles it is told, whatever its connection names by now.
        seated_at_ms: When it was seated: prices are not stale before they could come.
        refused_digest: Of the edit that was last refused, and why; None when none is.
        market: The rules it trades by.
        worst_quote: What its strategy needs at worst by those rules, quote.
        misfit: The proof it breaks since they changed; empty while it fits.
        is_ended: Its task has ended for good; it is still seated because its row could not be read.
        paper: The exchange that a paper bot trades on; None for a live one.
        unhealthy: What holds the bot to exits, each with the looks in a row that found it gone.
    """

    supervisor: Supervisor
    planned: DesiredBot
    account_digest: str
    shared: Shared
    seated_at_ms: int
    market: Market
    worst_quote: Decimal
    misfit: str = ""
    is_draining: bool = False
    is_stopping: bool = False
    is_ended: bool = False
    refused_digest: str | None = None
    refused_why: str = ""
    paper: PaperAccount | None = None
    unhealthy: dict[str, int] = field(default_factory=dict)

    @property
    def bot(self) -> Bot:
        """The bot."""
        return self.supervisor.bot

    @property
    def has_open_deal(self) -> bool:
        """Whether it has a position, or an order that may rest."""
        view = self.bot.view()
        return view.deal_number is not None or view.open_orders > 0

    @property
    def may_hold_deal(self) -> bool:
        """Whether it has an open deal, or may have one on its account that its journal lost."""
        return self.has_open_deal or self.bot.has_lost_orders

    @property
    def targets(self) -> tuple[str, ...]:
        """What an operator's hold may name to reach it."""
        return (f"strategy/{self.planned.strategy}", f"connection/{self.planned.connection}", "all")

    @property
    def is_leaving(self) -> bool:
        """Whether it opens no deal any more, and goes when its last one has ended."""
        return self.is_draining or self.is_stopping

    def see_price(self, quote: Quote, at_ms: int) -> bool:
        """Take a quote of the feed for a paper bot, whose exchange sees it first.

        Returns:
            Whether the bot's task has to look at it.
        """
        assert self.paper is not None, "any other bot listens to the feed itself"
        self.paper.see(quote, at_ms)
        return self.bot.offer_price(quote, at_ms)

    def fall_silent(self) -> None:
        """Be told no more prices and candles."""
        self.shared.feed.mute(self.planned.pair, self.planned.bot)
        self.shared.candles.unfollow(self.planned.bot)

    def follow(self, market: Market) -> None:
        """Trade by the newest rules of the market."""
        self.market = market
        if self.paper is not None:
            self.paper.use(market)
        self.obey_market()

    def obey_market(self) -> None:
        """Let the bot only exit while the exchange takes no new orders of its pair."""
        if self.market.is_active:
            self.bot.release("market")
        else:
            self.bot.hold("market", Gate.EXITS_ONLY, self.closed)

    @property
    def closed(self) -> str:
        """What to say of a closed market; empty while it is open."""
        if self.market.is_active:
            return ""
        return f"{self.market.pair} is not open for trading on {self.market.exchange}"

    def running(self) -> RunningBot:
        """Return what `planning` needs to know."""
        return running_bot(
            self.planned,
            has_open_deal=self.may_hold_deal,
            is_compared=self.bot.has_compared,
            is_draining=self.is_draining,
            is_stopping=self.is_stopping,
            refused_digest=self.refused_digest,
        )

    def obey(self, line: Line) -> None:
        """Let the bot do what its connection's standing allows.

        A bot trades freely only through the account of the newest key, and only while that key's
        last test passed.
        """
        why = ""
        if not line.is_online:
            standing = line.report.outcome if line.report is not None else Reason.NOT_TESTED
            why = f"connection is {standing}"
        elif self.account_digest != line.account_digest:
            why = "its key is being replaced"
        elif self.paper is None:
            self.bot.identify(line.account_id)
        self._judge("connection", why, reconcile=True)

    def watch(self, line: Line, *, now_ms: int, stale_after_ms: int) -> None:
        """Hold the bot to exits while its prices are stale, or this machine's clock is wrong."""
        # A clock that was set back must not hide for long that prices have stopped.
        self.seated_at_ms = min(self.seated_at_ms, now_ms)
        feed, pair = self.shared.feed, self.planned.pair
        stale = ""
        if now_ms - max(feed.last_at_ms(pair), self.seated_at_ms) > stale_after_ms:
            why = feed.why_stale(pair)
            stale = f"no fresh price: {why}" if why else "no fresh price"
        self._judge("prices", stale)
        trouble = line.shared.clock.trouble if line.shared is not None else ""
        self._judge("clock", f"{Reason.CLOCK_SKEW}: {trouble}" if trouble else "", reconcile=True)

    def _judge(self, what: str, why: str, *, reconcile: bool = False) -> None:
        """Hold the bot to exits for *what* while there is a *why*; see `HEALTHY_LOOKS`."""
        if why:
            self.unhealthy[what] = 0
            self.bot.hold(what, Gate.EXITS_ONLY, why)
            return
        if what not in self.unhealthy:
            return
        self.unhealthy[what] += 1
        if self.unhealthy[what] >= HEALTHY_LOOKS:
            del self.unhealthy[what]
            self.bot.release(what, reconcile=reconcile)


def running_bot(
    planned: DesiredBot,
    *,
    has_open_deal: bool,
    is_compared: bool = True,
    is_draining: bool = False,
    is_stopping: bool = False,
    refused_digest: str | None = None,
) -> RunningBot:
    """Return *planned* as a bot on the books."""
    return RunningBot(
        bot=planned.bot,
        strategy=planned.strategy,
        connection=planned.connection,
        pair=planned.pair,
        spec=planned.spec,
        generation=planned.generation,
        digest=planned.digest,
        has_open_deal=has_open_deal,
        is_compared=is_compared,
        is_draining=is_draining,
        is_stopping=is_stopping,
        refused_digest=refused_digest,
    )


def desired_bots(
    document: Document,
    connection: ConnectionSpec,
    *,
    generation: int,
    extra_pairs: Iterable[str] = (),
) -> dict[str, DesiredBot]:
    """Return the bots that a Strategy *document* asks for on its *connection*, presets filled in.

    Args:
        document: A usable Strategy document.
        connection: What its Connection says.
        generation: What the bots are to be traced to.
        extra_pairs: Pairs beyond the document's, whose bots are on the books still.
    """
    spec = spec_of(document)
    complete = filled(spec, connection.capital, connection.market)
    firsts = [
        DesiredBot(
            bot=bot_id(document.name, pair),
            strategy=document.name,
            connection=spec.connection,
            pair=pair,
            spec=complete,
            generation=generation,
            digest=document.digest,
        )
        for pair in dict.fromkeys((*spec.pairs, *extra_pairs))
    ]
    via = spec.via_connection
    # The limit is the strategy's one limit, also where it is a share of its own connection's
    # capital, and markets of one kind leave the presets as they are.
    seconds = [
        replace(first, bot=via_bot_id(first.bot, via), connection=via, primary=first.bot)
        for first in firsts
        if via is not None
    ]
    return {bot.bot: bot for bot in (*firsts, *seconds)}


def spec_of(document: Document) -> StrategySpec:
    """Return what a usable Strategy document says."""
    resource = document.resource
    assert isinstance(resource, Strategy), "a usable Strategy document has its resource"
    return resource.spec
