"""Credentials go into a file encrypted, whole, and proved, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from backfuturectl.model.errors import ConfigurationError, PermanentError, TransientError
from backfuturectl.model.secret import Secret
from backfuturectl.secrets.encrypt import encrypt_credentials, find_rules, write_atomically
from backfuturectl.secrets.sops import Sops

from .conftest import CANARY_KEY, CANARY_SECRET, CLEAR, encrypt, write_rules

PLACEHOLDERS = CLEAR.replace(CANARY_KEY, '""').replace(CANARY_SECRET, '""')
NEW = {"apiKey": Secret(CANARY_KEY), "secret": Secret(CANARY_SECRET)}
KEY = ("spec", "credentials", "apiKey")
SECRET = ("spec", "credentials", "secret")


async def put(
    sops: Sops, rules: Path, text: str | bytes, new: dict[str, Secret] | None = None
) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    path = rules.parent / "connections" / "main.yaml"
    return await encrypt_credentials(
        sops, content, NEW if new is None else new, path=path, rules=rules
    )


def spec_of(ciphertext: bytes) -> dict[str, object]:
    document = yaml.safe_load(ciphertext)
    return {key: value for key, value in document["spec"].items() if key != "credentials"}


@pytest.mark.parametrize(
    "credentials",
    [
        '  credentials:\n    apiKey: ""\n    secret: ""\n',
        "  credentials:\n    apiKey: REPLACE # here\n",
        "  credentials: {apiKey: x}\n",
        "  credentials: {}\n",
        "  credentials:\n",
        "",
    ],
    ids=["placeholders", "one missing", "flow", "empty", "null", "absent"],
)
async def test_a_new_file_may_leave_the_credentials_open(
    sops: Sops, rules: Path, credentials: str
) -> None:
    clear = CLEAR[: CLEAR.index("  credentials:")] + credentials
    ciphertext = await put(sops, rules, clear)
    assert (await sops.decrypt(ciphertext)) == {
        KEY: NEW["apiKey"],
        SECRET: NEW["secret"],
    }
    assert spec_of(ciphertext) == spec_of(clear.encode())


async def test_no_secret_is_in_the_result(sops: Sops, rules: Path) -> None:
    ciphertext = await put(sops, rules, PLACEHOLDERS)
    assert CANARY_KEY.encode() not in ciphertext
    assert CANARY_SECRET.encode() not in ciphertext


async def test_values_that_are_not_given_are_kept(
    sops: Sops, rules: Path, ciphertext: bytes
) -> None:
    changed = await put(sops, rules, ciphertext, {"secret": Secret("another-secret")})
    assert (await sops.decrypt(changed)) == {
        KEY: Secret(CANARY_KEY),
        SECRET: Secret("another-secret"),
    }


async def test_encrypting_anew_changes_only_the_data_key(
    sops: Sops, rules: Path, ciphertext: bytes
) -> None:
    anew = await put(sops, rules, ciphertext, {})
    assert (await sops.decrypt(anew)) == (await sops.decrypt(ciphertext))
    before, after = yaml.safe_load(ciphertext), yaml.safe_load(anew)
    assert before.pop("sops")["age"][0]["enc"] != after.pop("sops")["age"][0]["enc"]
    assert before["metadata"] == after["metadata"]


async def test_comments_survive(sops: Sops, rules: Path) -> None:
    commented = PLACEHOLDERS.replace("spec:", "# which account\nspec:")
    again = await put(
        sops, rules, await put(sops, rules, commented), {"secret": Secret("another-secret")}
    )
    assert b"# which account" in again


async def test_a_comment_among_the_credentials_does_not_stop_a_second_write(
    sops: Sops, rules: Path
) -> None:
    commented = PLACEHOLDERS.replace("    apiKey", "    # made in March\n    apiKey")
    again = await put(
        sops, rules, await put(sops, rules, commented), {"secret": Secret("another-secret")}
    )
    assert (await sops.decrypt(again))[SECRET] == Secret("another-secret")


async def test_a_tampered_file_is_not_blessed_with_a_new_mac(
    sops: Sops, rules: Path, ciphertext: bytes
) -> None:
    redirected = ciphertext.replace(b"exchange: mexc", b"exchange: kucoin")
    with pytest.raises(PermanentError) as caught:
        await put(sops, rules, redirected)
    assert caught.value.raw_code == "MacMismatch"


async def test_an_encrypted_file_needs_the_key_to_be_changed(
    program: Path, rules: Path, ciphertext: bytes
) -> None:
    with pytest.raises(TransientError):
        await put(Sops(program, key_file=None), rules, ciphertext)


async def test_a_new_file_can_be_encrypted_without_the_private_key(
    sops: Sops, program: Path, rules: Path
) -> None:
    ciphertext = await put(Sops(program, key_file=None), rules, PLACEHOLDERS)
    assert (await sops.decrypt(ciphertext))[KEY] == Secret(CANARY_KEY)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (["encrypted_regex: ^password$"], "does not select spec.credentials.apiKey"),
        (["encrypted_regex: ^apiKey$"], "does not select spec.credentials.secret"),
        ([], "must stay readable"),
        (["encrypted_regex: ^credentials$", "mac_only_encrypted: true"], "mac_only_encrypted"),
    ],
)
async def test_rules_that_would_leave_something_open_are_refused(
    sops: Sops, key: tuple[Path, str], tmp_path: Path, rule: list[str], message: str
) -> None:
    rules = write_rules(tmp_path, *rule, f"age: {key[1]}")
    with pytest.raises(ConfigurationError, match=message):
        await put(sops, rules, PLACEHOLDERS)


async def test_a_path_without_a_rule_is_named(
    sops: Sops, key: tuple[Path, str], tmp_path: Path
) -> None:
    rules = tmp_path / ".sops.yaml"
    rules.write_text(f"creation_rules:\n  - path_regex: ^other/\n    age: {key[1]}\n")
    with pytest.raises(ConfigurationError, match="no rule of"):
        await put(sops, rules, PLACEHOLDERS)


async def test_what_sops_says_about_bad_input_is_not_passed_on(sops: Sops, tmp_path: Path) -> None:
    rules = write_rules(tmp_path, "encrypted_regex: ^credentials$", "age: age1nonsense")
    with pytest.raises(ConfigurationError) as caught:
        await put(sops, rules, PLACEHOLDERS)
    assert CANARY_SECRET not in str(caught.value)
    assert "exit code" in str(caught.value)


async def test_a_secret_that_also_stands_in_a_comment_is_noticed(sops: Sops, rules: Path) -> None:
    with pytest.raises(ConfigurationError, match="elsewhere in the file"):
        await put(sops, rules, f"# {CANARY_SECRET}\n{PLACEHOLDERS}")


async def test_a_value_that_sops_would_rewrite_is_noticed(sops: Sops, rules: Path) -> None:
    with pytest.raises(ConfigurationError, match="rewrite the value of metadata"):
        await put(sops, rules, PLACEHOLDERS.replace("desk: main", "desk: 1.0"))


def test_the_nearest_rules_count(tmp_path: Path) -> None:
    near = tmp_path / "a" / "b"
    near.mkdir(parents=True)
    (tmp_path / ".sops.yaml").touch()
    assert find_rules(near / "x.yaml") == tmp_path / ".sops.yaml"
    (tmp_path / "a" / ".sops.yaml").touch()
    assert find_rules(near / "x.yaml") == tmp_path / "a" / ".sops.yaml"


def test_writing_keeps_mode_and_link_and_leaves_no_other_file(tmp_path: Path) -> None:
    target, link = tmp_path / "main.yaml", tmp_path / "link.yaml"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.yaml", "main.yaml"]


def test_a_write_that_fails_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "main.yaml"
    target.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


async def test_sops_and_we_agree_on_the_same_file(sops: Sops, rules: Path) -> None:
    """What sops wrote by itself is read the same way as what this program wrote."""
    theirs = encrypt(sops.program, rules)
    ours = await put(sops, rules, PLACEHOLDERS)
    assert (await sops.decrypt(theirs)) == (await sops.decrypt(ours))
