"""Every way in which a file or a key was seen to be wrong, through the real sops."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from backfuturectl.model.errors import OperationError, PermanentError
from backfuturectl.secrets.failures import FAILURES, SopsFailure, classify
from backfuturectl.secrets.program import run
from backfuturectl.secrets.sops import Sops

from .conftest import CANARY_KEY, CANARY_SECRET, CLEAR

Change = Callable[[str], str]
F = SopsFailure


def replaced(pattern: str, replacement: str) -> Change:
    def change(text: str) -> str:
        changed, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, pattern
        return changed

    return change


def swapped(text: str) -> str:
    first = re.search(r"apiKey: (ENC.*)", text)
    second = re.search(r"secret: (ENC.*)", text)
    assert first
    assert second
    return text.replace(first[1], "@").replace(second[1], first[1]).replace("@", second[1])


def flipped(pattern: str) -> Change:
    """Replace the first letter of the base64 text that follows *pattern* by another one."""

    def change(text: str) -> str:
        match = re.search(pattern, text)
        assert match
        place = match.end()
        other = "A" if text[place] != "A" else "B"
        return text[:place] + other + text[place + 1 :]

    return change


DECRYPT = ["--config", "/dev/null", "decrypt", "--input-type", "yaml", "--output-type", "json"]
BLOCK = r"(?s)^sops:.*"
ROWS: list[tuple[str, Change, SopsFailure]] = [
    ("plain file", lambda text: CLEAR, F.NOT_ENCRYPTED),
    ("cut off before the block", replaced(BLOCK, ""), F.NOT_ENCRYPTED),
    ("comment only", lambda text: "# nothing\n", F.NOT_ENCRYPTED),
    ("lastmodified missing", replaced(r"^ +lastmodified: .*\n", ""), F.METADATA_INVALID),
    ("version missing", replaced(r"^ +version: .*\n", ""), F.METADATA_INVALID),
    ("version not semantic", replaced(r"version: .*", "version: new"), F.METADATA_INVALID),
    ("wrong type in block", replaced(r"^ +version: .*", "    version: [1]"), F.METADATA_INVALID),
    (
        "no recipients",
        replaced(r"(?s)^    age:.*?(?=^    lastmod)", "    age: []\n"),
        F.NO_RECIPIENTS,
    ),
    ("two sops blocks", lambda text: text + text[text.index("sops:") :], F.MALFORMED),
    ("tab as indentation", replaced(r"^    exchange", "\texchange"), F.MALFORMED),
    (
        "merge conflict",
        replaced(r"^kind: .*", "<<<<<<< HEAD\nkind: A\n=======\nkind: B\n>>>>>>> b"),
        F.MALFORMED,
    ),
    ("list at the top", lambda text: "- a\n- b\n", F.MALFORMED),
    ("data key damaged", flipped(r"X25519 |BEGIN AGE ENCRYPTED FILE-----\n *"), F.STANZA_DAMAGED),
    ("clear text in a field", replaced(r"secret: ENC.*", f"secret: {CANARY_SECRET}"), F.CLEAR_TEXT),
    ("number in a field", replaced(r"secret: ENC.*", "secret: 12345"), F.CLEAR_TEXT),
    ("truth value in a field", replaced(r"secret: ENC.*", "secret: true"), F.CLEAR_TEXT),
    ("ciphertext altered", flipped(r"secret: ENC\[AES256_GCM,data:"), F.VALUE_ALTERED),
    ("ciphertexts swapped", swapped, F.VALUE_ALTERED),
    ("encrypted key renamed", replaced(r"secret: ENC", "password: ENC"), F.VALUE_ALTERED),
    ("clear value changed", replaced("exchange: mexc", "exchange: kucoin"), F.MAC_MISMATCH),
    ("clear field added", replaced("^spec:", "spec:\n    endpoint: x"), F.MAC_MISMATCH),
    ("clear field removed", replaced(r"^ +market: spot\n", ""), F.MAC_MISMATCH),
    ("encrypted field removed", replaced(r"^ +secret: ENC.*\n", ""), F.MAC_MISMATCH),
    ("encrypted field emptied", replaced(r"secret: ENC.*", 'secret: ""'), F.MAC_MISMATCH),
    ("selector changed", replaced(r"\^credentials\$", "^other$"), F.MAC_MISMATCH),
    ("MAC missing", replaced(r"^ +mac: .*\n", ""), F.MAC_MISSING),
    ("MAC damaged", flipped(r"mac: ENC\[AES256_GCM,data:"), F.MAC_MISSING),
    ("time of change altered", replaced(r'lastmodified: "2\d', 'lastmodified: "31'), F.MAC_MISSING),
]


@pytest.mark.parametrize("row", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
class TestAWrongFile:
    async def test_is_classified_from_what_sops_says(
        self, program: Path, key: tuple[Path, str], ciphertext: bytes, row: tuple[Change, F]
    ) -> None:
        change, expected = row
        completed = await run(
            program,
            DECRYPT,
            stdin=change(ciphertext.decode()).encode(),
            environment={"SOPS_AGE_KEY_FILE": str(key[0])},
            timeout_s=20,
        )
        assert classify(completed.exit_code, completed.stderr) is expected

    async def test_is_a_permanent_error_that_names_the_subcause(
        self, sops: Sops, ciphertext: bytes, row: tuple[Change, F]
    ) -> None:
        change, expected = row
        with pytest.raises(PermanentError) as caught:
            await sops.decrypt(change(ciphertext.decode()).encode())
        assert caught.value.raw_code == expected.value
        assert caught.value.reason is FAILURES[expected].reason

    async def test_gives_no_secret_away(
        self,
        sops: Sops,
        ciphertext: bytes,
        row: tuple[Change, F],
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        change, _ = row
        with caplog.at_level(logging.DEBUG), pytest.raises(OperationError) as caught:
            await sops.decrypt(change(ciphertext.decode()).encode())
        written = "".join(
            (*traceback.format_exception(caught.value), caplog.text, *capfd.readouterr())
        )
        assert CANARY_KEY not in written
        assert CANARY_SECRET not in written
