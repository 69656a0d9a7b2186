"""Checks of one document that a schema cannot express: names, addresses, contradictions."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from collections.abc import Iterator
from typing import Final, assert_never
from urllib.parse import urlsplit

from backfuturectl.config.remarks import Remark
from backfuturectl.config.schema_errors import did_you_mean
from backfuturectl.config.yaml_source import FieldPath
from backfuturectl.model.findings import Severity
from backfuturectl.model.market import HUNDRED, ZERO, MarketKind
from backfuturectl.model.resources import (
    Connection,
    ConnectionSpec,
    Environment,
    Exchange,
    Policy,
    PolicySpec,
    Resource,
    Strategy,
    StrategySpec,
)
from backfuturectl.model.rules import RULES

_PASSPHRASE: Final = frozenset({Exchange.KUCOIN, Exchange.OKX, Exchange.BITGET})
_WITHOUT_SANDBOX: Final = frozenset(
    {
        Exchange.MEXC,
        Exchange.KUCOIN,
        Exchange.HTX,
        Exchange.COINBASE,
    }  # Coinbase's is canned answers
)
_WITHOUT_FUTURES: Final = frozenset({Exchange.COINBASE})
_SPOKEN: Final[dict[str, Exchange]] = {
    **{exchange.value: exchange for exchange in Exchange},
    "gateio": Exchange.GATE,
    "huobi": Exchange.HTX,
}
_MARKET_WORDS: Final[dict[str, MarketKind]] = {
    "spot": MarketKind.SPOT,
    "futures": MarketKind.FUTURES,
    "perp": MarketKind.FUTURES,
    "perps": MarketKind.FUTURES,
    "perpetual": MarketKind.FUTURES,
    "swap": MarketKind.FUTURES,
}
_VAGUE_WORDS: Final = frozenset(
    {"test", "new", "api", "key", "tmp", "temp", "foo", "bar", "my", "default", "connection"}
    | {"strategy", "exchange", "account", "bot", "untitled", "example", "a", "b", "x", "one", "the"}
)
_PRIVATE: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
_PATTERN: Final = re.compile(r"[A-Z0-9*?]{1,20}/[A-Z0-9*?]{1,12}")


def check_alone(resource: Resource) -> list[Remark]:
    """Return what is wrong with one document, whatever else there is."""
    name = resource.metadata.name
    match resource:
        case Connection():
            return [*_names(resource), *_connection(resource.spec), *_credentials(resource.spec)]
        case Strategy():
            return [*_vague(name, ("metadata", "name")), *_strategy(resource.spec)]
        case Policy():
            return [*_policy(resource.spec)]
    assert_never(resource)


def _names(connection: Connection) -> Iterator[Remark]:
    metadata = connection.metadata
    yield from _vague(metadata.name, ("metadata", "name"))
    yield from _contradiction(metadata.name, ("metadata", "name"), connection.spec)
    if metadata.title is not None:
        yield from _vague(metadata.title, ("metadata", "title"))
        yield from _contradiction(metadata.title, ("metadata", "title"), connection.spec)


def _vague(text: str, path: FieldPath) -> Iterator[Remark]:
    words = [word.rstrip("0123456789") for word in _words(text)]
    if all(not word or word in _VAGUE_WORDS for word in words):
        yield Remark(
            "BF305",
            path,
            f"`{text[:60]}` says neither exchange nor market nor purpose",
            "a good name is `mexc-spot-main`, a good title `MEXC Spot Main`",
        )


def _contradiction(text: str, path: FieldPath, spec: ConnectionSpec) -> Iterator[Remark]:
    words = _words(text)
    exchanges = {_SPOKEN[word] for word in words if word in _SPOKEN}
    if exchanges and spec.exchange not in exchanges:
        other = min(exchanges)
        yield Remark(
            "BF304", path, f"`{text[:60]}` says {other}, but spec.exchange is {spec.exchange}"
        )
    markets = {_MARKET_WORDS[word] for word in words if word in _MARKET_WORDS}
    if markets and spec.market not in markets:
        yield Remark(
            "BF304", path, f"`{text[:60]}` says {min(markets)}, but spec.market is {spec.market}"
        )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace("gate.io", "gateio"))


def _connection(spec: ConnectionSpec) -> Iterator[Remark]:
    if spec.capital.amount <= ZERO:
        yield Remark("BF209", ("spec", "capital"), "`spec.capital` must be greater than 0")
    if spec.environment is Environment.SANDBOX and spec.exchange in _WITHOUT_SANDBOX:
        message = f"{spec.exchange} has no sandbox"
        yield Remark("BF315", ("spec", "environment"), message, "use `environment: emulator`")
    if spec.market is MarketKind.FUTURES and spec.exchange in _WITHOUT_FUTURES:
        message = f"{spec.exchange} offers no USDT-margined futures"
        yield Remark("BF315", ("spec", "market"), message)
    yield from _endpoint(spec)
    yield from _addresses(spec)
    if spec.accept:
        message = "keys whose withdrawal right cannot be ruled out are accepted here"
        yield Remark("BF514", ("spec", "accept"), message)
    if spec.environment is not Environment.LIVE:
        return
    if not spec.ip_whitelist.require:
        message = "the key may be used from any address"
        help_ = (
            "restrict it at the exchange and set `ipWhitelist: {require: true, addresses: [...]}`"
        )
        yield Remark("BF511", ("spec", "ipWhitelist"), message, help_)
    if not spec.attest.two_factor:
        message = "two-factor authentication of the account is not attested"
        yield Remark("BF512", ("spec", "attest"), message, "set `attest: {twoFactor: true}`")


def _endpoint(spec: ConnectionSpec) -> Iterator[Remark]:
    path = ("spec", "endpoint")
    if spec.endpoint is None:
        return
    if spec.environment is not Environment.EMULATOR:
        message = (
            f"an endpoint is allowed only with `environment: emulator`, not {spec.environment}"
        )
        yield Remark("BF316", path, message, "remove `endpoint`")
        return
    if not is_loopback(spec.endpoint):
        message = "the endpoint is not a plain http address of this machine"
        yield Remark("BF316", path, message, "write `http://127.0.0.1:PORT`")


def is_loopback(url: str) -> bool:
    """Return whether *url* can only reach this machine, without name resolution or tricks."""
    if any(character <= " " or character in "\\@#?%" for character in url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _addresses(spec: ConnectionSpec) -> Iterator[Remark]:
    for index, text in enumerate(spec.ip_whitelist.addresses):
        path = ("spec", "ipWhitelist", "addresses", index)
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            yield Remark("BF212", path, f"`{text[:60]}` is not an IP address or network")
            continue
        if any(
            network.version == private.version and network.overlaps(private) for private in _PRIVATE
        ):
            yield Remark("BF513", path, f"`{text[:60]}` is a private address")


def _credentials(spec: ConnectionSpec) -> Iterator[Remark]:
    path = ("spec", "credentials", "password")
    has_password = spec.credentials.password is not None
    if spec.exchange in _PASSPHRASE and not has_password:
        yield Remark(
            "BF317", path, f"{spec.exchange} keys have a passphrase, `password` is missing"
        )
    if spec.exchange not in _PASSPHRASE and has_password:
        message = f"{spec.exchange} keys have no passphrase, `password` must not be given"
        yield Remark("BF317", path, message, is_about_key=True)


def _strategy(spec: StrategySpec) -> Iterator[Remark]:
    for index, pair in enumerate(spec.pairs):
        if pair in spec.pairs[:index]:
            yield Remark("BF211", ("spec", "pairs", index), f"`{pair}` is listed twice")
    entry, needs_price = spec.entry, spec.entry.trigger in {"priceBelow", "priceAbove"}
    if needs_price and entry.price is None:
        message = f"entry trigger `{entry.trigger}` needs a price"
        yield Remark("BF318", ("spec", "entry", "price"), message)
    if entry.price is not None and not needs_price:
        message = f"a price has no meaning with entry trigger `{entry.trigger}`"
        yield Remark("BF318", ("spec", "entry", "price"), message)
    if entry.rsi is not None and entry.trigger != "rsi":
        message = f"settings of the RSI have no meaning with entry trigger `{entry.trigger}`"
        yield Remark("BF318", ("spec", "entry", "rsi"), message, "write `trigger: rsi`")
    if entry.rsi is not None and entry.rsi.below is not None and entry.rsi.above is not None:
        message = "the RSI cannot open deals both below one value and above another"
        yield Remark("BF318", ("spec", "entry", "rsi", "above"), message, "keep one of the two")
    steps = spec.take_profit.steps
    if steps and sum(step.share_pct for step in steps) != HUNDRED:
        total = sum(step.share_pct for step in steps)
        message = f"the shares of takeProfit.steps must sum to 100, found {total}"
        yield Remark("BF318", ("spec", "takeProfit", "steps"), message)
    if steps and spec.take_profit.percent is not None:
        yield Remark(
            "BF318",
            ("spec", "takeProfit", "percent"),
            "nothing leaves at takeProfit.percent beside steps",
            "keep one of the two",
            severity=Severity.WARNING,
        )
    if spec.recovery.trigger.manual and not spec.recovery.enabled:
        yield Remark(
            "BF318",
            ("spec", "recovery", "trigger", "manual"),
            "the file asks for Recovery Mode and switches it off",
            "remove `enabled: false`",
            severity=Severity.WARNING,
        )
    if spec.on_change == "adopt" and spec.state == "stopped":
        message = "a stopped strategy has no deal that could adopt a change"
        yield Remark("BF318", ("spec", "onChange"), message, severity=Severity.WARNING)
    name = spec.schedule.timezone
    if not _is_timezone(name):
        yield Remark(
            "BF212",
            ("spec", "schedule", "timezone"),
            f"`{name[:60]}` is not a time zone",
            did_you_mean(name, sorted(zoneinfo.available_timezones())),
        )


def _is_timezone(name: str) -> bool:
    if name == "UTC":
        return True
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


def _policy(spec: PolicySpec) -> Iterator[Remark]:
    for index, pattern in enumerate(spec.pairs):
        if not _PATTERN.fullmatch(pattern):
            message = f"`{pattern[:60]}` is not a pattern such as `*/USDT`"
            yield Remark("BF208", ("spec", "pairs", index), message)
    for code in spec.severities:
        path = ("spec", "severities", code)
        if code not in RULES:
            message = f"there is no rule `{code[:60]}`"
            help_ = did_you_mean(code, list(RULES))
            yield Remark("BF510", path, message, help_, is_about_key=True)
        elif not RULES[code].is_adjustable:
            yield Remark("BF510", path, f"{code} cannot be changed: {RULES[code].title.lower()}")
