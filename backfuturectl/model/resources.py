"""The file format: Connection, Strategy and Policy.

A field that a risk preset may fill is None when the file leaves it out; `strategy.presets` resolves
it. Field descriptions go into the JSON Schemas and into ``backfuturectl explain``.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from backfuturectl.model.candles import Interval
from backfuturectl.model.market import MarketKind
from backfuturectl.model.units import DurationMs, Money, MoneyOrAuto, MoneyOrShare, Number

API_VERSION = "backfuture.ai/v1alpha1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Pair = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,20}/[A-Z0-9]{2,12}$")]
ScheduleWindow = Annotated[
    str,
    StringConstraints(
        pattern=r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)(-(Mon|Tue|Wed|Thu|Fri|Sat|Sun))? "
        r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$"
    ),
]
Flag = Annotated[bool, Strict()]
"""`true` or `false`; never the text or number that looks like one."""
Whole = Annotated[int, Strict()]
"""A whole number; never the text that looks like one."""
Positive = Annotated[Number, Field(gt=0), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
NonNegative = Annotated[Number, Field(ge=0), WithJsonSchema({"type": "number", "minimum": 0})]
Percent = Annotated[
    Number,
    Field(gt=0, lt=100),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 100}),
]
Share100 = Annotated[
    Number,
    Field(gt=0, le=100),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 100}),
]
Slippage = Annotated[
    Number, Field(ge=0, le=5), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 5})
]


class _Document(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        populate_by_name=False,
        defer_build=True,
    )


class Exchange(enum.StrEnum):
    """Exchanges this program knows; values are the product's ids."""

    MEXC = "mexc"
    KUCOIN = "kucoin"
    BINANCE = "binance"
    OKX = "okx"
    BITGET = "bitget"
    GATE = "gate"
    HTX = "htx"
    BINGX = "bingx"
    COINBASE = "coinbase"
    BYBIT = "bybit"


class Environment(enum.StrEnum):
    """Which of an exchange's worlds a key belongs to."""

    LIVE = "live"
    SANDBOX = "sandbox"
    EMULATOR = "emulator"


class Metadata(_Document):
    """What a document is called."""

    name: Name = Field(description="Identifier, unique per kind; other documents refer to it.")
    title: str | None = Field(
        None, max_length=80, description="Display name: exchange, market and purpose."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Free key-value pairs.")


class IpWhitelist(_Document):
    """What the key's IP restriction is expected to be."""

    require: Flag = Field(
        default=False, description="Refuse the key when it works from any address."
    )
    addresses: tuple[str, ...] = Field((), description="This server's public addresses.")


class Attest(_Document):
    """What the exchange's API cannot tell and the owner states."""

    two_factor: Flag = Field(
        default=False, description="Two-factor authentication is on for the account."
    )


class Credentials(_Document):
    """API key material; SOPS ciphertext in every file."""

    api_key: str = Field(description="The API key.", json_schema_extra={"x-secret": True})
    secret: str = Field(description="The API secret.", json_schema_extra={"x-secret": True})
    password: str | None = Field(
        None,
        description="The passphrase: KuCoin, OKX and Bitget.",
        json_schema_extra={"x-secret": True},
    )


class ConnectionSpec(_Document):
    """One exchange account through one API key."""

    exchange: Exchange = Field(description="Which exchange.")
    market: MarketKind = Field(description="spot or futures (USDT-margined).")
    environment: Environment = Field(
        Environment.LIVE, description="live, sandbox where the exchange has one, or emulator."
    )
    endpoint: str | None = Field(
        None,
        description="Base URL; only for environment emulator and only on loopback.",
    )
    capital: Money = Field(description="Declared capital; all strategies on it together must fit.")
    ip_whitelist: IpWhitelist = Field(
        IpWhitelist.model_construct(),
        description="What the key's IP restriction is expected to be.",
    )
    attest: Attest = Field(
        Attest.model_construct(),
        description="What the exchange's API cannot tell and the owner states.",
    )
    accept: tuple[Literal["PermissionsUnverifiable"], ...] = Field(
        (), description="Findings accepted by name; a withdrawal right can never be."
    )
    credentials: Credentials = Field(description="API key material, as SOPS ciphertext.")


class Connection(_Document):
    """An exchange account; a SOPS file whose MAC covers the whole document."""

    api_version: Literal["backfuture.ai/v1alpha1"] = Field(description="Version of the format.")
    kind: Literal["Connection"] = Field(description="What this document is.")
    metadata: Metadata = Field(description="What it is called.")
    spec: ConnectionSpec = Field(description="The account and how it may be used.")


class Direction(enum.StrEnum):
    """Which way a deal profits."""

    LONG = "long"
    SHORT = "short"


class Risk(enum.StrEnum):
    """Named sets of starting values; `custom` fills nothing."""

    CONSERVATIVE = "conservative"
    BALANCED = "balanced"
    AGGRESSIVE = "aggressive"
    CUSTOM = "custom"


class RsiEntry(_Document):
    """When the relative strength index lets a deal open: at most one deal per candle."""

    period: Annotated[Whole, Field(ge=2, le=24)] = Field(
        14, description="Candles that Wilder's smoothing averages over."
    )
    interval: Interval = Field(
        Interval.HOUR, description="Length of the candles; only closed ones are read."
    )
    below: Percent | None = Field(
        None, description="Open at or below this. A long with neither opens at or below 30."
    )
    above: Percent | None = Field(
        None, description="Open at or above this. A short with neither opens at or above 70."
    )


class Entry(_Document):
    """When and how a deal opens."""

    trigger: Literal["immediate", "schedule", "priceBelow", "priceAbove", "rsi"] = Field(
        "immediate", description="What opens a deal."
    )
    price: Positive | None = Field(None, description="For priceBelow and priceAbove.")
    rsi: RsiEntry | None = Field(
        None,
        description="For rsi. Absent: 14 candles of 1h, below 30 for a long, above 70 for a short.",
    )
    order_type: Literal["limit", "market"] = Field(
        "limit",
        description=(
            "Type of the base order. `market` pays whatever is asked by then; it is refused "
            "(V-MARGIN) unless marginLimit has room for a base order half as large again, which "
            "rungs give way to. Where there is none, the `limit` of a short rests post-only, a "
            "tick above the price."
        ),
    )
    timeout: DurationMs = Field(600_000, description="A base order not filled by then is canceled.")
    max_slippage_pct: Slippage = Field(
        Decimal("0.3"),
        description="How far beyond the last price a base limit order may reach.",
    )


class Averaging(_Document):
    """The ladder of averaging orders; a preset fills what is absent."""

    reference: Literal["baseOrder", "lastFill"] = Field(
        "baseOrder", description="What deviations are measured from."
    )
    first_deviation_pct: Percent | None = Field(None, description="δ: distance of the first rung.")
    step_scale: Positive | None = Field(None, description="g: each distance times this.")
    first_size_ratio: Positive | None = Field(None, description="A / B: first rung to base order.")
    volume_scale: Positive | None = Field(None, description="v: each rung's size times this.")
    max_orders: Annotated[Whole, Field(ge=0, le=50)] | None = Field(None, description="K: rungs.")
    max_placed: Annotated[Whole, Field(ge=1, le=50)] = Field(
        3, description="Rungs resting on the book at once."
    )
    min_interval: DurationMs = Field(
        0, description="After a rung has filled none is placed for so long; those resting may fill."
    )
    min_average_improvement_pct: NonNegative = Field(
        Decimal("0.5"),
        description="A rung must improve the average by at least this.",
    )


class TakeProfitStep(_Document):
    """One part of a staged exit."""

    share_pct: Share100 = Field(description="Part of the position; all steps sum to 100.")
    profit_pct: Positive = Field(description="Distance from the average.")


class Trailing(_Document):
    """Follow the price after the target is touched."""

    deviation_pct: Percent = Field(description="How far the price turns before the deal closes.")


class TakeProfit(_Document):
    """The profitable exit."""

    percent: Percent | None = Field(None, description="Distance from the average.")
    steps: tuple[TakeProfitStep, ...] = Field(
        (), max_length=4, description="Staged exit, instead of one order."
    )
    trailing: Trailing | None = Field(
        None,
        description="Absent: resting limit orders. With steps the last one trails, with all that "
        "is left; the others rest.",
    )


class StopLoss(_Document):
    """The exit that limits a loss."""

    percent: Percent | None = Field(None, description="Distance from the reference.")
    reference: Literal["baseOrder", "average"] = Field(
        "baseOrder", description="What the distance is measured from."
    )
    confirm_for: DurationMs = Field(
        0,
        description="The price must stay beyond this long. Such a stop is watched by the daemon.",
    )
    on_exchange: Literal["preferred", "never"] = Field(
        "preferred",
        description="Rest it on the exchange where a stop can wait there beside the take profit "
        "(KuCoin futures), so that it works while the daemon is down; elsewhere the daemon "
        "watches the price. `never`: always watched.",
    )
    action: Literal["closeDeal"] = Field("closeDeal", description="What the stop does.")


class RecoveryTrigger(_Document):
    """Any one, held for confirmFor, starts Recovery Mode."""

    drawdown_pct: Percent | None = Field(
        None, description="Distance of the price from the deal's average, fees in."
    )
    margin_used_pct: Percent | None = Field(None, description="Of the deal's whole margin.")
    averaging_used_pct: Percent | None = Field(None, description="Rungs filled, of all.")
    underwater_for: DurationMs = Field(259_200_000, description="At a loss for this long.")
    manual: Flag = Field(default=False, description="Start it now, by hand.")
    confirm_for: DurationMs = Field(900_000, description="How long a trigger must hold.")
    ema_span: DurationMs = Field(3_600_000, description="Smoothing of the price.")


class RecoveryStrict(_Document):
    """Conditions for an add-on in Recovery Mode."""

    min_average_improvement_pct: NonNegative = Field(
        Decimal("1.0"), description="An add-on must improve the average by at least this."
    )
    min_spacing_pct: NonNegative = Field(
        Decimal("3.0"), description="Least distance from the last fill."
    )
    min_interval: DurationMs = Field(14_400_000, description="Least time between two add-ons.")
    max_extra_orders: Annotated[Whole, Field(ge=0, le=10)] = Field(
        0, description="Add-ons beyond the ladder."
    )


class RecoveryReduce(_Document):
    """Optionally realise a small, budgeted loss on a rebound."""

    enabled: Flag = Field(default=False, description="Whether to reduce at all.")
    close_pct: Percent = Field(Decimal(4), description="Part of the position closed at a time.")
    rebound_pct: Percent = Field(Decimal(3), description="Rise from the low that it waits for.")
    min_interval: DurationMs = Field(21_600_000, description="Least time between two reductions.")
    loss_budget_pct: Percent = Field(
        Decimal("1.0"),
        description="Most loss realised this way within maxPerWindow.window, of the deal's margin.",
    )


_VIA: Final = "viaConnection:"


class RecoveryActions(_Document):
    """What Recovery Mode does."""

    new_deals: Annotated[
        str, StringConstraints(pattern=r"^(block|viaConnection: ?[a-z0-9-]+)$")
    ] = Field("block", description="block, or `viaConnection: NAME` for deals elsewhere.")
    add_ons: Literal["off", "strict"] = Field(
        "strict", description="Whether the ladder may go on, under the strict conditions."
    )
    strict: RecoveryStrict = Field(
        RecoveryStrict.model_construct(), description="Conditions for an add-on."
    )
    take_profit_pct: Percent | None = Field(
        None, description="Distance from the average; trailing is off."
    )
    reduce: RecoveryReduce = Field(
        RecoveryReduce.model_construct(), description="Realise a small, budgeted loss on a rebound."
    )


class RecoveryExit(_Document):
    """When Recovery Mode ends without closing the deal."""

    drawdown_pct: Percent = Field(Decimal(3), description="Drawdown must be below this.")
    margin_used_pct: Percent = Field(Decimal(50), description="Margin used must be below this.")
    confirm_for: DurationMs = Field(3_600_000, description="How long both must hold.")


class RecoveryWindow(_Document):
    """How many escalations are too many."""

    count: Annotated[Whole, Field(ge=1)] = Field(2, description="Escalations within the window.")
    window: DurationMs = Field(2_592_000_000, description="Length of the window.")


class RecoveryEscalate(_Document):
    """When Recovery Mode gives up."""

    drawdown_pct: Percent | None = Field(None, description="Give up at this drawdown.")
    max_duration: DurationMs = Field(1_209_600_000, description="Give up after this long.")
    action: Literal["close"] = Field("close", description="What giving up means.")
    cooldown: DurationMs = Field(129_600_000, description="Rest afterwards.")
    max_per_window: RecoveryWindow = Field(
        RecoveryWindow.model_construct(), description="More escalations than this halt the bot."
    )


class Recovery(_Document):
    """Recovery Mode; a preset fills what is absent."""

    enabled: Flag = Field(default=True, description="false switches Recovery Mode off.")
    trigger: RecoveryTrigger = Field(
        RecoveryTrigger.model_construct(), description="Any one starts it."
    )
    actions: RecoveryActions = Field(RecoveryActions.model_construct(), description="What it does.")
    exit: RecoveryExit = Field(
        RecoveryExit.model_construct(), description="When it ends without closing the deal."
    )
    escalate: RecoveryEscalate = Field(
        RecoveryEscalate.model_construct(), description="When it gives up."
    )


class Caps(_Document):
    """Hard limits beyond the margin limit."""

    max_order_notional: Money | None = Field(
        None, description="Largest single order that adds to a position; exits are not cut."
    )
    max_open_orders: Annotated[Whole, Field(ge=1)] | None = Field(
        None,
        description="Orders resting at once, over all pairs. A stop that waits on the exchange "
        "takes two places: its successor goes out before it is canceled.",
    )
    max_daily_realised_loss_pct: Percent | None = Field(
        None,
        description="Of marginLimit, each bot for one deal's part; no new deal that day (UTC).",
    )
    max_deal_age: DurationMs | None = Field(
        None, description="An older deal is reported and adds nothing any more."
    )
    max_spread_pct: Percent | None = Field(
        None,
        description="No new deal while bid and ask are further apart than this share of their "
        "middle, or not known.",
    )


class Cooldown(_Document):
    """Rest between deals."""

    after_take_profit: DurationMs = Field(60_000, description="After a profitable exit.")
    after_stop_loss: DurationMs = Field(21_600_000, description="After the stop.")
    after_recovery: DurationMs = Field(
        129_600_000, description="After Recovery Mode closed a deal."
    )


class Schedule(_Document):
    """When new deals may open; never blocks exits."""

    timezone: str = Field("UTC", description="IANA name, `Europe/Berlin`.")
    new_deals: tuple[ScheduleWindow, ...] = Field(
        ("Mon-Sun 00:00-24:00",),
        description="Windows in which a deal may open; one that ends before it begins ends the "
        "next day.",
    )


class StrategySpec(_Document):
    """How one group of pairs is traded on one Connection."""

    connection: Name = Field(description="Name of the Connection it trades on.")
    state: Literal["running", "paused", "stopped"] = Field(
        "running", description="paused: no new deals; stopped: drained."
    )
    mode: Literal["live", "paper"] = Field(
        "live", description="paper: real prices, no real orders."
    )
    kind: Literal["averaging"] = Field("averaging", description="The kind of trading.")
    direction: Direction = Field(Direction.LONG, description="long or short (futures only).")
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1, max_length=200)] = Field(
        description="One bot each; one quote currency for all."
    )
    risk: Risk = Field(Risk.BALANCED, description="A preset fills only absent fields.")
    leverage: Annotated[Whole, Field(ge=1, le=125)] | None = Field(
        None, description="Futures only; 1 on spot."
    )
    margin_mode: Literal["isolated", "cross"] = Field(
        "isolated", description="Futures only: what stands behind a position."
    )
    margin_limit: MoneyOrShare | None = Field(
        None, description="Most margin all its deals together may ever use."
    )
    max_active_deals: Annotated[Whole, Field(ge=1, le=200)] | None = Field(
        None, description="Over all pairs; one deal per pair."
    )
    entry: Entry = Field(Entry.model_construct(), description="When and how a deal opens.")
    base_order: MoneyOrAuto = Field(
        "auto", description="Size of the first order; auto: the largest that fits marginLimit."
    )
    averaging: Averaging = Field(
        Averaging.model_construct(), description="The ladder of averaging orders."
    )
    take_profit: TakeProfit = Field(
        TakeProfit.model_construct(), description="The profitable exit."
    )
    stop_loss: StopLoss = Field(
        StopLoss.model_construct(), description="The exit that limits a loss."
    )
    recovery: Recovery = Field(Recovery.model_construct(), description="Recovery Mode.")
    caps: Caps = Field(Caps.model_construct(), description="Hard limits beyond the margin limit.")
    cooldown: Cooldown = Field(Cooldown.model_construct(), description="Rest between deals.")
    schedule: Schedule = Field(
        Schedule.model_construct(), description="When new deals may open; never blocks exits."
    )
    on_change: Literal["keep", "adopt", "drain", "close"] = Field(
        "keep", description="What an edit of the ladder does to open deals."
    )
    on_delete: Literal["drain", "close", "abandon"] = Field(
        "drain", description="What deleting the document does; abandon leaves the position."
    )

    @property
    def via_connection(self) -> str | None:
        """Connection for new deals on a pair whose deal recovers; None to open none meanwhile."""
        text = self.recovery.actions.new_deals
        if not self.recovery.enabled or not text.startswith(_VIA):
            return None
        return text.removeprefix(_VIA).strip()

    @property
    def connections(self) -> tuple[str, ...]:
        """Every connection it trades on, its own first."""
        via = self.via_connection
        return (self.connection,) if via is None else (self.connection, via)


class Strategy(_Document):
    """What to trade and how much may be at stake."""

    api_version: Literal["backfuture.ai/v1alpha1"] = Field(description="Version of the format.")
    kind: Literal["Strategy"] = Field(description="What this document is.")
    metadata: Metadata = Field(description="What it is called.")
    spec: StrategySpec = Field(description="What is traded, how, and with how much.")


class PolicyLimits(_Document):
    """The most that any file in this repository may ask for; absent is unlimited."""

    margin_per_strategy: Money | None = Field(None, description="Most margin of one Strategy.")
    margin_per_connection: Money | None = Field(
        None, description="Most margin of all strategies on one Connection."
    )
    margin_total: Money | None = Field(None, description="Most margin of all strategies.")
    leverage: Annotated[Whole, Field(ge=1)] | None = Field(None, description="Highest leverage.")
    key_age: DurationMs | None = Field(None, description="Older keys are a finding.")


class PolicySpec(_Document):
    """The repository's guardrail."""

    exchanges: tuple[Exchange, ...] = Field((), description="Allowed; empty allows all.")
    pairs: tuple[str, ...] = Field((), description="Allowed patterns such as `*/USDT`; empty: all.")
    modes: tuple[Literal["live", "paper"], ...] = Field((), description="Allowed; empty: all.")
    limits: PolicyLimits = Field(
        PolicyLimits.model_construct(), description="The most any file may ask for."
    )
    require_ip_whitelist: Flag = Field(
        default=False, description="Every Connection must require an IP restriction."
    )
    refuse_superfluous_rights: Flag = Field(
        default=False, description="A right that no strategy needs is an error."
    )
    severities: dict[str, Literal["error", "warning", "off"]] = Field(
        default_factory=dict, description="Rule code to severity; safety rules cannot be lowered."
    )


class Policy(_Document):
    """At most one per repository."""

    api_version: Literal["backfuture.ai/v1alpha1"] = Field(description="Version of the format.")
    kind: Literal["Policy"] = Field(description="What this document is.")
    metadata: Metadata = Field(description="What it is called.")
    spec: PolicySpec = Field(description="What the repository allows.")


Resource = Connection | Strategy | Policy
KINDS: dict[str, type[Connection | Strategy | Policy]] = {
    "Connection": Connection,
    "Strategy": Strategy,
    "Policy": Policy,
}
