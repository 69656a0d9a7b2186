"""Every rule that a file can break, by its stable code.

The codes are part of the public interface: 1xx syntax, 2xx schema, 3xx references between
documents, 4xx secrets, 5xx policy and permissions, 6xx safety of the trade itself. A code is never
reused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backfuturectl.model.findings import Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        title: What is required, as a short sentence.
        why: What would go wrong otherwise.
        remedy: What the user does.
        bad: Example that breaks the rule; empty where none makes sense.
        good: The same, mended.
        severity: Unless the Policy says otherwise.
        is_adjustable: The Policy may change the severity.
        is_suppressible: A comment with a reason may silence it.
    """

    title: str
    why: str
    remedy: str
    bad: str = ""
    good: str = ""
    severity: Severity = Severity.ERROR
    is_adjustable: bool = False
    is_suppressible: bool = False


def _advice(title: str, why: str, remedy: str, bad: str = "", good: str = "") -> Rule:
    return Rule(
        title,
        why,
        remedy,
        bad,
        good,
        severity=Severity.WARNING,
        is_adjustable=True,
        is_suppressible=True,
    )


def _guardrail(title: str, why: str, remedy: str, bad: str = "", good: str = "") -> Rule:
    return Rule(title, why, remedy, bad, good, is_adjustable=True)


_SYNTAX: Final[dict[str, Rule]] = {
    "BF101": Rule(
        "A configuration file can be read",
        "An unreadable file is present and unknown: nothing is removed while it is there, and "
        "what it held keeps running as it was.",
        "Check the file's permissions and, for a symbolic link, its target.",
    ),
    "BF102": Rule(
        "A configuration file is not empty",
        "Editors and `sops` write in place, so an empty file is usually one that is being written "
        "or was cut off; it is not taken as a deletion.",
        "Restore the content, or delete the file.",
        "# connections/main.yaml (0 bytes)",
    ),
    "BF103": Rule(
        "A configuration file is UTF-8",
        "Readers would disagree about its content.",
        "Save it as UTF-8.",
    ),
    "BF104": Rule(
        "A configuration file is at most 5 MiB",
        "A larger one is an accident, and would cost the daemon memory and time.",
        "Split it; a document needs a few kilobytes.",
    ),
    "BF105": Rule(
        "The file is well-formed YAML",
        "What cannot be parsed cannot be checked; the last good version keeps running.",
        "Look at the place named, often one line above: an unclosed quote or bracket, or an "
        "indentation that fits no line before it.",
        "pairs: [BTC/USDT, ETH/USDT",
        "pairs: [BTC/USDT, ETH/USDT]",
    ),
    "BF106": Rule(
        "No merge conflict is left in a file",
        "Neither side was chosen.",
        "Keep one side and remove the lines that start with <<<<<<<, ======= and >>>>>>>.",
    ),
    "BF107": Rule(
        "YAML is indented with spaces",
        "YAML forbids tabs as indentation.",
        "Replace the tab with spaces.",
    ),
    "BF108": Rule(
        "A key stands once in a mapping",
        "Most YAML readers silently take the last one, some the first.",
        "Keep one of the two.",
        "marginLimit: 500 USDT\nmarginLimit: 5000 USDT",
        "marginLimit: 500 USDT",
    ),
    "BF109": Rule(
        "No anchors, aliases or merge keys",
        "SOPS expands them when it writes, readers disagree about merging, and a reviewer does not "
        "see the value where it counts.",
        "Write the values out.",
        "caps: &caps {maxOpenOrders: 20}",
        "caps: {maxOpenOrders: 20}",
    ),
    "BF110": Rule(
        "No YAML tags",
        "A tag changes how a value is read; the schema decides that here.",
        "Remove the tag; put text in quotes.",
        "leverage: !!str 3",
        "leverage: 3",
    ),
    "BF111": Rule(
        "Truth values are `true` and `false`",
        "YAML 1.1 reads yes, no, on and off as truth values, YAML 1.2 as text; SOPS and editors "
        "differ.",
        "Write `true` or `false`, or put text in quotes.",
        "require: yes",
        "require: true",
    ),
    "BF112": Rule(
        "Numbers are plain decimals",
        "Leading zeros, exponents, underscores, hexadecimals and 12:30 are different numbers, or "
        "text, to different YAML readers.",
        "Write the number out, or put text in quotes.",
        "percent: 1e1",
        "percent: 10",
    ),
    "BF113": Rule(
        "Dates are in quotes",
        "YAML 1.1 turns an unquoted date into another type.",
        "Put it in quotes.",
        "labels: {since: 2026-01-01}",
        'labels: {since: "2026-01-01"}',
    ),
    "BF114": Rule(
        "Keys are text",
        "Numbers and truth values as keys become different text in different readers.",
        "Put the key in quotes.",
        "labels: {1: first}",
        'labels: {"1": first}',
    ),
    "BF115": Rule(
        "A document is not nested without end",
        "No document here needs more than eight levels.",
        "Look for a repeated bracket or dash.",
    ),
    "BF116": Rule(
        "A document is a mapping",
        "Plain text at the top level is usually what an interrupted write left behind.",
        "Restore the document, or move the file out of the configuration root.",
    ),
    "BF117": Rule(
        "A suppression names a rule that may be silenced, and a reason",
        "A silenced check without a reason is a trap for the next reader; errors of syntax, "
        "schema, secrets and safety cannot be silenced at all.",
        "Write the code and why, or remove the comment and mend the problem.",
        "# backfuturectl: ignore BF306",
        "# backfuturectl: ignore BF306 kept for the move in March",
    ),
    "BF118": _advice(
        "A suppression silences something",
        "A comment that silences nothing hides the next problem of that kind.",
        "Remove the comment.",
    ),
    "BF119": Rule(
        "YAML files below the root are configuration",
        "Other YAML is ignored, so a mistyped apiVersion could go unnoticed.",
        "Move the file elsewhere if the note disturbs.",
        severity=Severity.NOTE,
        is_adjustable=True,
        is_suppressible=True,
    ),
}

_SCHEMA: Final[dict[str, Rule]] = {
    "BF201": Rule(
        "apiVersion is `backfuture.ai/v1alpha1`",
        "The version says how the fields are to be read.",
        "Correct it; this program reads one version.",
        "apiVersion: backfuture.ai/v1",
        "apiVersion: backfuture.ai/v1alpha1",
    ),
    "BF202": Rule(
        "kind is Connection, Strategy or Policy",
        "Nothing else can be carried out.",
        "Correct the spelling.",
        "kind: Stategy",
        "kind: Strategy",
    ),
    "BF203": Rule(
        "metadata.name identifies the document",
        "Identity is kind and name, never the file; without a name nobody can tell what changed.",
        "Use lower-case letters, digits and dashes, at most 63 characters.",
        "metadata: {name: KuCoin_Main}",
        "metadata: {name: kucoin-main, title: KuCoin Spot Main}",
    ),
    "BF204": Rule(
        "A document holds only known fields",
        "A mistyped field would silently leave its default in force.",
        "Correct the spelling; `backfuturectl explain KIND.spec` lists the fields.",
        "marginLimt: 500 USDT",
        "marginLimit: 500 USDT",
    ),
    "BF205": Rule(
        "Required fields are there",
        "There is no safe default for them.",
        "Add the field.",
    ),
    "BF206": Rule(
        "A value has the field's type",
        "Guessing a type is how 1.0 becomes text and text becomes a number.",
        "Write the value as the field wants it; `backfuturectl explain FIELD` shows how.",
        'leverage: "3"',
        "leverage: 3",
    ),
    "BF207": Rule(
        "A value is one of those allowed",
        "Anything else has no meaning.",
        "Choose one of the values listed.",
        "direction: buy",
        "direction: long",
    ),
    "BF208": Rule(
        "Money, durations, pairs and other texts have their form",
        "There is one way to write each thing, so that no unit is ever guessed.",
        "Write money as `1500 USDT`, durations as `15m`, pairs as `BTC/USDT`.",
        "marginLimit: 500",
        "marginLimit: 500 USDT",
    ),
    "BF209": Rule(
        "A number is within its range",
        "Beyond it the setting has no meaning or is not offered.",
        "Choose a value within the range.",
        "stopLoss: {percent: 125}",
        "stopLoss: {percent: 25}",
    ),
    "BF210": Rule(
        "A list or text has an allowed length",
        "Too short says nothing, too long is an accident.",
        "Shorten or fill it.",
        "pairs: []",
        "pairs: [BTC/USDT]",
    ),
    "BF211": Rule(
        "A list holds each item once",
        "A pair listed twice would be two bots on one market.",
        "Remove the repetition.",
        "pairs: [BTC/USDT, BTC/USDT]",
        "pairs: [BTC/USDT]",
    ),
    "BF212": Rule(
        "Addresses and time zones exist",
        "A mistyped one would never match.",
        "Correct it.",
        "addresses: [203.0.113.700]",
        "addresses: [203.0.113.70]",
    ),
}

_REFERENCE: Final[dict[str, Rule]] = {
    "BF301": Rule(
        "A Strategy's Connection exists",
        "It could not trade anywhere.",
        "Correct the name, or add the Connection.",
        "connection: mexc-spot-mian",
        "connection: mexc-spot-main",
    ),
    "BF302": Rule(
        "Kind and name are unique",
        "Two documents of one name contradict one another; neither is used.",
        "Rename one, or delete it.",
    ),
    "BF303": Rule(
        "There is at most one Policy",
        "Two guardrails leave open which one holds.",
        "Merge them.",
    ),
    "BF304": Rule(
        "A title does not contradict the document",
        "A person who reads `KuCoin Futures` must not be looking at MEXC Spot.",
        "Correct the title, or spec.exchange and spec.market.",
        "title: KuCoin Spot Main\n# with\nexchange: mexc",
        "title: MEXC Spot Main",
    ),
    "BF305": _advice(
        "Names say exchange, market and purpose",
        "`test`, `new` or `key` tell nobody which account is meant.",
        "Rename it before it is used: a new name is a new identity.",
        "metadata: {name: api1}",
        "metadata: {name: mexc-spot-main, title: MEXC Spot Main}",
    ),
    "BF306": _advice(
        "Every Connection is used",
        "An unused key is a risk without a benefit; old keys should be deleted.",
        "Delete the Connection here and the key at the exchange, or use it in a Strategy.",
    ),
    "BF307": _advice(
        "One key serves one group of strategies",
        "A separate key per group limits what a leaked or revoked key takes with it.",
        "Make another key (or sub-account) and Connection for the other group; strategies of one "
        "group share the label `group`.",
        "# labels group: core and group: experiments on one Connection",
        "# one Connection for each group",
    ),
    "BF308": Rule(
        "recovery.actions.newDeals names a usable Connection",
        "While a deal recovers, new deals were to open there.",
        "Name another Connection of the same market kind that is not the strategy's own.",
        'newDeals: "viaConnection: nowhere"',
        'newDeals: "viaConnection: kucoin-recovery"',
    ),
    "BF309": _advice(
        "A spot strategy sets nothing that only futures have",
        "It would have no effect, and the reader expects one.",
        "Remove the field, or use a futures Connection.",
        "marginMode: cross  # on spot",
    ),
    "BF310": Rule(
        "A spot strategy is long and without leverage",
        "Spot accounts cannot be short or leveraged.",
        "Remove leverage, use direction long, or name a futures Connection.",
        "leverage: 3  # on spot",
        "leverage: 1",
    ),
    "BF311": Rule(
        "All pairs of a strategy have one quote currency",
        "Margin is one sum in one currency.",
        "Make one Strategy per quote currency.",
        "pairs: [BTC/USDT, ETH/USDC]",
        "pairs: [BTC/USDT, ETH/USDT]",
    ),
    "BF312": Rule(
        "Amounts are in the pairs' quote currency",
        "Currencies are never converted here, so limits in another currency cannot be compared.",
        "Write capital, marginLimit, baseOrder and caps in the quote currency of the pairs.",
        "marginLimit: 500 USDC  # pairs in USDT",
        "marginLimit: 500 USDT",
    ),
    "BF313": Rule(
        "One futures account trades a pair for one strategy",
        "An account holds one position per pair; two strategies would net each other's position "
        "and close what is not theirs.",
        "Use a second Connection (sub-account) for the other strategy.",
    ),
    "BF314": _advice(
        "Two strategies on one spot account trade different pairs",
        "Both sell from the same balance; a fee or a manual sale in one leaves the other short.",
        "Use a second Connection (sub-account), or join the strategies.",
    ),
    "BF315": Rule(
        "The exchange offers the environment and market",
        "Not every exchange has a sandbox or USDT-margined futures.",
        "Use environment live or emulator, or another market.",
        "exchange: mexc\nenvironment: sandbox",
        "exchange: mexc\nenvironment: emulator",
    ),
    "BF316": Rule(
        "An endpoint is given only for the emulator, and is on this machine",
        "A key must not be sendable to another host by someone who can edit the repository.",
        "Remove the endpoint, or use environment emulator with http://127.0.0.1:PORT.",
        "endpoint: https://api.mexc.example",
        "environment: emulator\nendpoint: http://127.0.0.1:8900",
    ),
    "BF317": Rule(
        "credentials.password is there where the exchange wants a passphrase, and only there",
        "KuCoin, OKX and Bitget sign with a passphrase; the others have none.",
        "Add or remove credentials.password with `backfuturectl secret set`.",
    ),
    "BF319": Rule(
        "A Strategy's Connection is valid",
        "Market, capital and exchange come from it, so nothing about the strategy can be proved.",
        "Mend the Connection first.",
    ),
    "BF318": Rule(
        "Settings do not contradict one another",
        "One of the two would be ignored.",
        "Keep the one that is meant.",
        "entry: {trigger: priceBelow}",
        "entry: {trigger: priceBelow, price: 60000}",
    ),
}

_SECRET: Final[dict[str, Rule]] = {
    "BF401": Rule(
        "Credentials are SOPS ciphertext",
        "A secret in Git is known to everyone who ever clones it, for ever.",
        "Revoke this key at the exchange now, make a new one, and write it with "
        "`backfuturectl secret set CONNECTION`.",
        "apiKey: mx0vabcdef",
        "apiKey: ENC[AES256_GCM,data:...,iv:...,tag:...,type:str]",
    ),
    "BF402": Rule(
        "A Connection is a SOPS file",
        "Without the `sops` block nothing in it is encrypted or authenticated.",
        "Run `backfuturectl secret set CONNECTION`, or `sops encrypt -i FILE`.",
    ),
    "BF403": Rule(
        "The sops block is complete",
        "A damaged block cannot be decrypted, or its MAC cannot be checked.",
        "Restore the file from Git; do not edit the block by hand.",
    ),
    "BF404": Rule(
        "Encrypted values are well formed",
        "A cut or changed value cannot be decrypted.",
        "Restore the file from Git, or set the value again with `backfuturectl secret set`.",
    ),
    "BF405": Rule(
        "The selector of the SOPS file covers every secret field",
        "`sops encrypt` succeeds and says nothing when its selector matches nothing.",
        "Use `encrypted_regex: ^credentials$` in `.sops.yaml`, and encrypt the file again.",
        "encrypted_regex: ^(data|stringData)$",
        "encrypted_regex: ^credentials$",
    ),
    "BF406": Rule(
        "The MAC of a Connection covers the whole document",
        "With mac_only_encrypted somebody without the key could point it at another exchange.",
        "Remove mac_only_encrypted from `.sops.yaml`, and encrypt the file again.",
        "mac_only_encrypted: true",
    ),
    "BF407": Rule(
        "The SOPS file names at least one valid recipient",
        "Nobody could decrypt it.",
        "Encrypt the file again with a recipient in `.sops.yaml`.",
    ),
    "BF408": _advice(
        "Recipients are those of `.sops.yaml`",
        "A person who left may still decrypt, or the server cannot.",
        "Run `sops updatekeys FILE`; if somebody left, make new API keys as well.",
    ),
    "BF409": Rule(
        "A SOPS file holds one document",
        "One MAC covers the whole file and SOPS returns only the first document of several.",
        "Put each Connection in a file of its own.",
    ),
    "BF410": _advice(
        "No two files share a SOPS data key",
        "The file was copied: whoever can decrypt one can decrypt the other, and perhaps both hold "
        "the same API key.",
        "Run `sops rotate -i FILE` on the copy, and use a separate API key.",
    ),
    "BF411": Rule(
        "Credentials have a plausible length",
        "The length of a secret shows through encryption; an empty or one-letter one is a mistake.",
        "Set the value again with `backfuturectl secret set CONNECTION`.",
    ),
    "BF412": Rule(
        "Credentials are not placeholders",
        "A masked or example value was saved as if it were the key.",
        "Set the real value with `backfuturectl secret set CONNECTION`.",
        "apiKey: <your-api-key>",
    ),
    "BF413": Rule(
        "Only credentials are encrypted",
        "Reviewers and this check must be able to read everything else.",
        "Use `encrypted_regex: ^credentials$` in `.sops.yaml`, and encrypt the file again.",
    ),
    "BF414": Rule(
        "Secrets stand only in a Connection",
        "A Strategy or Policy is plain text.",
        "Move the value to a Connection; if it was real, revoke the key.",
    ),
}

_POLICY: Final[dict[str, Rule]] = {
    "BF501": _guardrail(
        "The Policy allows the exchange",
        "The repository's owners limited where money may go.",
        "Use an allowed exchange, or change the Policy in a reviewed commit.",
    ),
    "BF502": _guardrail(
        "The Policy allows the pair",
        "The repository's owners limited what may be traded.",
        "Use allowed pairs, or change the Policy in a reviewed commit.",
    ),
    "BF503": _guardrail(
        "The Policy allows the mode",
        "The repository's owners limited live or paper trading.",
        "Use an allowed mode, or change the Policy in a reviewed commit.",
    ),
    "BF504": _guardrail(
        "A strategy's margin is within the Policy",
        "One strategy must not be able to lose more than that.",
        "Lower marginLimit.",
    ),
    "BF505": _guardrail(
        "A connection's margin is within the Policy",
        "One account must not be able to lose more than that.",
        "Lower the marginLimit of its strategies.",
    ),
    "BF506": _guardrail(
        "All margin together is within the Policy",
        "The desk must not be able to lose more than that.",
        "Lower marginLimit in some strategies.",
    ),
    "BF507": _guardrail(
        "Leverage is within the Policy",
        "Leverage brings liquidation closer.",
        "Lower leverage.",
    ),
    "BF508": _guardrail(
        "An IP restriction is required of every key",
        "The Policy demands it: a leaked key is then useless elsewhere.",
        "Set spec.ipWhitelist.require: true and list the addresses.",
    ),
    "BF509": Rule(
        "The Policy can be read",
        "Nothing can be checked against a guardrail that is not valid, so nothing new starts.",
        "Mend the Policy first.",
    ),
    "BF510": Rule(
        "The Policy's severities name adjustable rules",
        "Rules of syntax, schema, secrets and safety stay errors whatever the Policy says.",
        "Remove the entry; `backfuturectl explain` lists the rules.",
        "severities: {BF401: off}",
    ),
    "BF511": _advice(
        "A key is bound to this server's address",
        "A leaked key without an IP restriction works from anywhere.",
        "Restrict the key at the exchange and set spec.ipWhitelist: {require: true, addresses: "
        "[...]}.",
        "",
        "ipWhitelist: {require: true, addresses: [203.0.113.7]}",
    ),
    "BF512": _advice(
        "Two-factor authentication is attested",
        "It cannot be read over the API, and without it a password is the account.",
        "Switch it on at the exchange and set spec.attest.twoFactor: true.",
        "",
        "attest: {twoFactor: true}",
    ),
    "BF513": _advice(
        "Whitelisted addresses are public",
        "An exchange sees the public address; a private one can never match.",
        "Find the public address with `curl` from the server, or ask your network's operator.",
        "addresses: [192.168.1.10]",
    ),
    "BF514": _advice(
        "Unverifiable rights are not accepted lightly",
        "Withdrawal cannot be ruled out for this key.",
        "Use a key whose rights can be read, or silence this with the reason.",
    ),
}

_SAFETY: Final[dict[str, Rule]] = {
    "BF601": Rule(
        "V-MARGIN: the worst case of all deals fits marginLimit",
        "With every rung of every deal filled the account would be short of margin when it is "
        "needed most.",
        "Lower baseOrder, maxOrders, volumeScale or maxActiveDeals, raise marginLimit, or let "
        "`baseOrder: auto` find the largest that fits. `backfuturectl ladder` shows the table.",
    ),
    "BF602": Rule(
        "V-ACCOUNT: all strategies of a connection fit its capital",
        "Their worst cases can come together; long and short both count.",
        "Lower marginLimit of some, or declare the capital that is really there.",
    ),
    "BF603": Rule(
        "V-MIN: every order is above the exchange's minimum",
        "The exchange would refuse it and the ladder would have a hole.",
        "Raise baseOrder or marginLimit, or use fewer rungs.",
    ),
    "BF604": Rule(
        "V-RANGE: the ladder's prices are positive and strictly monotone",
        "A rung below zero or on top of another one is not a ladder.",
        "Lower firstDeviationPct, stepScale or maxOrders.",
    ),
    "BF605": Rule(
        "V-LIQ: liquidation lies beyond every rung and the stop, with a buffer",
        "A position that is liquidated before its next rung never averages.",
        "Lower leverage, deviations or volumeScale; or marginLimit, where the full ladder exceeds "
        "the exchange's first risk tier.",
    ),
    "BF606": Rule(
        "V-STOP: the stop lies beyond the last rung and its loss is within the caps",
        "A stop inside the ladder closes deals that were still to be averaged.",
        "Widen stopLoss.percent, or shorten the ladder.",
    ),
    "BF607": Rule(
        "V-TP: a take profit earns its fees",
        "Otherwise a won deal loses money.",
        "Raise takeProfit.percent, or lower the trailing deviation.",
    ),
    "BF608": Rule(
        "V-IMPROVE: every rung improves the average enough",
        "A rung that does not move the average only adds risk.",
        "Raise deviations or volumeScale, or lower minAverageImprovementPct.",
    ),
    "BF609": Rule(
        "V-RECOVERY: exit, trigger, escalation and stop come in this order",
        "Otherwise Recovery Mode would begin and end at once, or never act.",
        "Order the drawdowns: exit < trigger < escalate < stop.",
    ),
    "BF610": Rule(
        "V-ORDERS: resting orders are within the exchange's limit",
        "The exchange would refuse orders at random moments.",
        "Lower maxPlaced or maxActiveDeals.",
    ),
    "BF611": Rule(
        "Every setting has a value",
        "`risk: custom` fills nothing, and some settings have no preset.",
        "Give the fields named, or choose another risk.",
    ),
    "BF613": Rule(
        "V-RESTING: the stop loss rests on the exchange where the file asks for it",
        "A stop that is watched protects only while the daemon runs and sees prices. On spot every "
        "stop is: a take profit that rests holds the coins, and no order there only reduces, so "
        "that a stop beside it would be refused, or would sell coins that are not the deal's.",
        "Remove confirmFor or change the connection, or write `onExchange: never`.",
        severity=Severity.WARNING,
        is_adjustable=True,
    ),
}

RULES: Final[dict[str, Rule]] = {
    **_SYNTAX,
    **_SCHEMA,
    **_REFERENCE,
    **_SECRET,
    **_POLICY,
    **_SAFETY,
}
