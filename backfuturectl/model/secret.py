"""A value that will not print."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NoReturn

_MASK: Final = "Secret(****)"
_PLACEHOLDER: Final = re.compile(
    r"[*•.xX_-]+|<.*>"
    r"|\[.*\]|\$\{.*\}|\(?sensitive\)?|(your|my)[-_ ].*|(change|replace)[-_ ]?(me|it)"
    r"|placeholder.*|example.*|api[-_ ]?(key|secret)|secret|password|passphrase|hidden|masked"
    r"|encrypted|redacted|dummy|test|todo|fixme|none|null",
    re.IGNORECASE,
)


def is_placeholder(text: str) -> bool:
    """Return whether *text* is what tools and people write in the place of a secret."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


class Secret:
    """Text that shows itself only through `reveal`.

    `repr`, `str`, formatting and pickling never give the text away; comparison is by value so
    that a re-read of the same file is no change.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; call it only where it goes onto the wire."""
        return self._text

    def fingerprint(self) -> str:
        """Return ``mx0v…x7Qa · sha256:1f3a9c2e``: enough to recognise a key, useless to sign with.

        Only for key identifiers. Texts under 12 characters show the digest alone, since their
        ends would be most of them.
        """
        digest = f"sha256:{self.digest()[:8]}"
        if len(self._text) < 12:  # noqa: PLR2004 - explained above
            return digest
        return f"{self._text[:4]}…{self._text[-4:]} · {digest}"

    def digest(self) -> str:
        """Return the full SHA-256 as hex, to tell two secrets apart without keeping either."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return _MASK

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")
