import pytest

from backfuturectl.config.compile import compile_tree, load
from backfuturectl.config.parsing import Parser
from backfuturectl.config.tree import scan
from backfuturectl.model.findings import Severity
from tests.unit.config.samples import codes, connection, loaded, policy, strategy, write

FUTURES = connection("kucoin-futures-main", exchange="kucoin", market="futures")
ON = "kucoin-futures-main"


def test_a_good_tree_is_clean_complete_and_usable(tmp_path):
    result = loaded(tmp_path, c=connection(), s=strategy())
    assert codes(result) == []
    assert result.is_complete
    assert set(result.usable) == {
        ("Connection", "mexc-spot-main"),
        ("Strategy", "coins-balanced"),
    }
    assert "mexc spot" in result.assumed[0]


def one(tmp_path, code, **files):
    found = [each for each in loaded(tmp_path, **files).findings if each.code == code]
    assert len(found) == 1, found
    return found[0]


def test_a_missing_connection_is_found_with_a_suggestion(tmp_path):
    finding = one(tmp_path, "BF301", c=connection(), s=strategy(on="mexc-spot-mian"))
    assert finding.help == "did you mean `mexc-spot-main`?"
    assert (finding.field, finding.span.line) == ("spec.connection", 5)


def test_a_connection_that_may_be_in_an_unreadable_file_is_not_called_missing(tmp_path):
    write(tmp_path, c="a: [", s=strategy())
    result = load(tmp_path, Parser())
    assert "BF301" not in codes(result)
    assert ("Strategy", "coins-balanced") not in result.usable
    assert not result.is_complete


def test_a_strategy_on_an_invalid_connection_is_not_usable(tmp_path):
    result = loaded(tmp_path, c=connection(capital="5000"), s=strategy())
    assert "BF319" in codes(result)
    assert not result.usable


def test_of_two_documents_of_one_name_neither_is_usable(tmp_path):
    result = loaded(tmp_path, c=connection(), a=strategy(), b=strategy())
    assert codes(result) == ["BF302", "BF302"]
    assert set(result.usable) == {("Connection", "mexc-spot-main")}


def test_moving_a_document_to_another_file_changes_nothing_but_its_path(tmp_path):
    before = loaded(tmp_path, c=connection(), s=strategy())
    (tmp_path / "s.yaml").rename(tmp_path / "z.yaml")
    after = load(tmp_path, Parser())
    assert before.usable.keys() == after.usable.keys()
    for key, document in before.usable.items():
        assert after.usable[key].digest == document.digest


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("leverage: 3", "BF310", "spec.leverage"),
        ("direction: short", "BF310", "spec.direction"),
        ("marginMode: cross", "BF309", "spec.marginMode"),
        ("pairs: [BTC/USDT, ETH/USDC]", "BF311", "spec.pairs[1]"),
        ("marginLimit: 500 USDC", "BF312", "spec.marginLimit"),
        ("baseOrder: 50 BTC", "BF312", "spec.baseOrder"),
        ("caps: {maxOrderNotional: 50 BTC}", "BF312", "spec.caps.maxOrderNotional"),
        ("pairs: [BTC/USDC]", "BF312", "spec.pairs"),
        ("risk: custom", "BF611", "spec.averaging.firstDeviationPct"),
        ("baseOrder: 5000 USDT", "BF601", "spec.baseOrder"),
    ],
)
def test_what_does_not_fit_the_connection_is_said_once_at_its_field(tmp_path, spec, code, field):
    result = loaded(tmp_path, c=connection(), s=strategy(spec=spec))
    found = [each for each in result.findings if each.field == field]
    assert [each.code for each in found] == [code]


def test_a_preset_without_a_field_that_the_proof_needs_names_every_field(tmp_path):
    result = loaded(tmp_path, c=connection(), s=strategy(spec="risk: custom"))
    assert len([code for code in codes(result) if code == "BF611"]) > 5


def test_strategies_that_together_exceed_the_capital_are_all_refused(tmp_path):
    files = {
        name: strategy(
            f"{name}-coins", spec=f"marginLimit: 3000 USDT\npairs: [{name.upper()}/USDT]"
        )
        for name in ("ada", "sol")
    }
    result = loaded(tmp_path, c=connection(), **files)
    (finding,) = result.findings
    assert (finding.code, finding.field) == ("BF602", "spec.capital")
    assert set(result.usable) == {("Connection", "mexc-spot-main")}


def test_two_strategies_on_one_pair_of_a_futures_account_are_refused(tmp_path):
    limit = "marginLimit: 900 USDT\npairs: [BTC/USDT]"
    files = {"c": FUTURES, "a": strategy("long-btc", spec=limit, on=ON)}
    files["b"] = strategy("short-btc", spec=f"{limit}\ndirection: short", on=ON)
    assert codes(loaded(tmp_path, **files)).count("BF313") == 2


def test_a_stopped_strategy_keeps_its_futures_pair_since_it_may_still_hold_a_deal(tmp_path):
    limit = "marginLimit: 900 USDT\npairs: [BTC/USDT]"
    files = {"c": FUTURES, "a": strategy("long-btc", spec=limit, on=ON)}
    files["b"] = strategy("old-btc", spec=f"{limit}\nstate: stopped", on=ON)
    assert codes(loaded(tmp_path, **files)).count("BF313") == 2


def test_paper_uses_no_capital_and_shares_pairs_with_live_strategies(tmp_path):
    limit = "marginLimit: 4000 USDT\npairs: [BTC/USDT]"
    files = {"c": connection(), "live": strategy("live-btc", spec=limit)}
    for name in ("one", "two"):
        files[name] = strategy(f"{name}-btc", spec=f"{limit}\nmode: paper")
    files["p"] = policy("limits: {marginPerConnection: 4000 USDT, marginTotal: 4000 USDT}")
    assert codes(loaded(tmp_path, **files)) == []


def test_a_paper_strategys_own_proofs_hold(tmp_path):
    files = {"c": connection(), "s": strategy(spec="mode: paper\nbaseOrder: 5000 USDT")}
    assert "BF601" in codes(loaded(tmp_path, **files))


def test_the_same_pair_on_a_spot_account_is_a_warning(tmp_path):
    limit = "marginLimit: 900 USDT\npairs: [BTC/USDT]"
    files = {name: strategy(f"{name}-btc", spec=limit) for name in ("one", "two")}
    assert codes(loaded(tmp_path, c=connection(), **files)) == ["BF314", "BF314"]


def via(name: str, **fields: str) -> str:
    lines = [f"{key}: {value}" for key, value in fields.items()]
    return "\n".join((*lines, "recovery:", f"  actions: {{newDeals: 'viaConnection: {name}'}}"))


def test_what_opens_through_another_connection_counts_against_its_capital_too(tmp_path):
    files = {
        "c": connection(),
        "d": connection("mexc-spot-spare", capital="500 USDT"),
        "s": strategy(spec=via("mexc-spot-spare", marginLimit="400 USDT")),
    }
    assert "BF602" not in codes(loaded(tmp_path, **files))
    files["t"] = strategy(
        "coins-there", on="mexc-spot-spare", spec="marginLimit: 400 USDT\npairs: [SOL/USDT]"
    )
    result = loaded(tmp_path, **files)
    assert "BF602" in codes(result)
    assert set(result.usable) == {
        ("Connection", "mexc-spot-main"),
        ("Connection", "mexc-spot-spare"),
    }


def test_a_pair_that_another_strategy_trades_there_is_told(tmp_path):
    files = {"c": connection(), "d": connection("mexc-spot-spare")}
    files["s"] = strategy(spec=via("mexc-spot-spare"))
    files["t"] = strategy("coins-there", on="mexc-spot-spare", spec="marginLimit: 400 USDT")
    assert "BF314" in codes(loaded(tmp_path, **files))


def test_the_other_connection_needs_capital_in_the_pairs_currency(tmp_path):
    files = {"c": connection(), "d": connection("mexc-spot-spare", capital="500 EUR")}
    finding = one(tmp_path, "BF308", **files, s=strategy(spec=via("mexc-spot-spare")))
    assert finding.field == "spec.recovery.actions.newDeals"
    assert "EUR" in finding.message


def test_what_breaks_a_rule_of_the_other_exchange_alone_is_told_at_the_field(tmp_path):
    tiny = "marginLimit: 6 USDT\nmaxActiveDeals: 1"
    files = {
        "c": connection("kucoin-spot-main", exchange="kucoin"),
        "d": connection("mexc-spot-spare"),
        "s": strategy(on="kucoin-spot-main", spec=tiny),
    }
    assert codes(loaded(tmp_path, **files)) == ["BF306"]  # small, but allowed at KuCoin
    files["s"] = strategy(on="kucoin-spot-main", spec=f"{tiny}\n{via('mexc-spot-spare')}")
    finding = one(tmp_path, "BF603", **files)
    assert finding.field == "spec.recovery.actions.newDeals"
    assert "`mexc-spot-spare`" in finding.message


def test_recovery_through_another_connection_needs_one_of_the_same_market(tmp_path):
    spec = "recovery:\n  enabled: false\n  actions: {newDeals: 'viaConnection: %s'}"
    files = {"c": connection(), "f": FUTURES}
    for name, expected in (("nowhere", 1), ("mexc-spot-main", 1), (ON, 1)):
        result = loaded(tmp_path, **files, s=strategy(spec=spec % name))
        assert codes(result).count("BF308") == expected
    files["d"] = connection("mexc-spot-recovery")
    assert "BF308" not in codes(
        loaded(tmp_path, **files, s=strategy(spec=spec % "mexc-spot-recovery"))
    )


@pytest.mark.parametrize(
    ("name", "exchange", "title", "code"),
    [
        ("mexc-spot-main", "mexc", "KuCoin Spot Main", "BF304"),
        ("mexc-spot-main", "mexc", "MEXC Futures Main", "BF304"),
        ("kucoin-spot-main", "mexc", "Main account for coins", "BF304"),
        ("mexc-spot-main", "mexc", "MEXC after KuCoin, spot", None),
        ("gate-main-coins", "gate", "Gate.io Spot Main", None),
        ("api1", "mexc", "MEXC Spot Main", "BF305"),
        ("new-key", "mexc", "MEXC Spot Main", "BF305"),
        ("mexc-spot-main", "mexc", "test", "BF305"),
    ],
)
def test_names_say_what_they_mean(tmp_path, name, exchange, title, code):
    text = connection(name, exchange=exchange)
    text = text.replace(f"name: {name}", f"name: {name}, title: '{title}'")
    result = loaded(tmp_path, c=text, s=strategy(on=name))
    assert codes(result) == ([code] if code else [])


@pytest.mark.parametrize(
    ("endpoint", "is_good"),
    [
        ("http://127.0.0.1:8900", True),
        ("http://[::1]:8900/api", True),
        ("http://localhost:8900", True),
        ("https://api.mexc.com", False),
        ("http://127.0.0.1@evil.example/", False),
        ("http://evil.example#127.0.0.1", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", False),
        ("ftp://127.0.0.1", False),
        ("http://0x7f000001", False),
        ("http://10.0.0.1", False),
        ("http:\\\\127.0.0.1", False),
        ("//127.0.0.1", False),
    ],
)
def test_an_endpoint_reaches_only_this_machine(tmp_path, endpoint, is_good):
    spec = f"environment: emulator\n  endpoint: '{endpoint}'"
    result = loaded(tmp_path, c=connection(spec=spec), s=strategy())
    assert ("BF316" in codes(result)) is not is_good


def test_an_endpoint_outside_the_emulator_is_refused(tmp_path):
    result = loaded(tmp_path, c=connection(spec="endpoint: http://127.0.0.1:1"), s=strategy())
    assert codes(result) == ["BF316"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (connection(spec="environment: sandbox"), "BF315"),
        (connection().replace("203.0.113.7", "203.0.113.700"), "BF212"),
        (connection().replace("203.0.113.7", "192.168.1.1"), "BF513"),
        (connection().replace("require: true", "require: false"), "BF511"),
        (connection().replace("twoFactor: true", "twoFactor: false"), "BF512"),
        (connection(spec="accept: [PermissionsUnverifiable]"), "BF514"),
        (connection(capital="0 USDT"), "BF209"),
    ],
)
def test_a_connection_is_checked_by_itself(tmp_path, text, code):
    assert codes(loaded(tmp_path, c=text, s=strategy())).count(code) == 1


def test_a_passphrase_is_needed_where_the_exchange_has_one_and_only_there(tmp_path):
    wrong = connection("kucoin-spot-main", exchange="kucoin")
    wrong = "\n".join(line for line in wrong.splitlines() if "password" not in line) + "\n"
    finding = one(tmp_path, "BF317", c=wrong, s=strategy(on="kucoin-spot-main"))
    assert finding.field == "spec.credentials.password"


def test_an_unused_connection_and_one_for_two_groups_are_noticed(tmp_path):
    assert codes(loaded(tmp_path, c=connection())) == ["BF306"]
    files = {
        name: strategy(
            f"{name}-coins", spec=f"marginLimit: 900 USDT\npairs: [{name.upper()}/USDT]"
        ).replace("-coins}", f"-coins, labels: {{group: {name}}}}}")
        for name in ("ada", "sol")
    }
    assert codes(loaded(tmp_path, c=connection(), **files)) == ["BF307"]


class TestPolicy:
    @pytest.mark.parametrize(
        ("spec", "code"),
        [
            ("exchanges: [kucoin]", "BF501"),
            ("pairs: ['*/USDC', 'BTC/*']", "BF502"),
            ("modes: [paper]", "BF503"),
            ("limits: {marginPerStrategy: 100 USDT}", "BF504"),
            ("limits: {marginPerStrategy: 100000 EUR}", "BF504"),
            ("limits: {marginPerConnection: 100 USDT}", "BF505"),
            ("limits: {marginTotal: 100 USDT}", "BF506"),
            ("pairs: [btc]", "BF208"),
            ("severities: {BF401: warning}", "BF510"),
            ("severities: {BF999: warning}", "BF510"),
        ],
    )
    def test_more_than_the_policy_allows_is_refused(self, tmp_path, spec, code):
        result = loaded(tmp_path, c=connection(), s=strategy(), p=policy(spec))
        assert code in codes(result)
        assert ("Strategy", "coins-balanced") not in result.usable or code in {"BF501", "BF510"}

    def test_what_the_policy_allows_is_clean(self, tmp_path):
        spec = "exchanges: [mexc]\npairs: ['*/USDT']\nlimits: {marginTotal: 5000 USDT, leverage: 3}"
        assert codes(loaded(tmp_path, c=connection(), s=strategy(), p=policy(spec))) == []

    def test_leverage_from_a_preset_counts(self, tmp_path):
        files = {"c": FUTURES, "s": strategy(on=ON), "p": policy("limits: {leverage: 2}")}
        assert "BF507" in codes(loaded(tmp_path, **files))

    def test_an_ip_restriction_can_be_demanded(self, tmp_path):
        text = connection().replace("require: true", "require: false")
        files = {"c": text, "s": strategy(), "p": policy("requireIpWhitelist: true")}
        assert "BF508" in codes(loaded(tmp_path, **files))

    def test_advice_can_be_raised_and_switched_off(self, tmp_path):
        files = {"c": connection(), "p": policy("severities: {BF306: error}")}
        (finding,) = loaded(tmp_path, **files).findings
        assert finding.severity is Severity.ERROR
        assert codes(loaded(tmp_path, c=connection(), p=policy("severities: {BF306: 'off'}"))) == []

    def test_a_second_policy_or_a_broken_one_lets_nothing_new_start(self, tmp_path):
        files = {"c": connection(), "s": strategy(), "p": policy("exchanges: [nowhere]")}
        result = loaded(tmp_path, **files)
        assert "BF509" in codes(result)
        assert not result.usable
        files |= {"p": policy("modes: [live]"), "q": policy("modes: [live]", name="other")}
        result = loaded(tmp_path, **files)
        assert {"BF303", "BF509"} <= set(codes(result))
        assert not result.usable

    def test_the_last_policy_holds_while_the_present_one_cannot_be_read(self, tmp_path):
        good = {"c": connection(), "s": strategy()}
        last = loaded(tmp_path, **good, p=policy("modes: [paper]")).policy
        write(tmp_path, p=policy("modes: [paper]")[:-10] + "[")
        result = load(tmp_path, Parser(), last)
        assert result.policy == last
        assert "BF503" in codes(result)

    def test_a_policy_in_a_broken_file_lets_nothing_new_start(self, tmp_path):
        text = policy("modes: [live]")[:-10] + "["
        result = loaded(tmp_path, c=connection(), s=strategy(), p=text)
        assert "BF509" in codes(result)
        assert not result.usable

    def test_a_policy_that_was_deleted_no_longer_holds(self, tmp_path):
        good = {"c": connection(), "s": strategy()}
        last = loaded(tmp_path, **good, p=policy("modes: [paper]")).policy
        (tmp_path / "p.yaml").unlink()
        assert load(tmp_path, Parser(), last).policy is None


class TestSuppressions:
    def check(self, tmp_path, comment, *, own_line=False):
        name = "metadata: {name: mexc-spot-main}"
        replaced = f"{comment}\n{name}" if own_line else f"{name}  {comment}"
        return codes(loaded(tmp_path, c=connection().replace(name, replaced)))

    def test_a_comment_with_a_reason_silences_advice(self, tmp_path):
        comment = "# backfuturectl: ignore BF306 kept for the move in March"
        assert self.check(tmp_path, comment) == []
        assert self.check(tmp_path, comment, own_line=True) == []

    @pytest.mark.parametrize(
        "comment",
        [
            "# backfuturectl: ignore BF306",
            "# backfuturectl: ignore BF306 -",
            "# backfuturectl: ignore BF999 because",
            "# backfuturectl: skip BF306 because",
            "# backfuturectl: ignore BF401 because",
        ],
    )
    def test_a_comment_without_reason_or_right_silences_nothing(self, tmp_path, comment):
        assert self.check(tmp_path, comment) == ["BF306", "BF117"]

    def test_an_unused_comment_is_reported(self, tmp_path):
        files = {"c": connection() + "# backfuturectl: ignore BF306 old\n", "s": strategy()}
        assert codes(loaded(tmp_path, **files)) == ["BF118"]

    def test_a_secret_in_clear_text_cannot_be_silenced(self, tmp_path):
        text = connection(credentials="{apiKey: abcdefghij, secret: abcdefghij}")
        text = text.replace("}\n\nsops", "} # backfuturectl: ignore BF401 reason\n\nsops")
        assert codes(loaded(tmp_path, c=text)).count("BF401") == 2


def test_findings_are_told_by_document(tmp_path):
    result = loaded(tmp_path, c=connection(), s=strategy(spec="leverage: 3"))
    (finding,) = result.findings_of(("Strategy", "coins-balanced"))
    assert finding.code == "BF310"
    assert result.findings_of(("Connection", "mexc-spot-main")) == ()


def test_a_second_load_of_the_same_files_gives_the_same_result(tmp_path):
    write(tmp_path, c=connection(), s=strategy(spec="leverage: 3"))
    parser = Parser()
    assert load(tmp_path, parser) == load(tmp_path, parser)


def test_a_single_file_is_checked_without_what_it_refers_to(tmp_path):
    write(tmp_path, s=strategy(spec="pairs: [BTC/USDT, ETH/USDC]"))
    result = compile_tree(scan(tmp_path / "s.yaml"), Parser(), is_whole=False)
    assert codes(result) == ["BF311"]
