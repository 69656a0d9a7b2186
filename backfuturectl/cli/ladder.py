"""``backfuturectl ladder``: the rung table of a Strategy, and its worst case against the limit."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import click

from backfuturectl.cli.main import EXIT_FINDINGS
from backfuturectl.cli.render import Column, output_option, print_object, print_table
from backfuturectl.model.errors import ConfigurationError, UsageError
from backfuturectl.model.market import HUNDRED, MarketKind
from backfuturectl.model.resources import Connection, Direction, Strategy
from backfuturectl.model.units import Money
from backfuturectl.strategy.arithmetic import Rung, on_tick, shown
from backfuturectl.strategy.assumptions import MarketRules, assumed_rules
from backfuturectl.strategy.presets import Terms, resolve
from backfuturectl.strategy.proofs import (
    RELATIVE_START,
    base_quote_of,
    ladder_of,
    prove,
    prove_account,
    watched,
    worst_case,
)
from backfuturectl.strategy.violation import IncompleteTermsError, Violation

_PLACES: Final = Decimal("1e-8")
"""What is shown of a figure that is not asked for exactly."""

_COLUMNS: Final = (
    Column("K", "k", is_number=True),
    Column("DEVIATION %", "deviationPct", is_number=True),
    Column("PRICE", "price", is_number=True),
    Column("SIZE", "size", is_number=True),
    Column("TOTAL", "total", is_number=True),
    Column("AVERAGE", "average", is_number=True),
    Column("TAKE PROFIT", "takeProfit", is_number=True),
    Column("MARGIN", "margin", is_number=True),
    Column("LIQUIDATION", "liquidation", is_number=True),
)


class _Number(click.ParamType[Decimal]):
    """A positive decimal number, exact."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Return *value* as a Decimal."""
        try:
            number = Decimal(value)
        except InvalidOperation:
            self.fail(f"`{value}` is not a number", param, ctx)
        if not number.is_finite() or number <= 0:
            self.fail(f"`{value}` is not above zero", param, ctx)
        return number


class _Percent(_Number):
    """A percentage, written with its sign: ``0.1%``."""

    name = "percent"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Return *value* as a ratio."""
        if not str(value).endswith("%"):
            self.fail(f"`{value}` has no percent sign; write it as `0.1%`", param, ctx)
        return super().convert(str(value)[:-1], param, ctx) / HUNDRED


class _Amount(click.ParamType[Money]):
    """Money with its currency: ``5000 USDT``."""

    name = "money"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Money:
        """Return *value* as Money."""
        try:
            return Money.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@dataclass(frozen=True, slots=True)
class _Given:
    """What the options say about the market."""

    exchange: str | None
    market: str | None
    capital: Money | None
    fee: Decimal | None
    maintenance_margin: Decimal | None
    tick: Decimal | None
    step: Decimal | None
    min_notional: Decimal | None


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--price", type=_Number(), help="Start price; without it prices are relative to 100.")
@output_option
@click.option("--exact", is_flag=True, help="Unrounded, with every digit.")
@click.option("--name", help="Which Strategy, where the file holds several.")
@click.option("--capital", type=_Amount(), help="The Connection's capital, if it is not found.")
@click.option("--exchange", help="Exchange, if the Connection is not found.")
@click.option(
    "--market",
    type=click.Choice([kind.value for kind in MarketKind]),
    help="Market, if the Connection is not found.",
)
@click.option("--fee", type=_Percent(), help="Taker fee instead of the assumed one.")
@click.option("--maintenance-margin", type=_Percent(), help="Instead of the assumed one.")
@click.option("--tick", type=_Number(), help="The market's price tick.")
@click.option("--step", type=_Number(), help="The market's amount step, in base units.")
@click.option("--min-notional", type=_Number(), help="The market's smallest order value.")
def ladder(
    file: str,
    price: Decimal | None,
    output: str,
    exact: bool,  # noqa: FBT001 - click passes options by name
    name: str | None,
    **options: Any,
) -> None:
    """Show every rung of the Strategy in FILE and its worst case.

    Deviation, price, size, total, average, take-profit price, margin and liquidation per rung, for
    one deal; the worst case is all deals together. Exit 1 when it does not fit marginLimit. What
    else does not fit is told below, also beside the other strategies on its Connection.

    \b
    Examples:
      backfuturectl ladder configs/strategies/eth.yaml --price 3000
      backfuturectl ladder eth.yaml --price 3000 --tick 0.01 --step 0.0001
      backfuturectl ladder eth.yaml --price 3000 -o json --exact
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    given = _Given(**options)
    if given.tick is not None and price is None:
        raise UsageError("--tick means something only together with --price")
    strategy, connection, others = _find(Path(file), name)
    terms, rules = _terms(strategy, connection, given)
    rungs = ladder_of(terms, rules, start=price or RELATIVE_START, is_rounded=not exact)
    worst = worst_case(terms, rules)
    figures = _Figures(terms, rules, is_exact=exact)
    if output in {"json", "yaml"}:
        print_object(figures.document(rungs), output)
    else:
        print_table(_COLUMNS, [figures.row(rung) for rung in rungs], wide=output == "wide")
        click.echo()
        for line in figures.summary():
            click.echo(line)
    click.echo(f"assumed: {rules.describe()}", err=True)
    for found in (
        *watched(strategy.spec, rules),
        *prove(terms, rules, start=price),
        *_account(strategy, connection, others, worst.margin),
    ):
        _complain(found)
    is_whole = len(rungs) == terms.shape.max_orders + 1
    if not (worst.fits and is_whole):
        sys.exit(EXIT_FINDINGS)


class _Figures:
    """Turns figures into text, exact or rounded to eight places and the market's grid."""

    def __init__(self, terms: Terms, rules: MarketRules, *, is_exact: bool) -> None:
        self._terms = terms
        self._rules = rules
        self._is_exact = is_exact
        self._worst = worst_case(terms, rules)

    def document(self, rungs: tuple[Rung, ...]) -> dict[str, Any]:
        """Return what ``-o json`` prints."""
        keys = [column.key for column in _COLUMNS if column.key != "margin"]
        rows = [self.row(rung) for rung in rungs]
        return {
            "base": self._text(base_quote_of(self._terms, self._rules)),
            "rungs": [{key: row[key] for key in keys} for row in rows],
            "worstCase": {
                "margin": self._text(self._worst.margin),
                "limit": self._text(self._worst.limit),
                "fits": self._worst.fits,
                "lossAtStop": self._text(self._worst.loss_at_stop),
            },
        }

    def row(self, rung: Rung) -> dict[str, Any]:
        """Return one rung; every decimal as text, so that no reader makes a float of it."""
        liquidation = rung.liquidation
        if liquidation is not None and not self._is_exact:
            liquidation = on_tick(liquidation, self._rules.price_tick, is_up=self._terms.sign > 0)
        return {
            "k": rung.k,
            "deviationPct": self._text(rung.deviation_pct),
            "price": self._text(rung.price),
            "size": self._text(rung.size_quote),
            "total": self._text(rung.total_quote),
            "average": self._text(rung.average),
            "takeProfit": self._text(rung.take_profit),
            "margin": self._text(rung.total_quote / self._terms.leverage),
            "liquidation": None if liquidation is None else self._text(liquidation),
        }

    def summary(self) -> Iterator[str]:
        """Yield what is said below the table."""
        worst, quote = self._worst, self._terms.quote
        verdict = "fits" if worst.fits else "does not fit"
        deals = self._terms.max_active_deals
        yield f"base order    {self._text(base_quote_of(self._terms, self._rules))} {quote}"
        yield (
            f"worst case    {self._text(worst.margin)} {quote} for {deals} deal(s), fees in: "
            f"{verdict} the limit of {self._text(worst.limit)} {quote}"
        )
        yield f"loss at stop  {self._text(worst.loss_at_stop)} {quote}, fees in"
        recovery = self._terms.recovery
        if recovery.is_enabled and recovery.drawdown_pct and recovery.escalate_pct:
            yield (
                f"recovery      begins {self._text(recovery.drawdown_pct)}% from the average, fees "
                f"in; gives up at {self._text(recovery.escalate_pct)}%"
            )

    def _text(self, value: Decimal) -> str:
        if self._is_exact:
            return shown(value)
        return shown(value.quantize(_PLACES) if value else value)


def _complain(found: Violation) -> None:
    click.echo(f"{found.severity}: {found.code}: {found.message}", err=True)
    click.echo(f"help: {found.help}", err=True)


def _terms(
    strategy: Strategy, connection: Connection | None, given: _Given
) -> tuple[Terms, MarketRules]:
    """Return the resolved settings and the market rules to compute with."""
    spec = strategy.spec
    exchange: str | None
    capital: Money | None
    if connection is not None:
        exchange, kind = connection.spec.exchange.value, connection.spec.market
        capital = given.capital or connection.spec.capital
    else:
        exchange, capital = given.exchange, given.capital
        is_futures = spec.direction is Direction.SHORT or (spec.leverage or 1) > 1
        guess = MarketKind.FUTURES if is_futures else MarketKind.SPOT
        kind = MarketKind(given.market) if given.market else guess
    rules = assumed_rules(exchange, kind)
    if rules is None:
        raise UsageError(f"no {kind} market of `{exchange}` is known")
    rules = replace(
        rules,
        taker_fee=given.fee or rules.taker_fee,
        maintenance_margin=given.maintenance_margin or rules.maintenance_margin,
        price_tick=given.tick,
        amount_step=given.step,
        cost_min=given.min_notional or rules.cost_min,
    )
    try:
        return resolve(spec, capital, kind), rules
    except IncompleteTermsError as error:
        raise ConfigurationError(str(error), remedy=error.violations[0].help) from error


def _account(
    strategy: Strategy, connection: Connection | None, others: Iterable[Strategy], margin: Decimal
) -> tuple[Violation, ...]:
    """Return what the account lacks for *strategy*, of worst case *margin*, beside the *others*."""
    if connection is None or strategy.spec.mode != "live":
        return ()
    name, where = connection.metadata.name, connection.spec
    rules = assumed_rules(where.exchange, where.market)
    shares = {strategy.metadata.name: margin}
    for other in others:
        spec = other.spec
        if rules is None or spec.mode != "live" or name not in spec.connections:
            continue
        with suppress(IncompleteTermsError):  # `validate` tells of that one
            worst = worst_case(resolve(spec, where.capital, where.market), rules)
            shares.setdefault(other.metadata.name, worst.margin)
    return prove_account(shares, capital=where.capital.amount, currency=where.capital.currency)


def _find(file: Path, name: str | None) -> tuple[Strategy, Connection | None, tuple[Strategy, ...]]:
    """Return the Strategy in *file*; its Connection, and other strategies, found near it."""
    own = _resources(file)
    strategies = {found.metadata.name: found for found in own if isinstance(found, Strategy)}
    if name is None and len(strategies) > 1:
        raise UsageError(f"{file} holds {', '.join(sorted(strategies))}; choose one with --name")
    strategy = strategies.get(name) if name is not None else next(iter(strategies.values()), None)
    if strategy is None:
        raise UsageError(f"{file} holds no valid Strategy{f' named `{name}`' if name else ''}")
    near = [*own, *(found for root in _roots(file) for found in _resources(root))]
    connections = (
        found
        for found in near
        if isinstance(found, Connection) and found.metadata.name == strategy.spec.connection
    )
    others = (found for found in near if isinstance(found, Strategy))
    return strategy, next(connections, None), tuple(others)


def _roots(file: Path) -> tuple[Path, ...]:
    """Return the directories to look for the Connection in: *file*'s own, then its repository.

    Above the file's directory only a directory that is marked as a root is read, so that a file
    in a home directory does not have the whole of it read.
    """
    here = file.resolve().parent
    marks = (".git", ".sops.yaml", "connections")
    for parent in (here, *here.parents):
        if any((parent / mark).exists() for mark in marks):
            return (here, parent) if parent != here else (here,)
    return (here,)


def _resources(root: Path) -> tuple[Connection | Strategy | Any, ...]:
    """Return what can be understood at *root*; problems of the file itself are told."""
    from backfuturectl.config.parsing import Parser  # noqa: PLC0415 - not for `--help`
    from backfuturectl.config.tree import scan  # noqa: PLC0415 - likewise

    found: list[Any] = []
    for parsed in Parser().parse_all(scan(root).files):
        found += [document.resource for document in parsed.documents if document.resource]
        if root.is_file():
            for finding in parsed.findings:
                place = f"{finding.file}:{finding.span.line}:{finding.span.column}"
                click.echo(f"{finding.severity}: {place}: {finding.message}", err=True)
    return tuple(found)
