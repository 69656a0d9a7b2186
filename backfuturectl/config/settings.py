"""Where things are on this machine; from the environment, with defaults for systemd and for a desk.

Every setting is an environment variable ``BACKFUTURECTL_<NAME>``. systemd's own variables
(``STATE_DIRECTORY``, ``RUNTIME_DIRECTORY``, ``CREDENTIALS_DIRECTORY``) come next, then the XDG base
directories.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from backfuturectl.model.errors import ConfigurationError

_APP: Final = "backfuturectl"


def _home(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback)


def _state_dir() -> Path:
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    return _home("XDG_STATE_HOME", ".local/state") / _APP


def _runtime_dir() -> Path:
    if given := os.environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(given) / _APP
    return _state_dir() / "run"


def _age_key_file() -> Path:
    if given := os.environ.get("SOPS_AGE_KEY_FILE"):
        return Path(given)
    if given := os.environ.get("CREDENTIALS_DIRECTORY"):
        return Path(given) / "age.key"
    return _home("XDG_CONFIG_HOME", ".config") / _APP / "age.key"


class Settings(BaseSettings):
    """The program's settings; `load_settings` reads them."""

    model_config = SettingsConfigDict(env_prefix="BACKFUTURECTL_", frozen=True, extra="forbid")

    root: Path = Field(Path("configs"), description="Configuration root: the YAML files.")
    state_dir: Path = Field(default_factory=_state_dir, description="The state database and lock.")
    runtime_dir: Path = Field(default_factory=_runtime_dir, description="The status socket.")
    age_key_file: Path = Field(default_factory=_age_key_file, description="age identities.")
    sops: Path | None = Field(None, description="The sops program; None looks for it.")
    database: str | None = Field(None, description="State store URL; None: SQLite in state_dir.")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: str = Field("auto", pattern="^(auto|text|json)$")
    price_interval_s: float = Field(1.0, gt=0, le=60, description="Time between two price ticks.")
    scan_interval_s: float = Field(15.0, gt=0, le=3600, description="Look at the files this often.")
    settle_s: float = Field(0.25, ge=0, le=10, description="Files must be quiet this long.")
    test_interval_s: float = Field(900.0, gt=0, description="Re-test connections this often.")
    prune_grace_s: float = Field(10.0, ge=0, description="A deletion waits this long.")
    listen: str | None = Field(None, description="TCP host:port of the status API; None: off.")
    token_file: Path | None = Field(None, description="Bearer token for the TCP status API.")

    @property
    def socket(self) -> Path:
        """The status API's Unix socket."""
        return self.runtime_dir / "api.sock"

    @property
    def database_url(self) -> str:
        """The state store as a URL."""
        return self.database or f"sqlite:///{self.state_dir / 'state.db'}"


def load_settings(**given: object) -> Settings:
    """Return the settings; *given* (command-line options that are not None) come first.

    Raises:
        ConfigurationError: A variable has a value that cannot be.
    """
    options = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**options)  # type: ignore[arg-type]  # names and types are checked inside
    except ValidationError as error:
        first = error.errors()[0]
        name = f"BACKFUTURECTL_{'_'.join(str(part) for part in first['loc']).upper()}"
        raise ConfigurationError(
            f"setting {name}: {first['msg']}", remedy="correct or unset the variable"
        ) from None
