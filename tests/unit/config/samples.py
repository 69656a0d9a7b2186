"""Documents to break, one field at a time."""

import base64
from pathlib import Path

from backfuturectl.config.compile import Loaded, load
from backfuturectl.config.parsing import Parser

RECIPIENT = "age1" + "q" * 58


def enc(length: int = 20, kind: str = "str") -> str:
    data, iv, tag = (base64.b64encode(b"x" * size).decode() for size in (length, 32, 16))
    return f"ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:{kind}]"


def sops(extra: str = "encrypted_regex: ^credentials$", *, seed: str = "one") -> str:
    stanza = f"age-encryption.org/v1\n-> X25519 {seed}\nbody\n--- mac\n".encode()
    return f"""
sops:
  age:
    - recipient: {RECIPIENT}
      enc: |
        -----BEGIN AGE ENCRYPTED FILE-----
        {base64.b64encode(stanza).decode()}
        -----END AGE ENCRYPTED FILE-----
  lastmodified: "2026-01-01T00:00:00Z"
  mac: {enc(128)}
  version: 3.11.0
  {extra}
"""


def connection(
    name: str = "mexc-spot-main",
    *,
    exchange: str = "mexc",
    market: str = "spot",
    spec: str = "",
    credentials: str | None = None,
    block: str | None = None,
    capital: str = "5000 USDT",
) -> str:
    password = f"\n    password: {enc()}" if exchange in {"kucoin", "okx", "bitget"} else ""
    keys = credentials or f"\n    apiKey: {enc()}\n    secret: {enc()}{password}"
    return f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Connection
metadata: {{name: {name}}}
spec:
  exchange: {exchange}
  market: {market}
  capital: {capital}
  ipWhitelist: {{require: true, addresses: [203.0.113.7]}}
  attest: {{twoFactor: true}}
  {spec}
  credentials: {keys}
{sops(seed=name) if block is None else block}"""


def strategy(name: str = "coins-balanced", *, spec: str = "", on: str = "mexc-spot-main") -> str:
    body = "".join(f"  {line}\n" for line in spec.splitlines())
    pairs = "" if "pairs:" in spec else "  pairs: [BTC/USDT, ETH/USDT]\n"
    recovery = "" if "recovery:" in spec else "  recovery: {enabled: false}\n"
    return f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Strategy
metadata: {{name: {name}}}
spec:
  connection: {on}
{pairs}{recovery}{body}"""


def policy(spec: str, name: str = "desk") -> str:
    body = "".join(f"  {line}\n" for line in spec.splitlines())
    return f"""\
apiVersion: backfuture.ai/v1alpha1
kind: Policy
metadata: {{name: {name}}}
spec:
{body}"""


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        (root / f"{name}.yaml").write_text(text)
    return root


def loaded(root: Path, **files: str) -> Loaded:
    return load(write(root, **files), Parser())


def codes(result: Loaded) -> list[str]:
    return [finding.code for finding in result.findings]
