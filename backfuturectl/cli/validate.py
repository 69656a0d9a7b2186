"""``validate``: prove a repository offline, without any key."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Final

import click

from backfuturectl.model.errors import BackfutureError, ConfigurationError, UsageError

if TYPE_CHECKING:
    from backfuturectl.config.compile import Loaded

_FORMATS: Final = ("text", "json", "github", "gitlab", "sarif", "junit")
_CONVENTION: Final = "configs"
_EXIT_FINDINGS: Final = 1


@click.command
@click.argument("paths", nargs=-1, type=click.Path(), metavar="[PATH]...")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(_FORMATS),
    help="How to report; repeatable. Default: text, or github inside GitHub Actions.",
)
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Where to; repeatable. The last --format goes to the last --output, and so on; "
    "what is left goes to standard output.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
def validate(
    paths: tuple[str, ...], formats: tuple[str, ...], outputs: tuple[str, ...], *, strict: bool
) -> None:
    """Check configuration offline: no key, no network.

    Schema, references, Policy, secrets encrypted, and proof that the worst case of every strategy
    fits its margin. PATH is a configuration root (default: BACKFUTURECTL_ROOT, else configs/ if
    it exists, else the current directory); single files are checked alone, without what they
    refer to.

    \b
    Exit codes: 0 clean, 1 findings, 2 could not run.

    \b
    Examples:
      backfuturectl validate
      backfuturectl validate configs --strict
      backfuturectl validate --format text --format sarif --output findings.sarif
    """  # noqa: D301 - \b is click's mark for text that keeps its lines
    chosen = formats or (_automatic_format(),)
    on_screen = len(chosen) - len(outputs)
    if on_screen < 0:
        raise UsageError("there are more --output than --format")
    if on_screen > 1:
        raise UsageError("only one --format can go to standard output: give an --output for others")
    loaded = _load(paths or (_default_root(),))
    if not loaded.documents and not loaded.findings:
        # A CI step that looks in the wrong place must not pass.
        raise BackfutureError(
            f"no Connection, Strategy or Policy below {', '.join(paths) or _default_root()}; "
            "give the configuration root"
        )
    for index, name in enumerate(chosen):
        if index < on_screen:
            if isinstance(sys.stdout, io.TextIOWrapper):  # an old terminal must not end the run
                sys.stdout.reconfigure(errors="backslashreplace")
            is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
            sys.stdout.write(_report(name, loaded, is_coloured=is_coloured))
            sys.stdout.flush()
        else:
            _write(outputs[index - on_screen], _report(name, loaded, is_coloured=False))
    summary_file = os.environ.get("GITHUB_STEP_SUMMARY")
    if "github" in chosen and summary_file:
        from backfuturectl.cli.finding_formats import github_summary  # noqa: PLC0415 - start-up

        _write(summary_file, github_summary(loaded), mode="a")
    if any(_fails(finding.severity.value, strict=strict) for finding in loaded.findings):
        sys.exit(_EXIT_FINDINGS)


def _default_root() -> str:
    given = os.environ.get("BACKFUTURECTL_ROOT")
    return given or (_CONVENTION if os.path.isdir(_CONVENTION) else ".")


def _automatic_format() -> str:
    return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "text"


def _load(paths: tuple[str, ...]) -> Loaded:
    from backfuturectl.config.compile import compile_tree  # noqa: PLC0415 - keeps --help fast
    from backfuturectl.config.parsing import Parser  # noqa: PLC0415 - keeps --help fast
    from backfuturectl.config.tree import scan_all  # noqa: PLC0415 - keeps --help fast

    try:
        tree = scan_all(paths)
    except ConfigurationError as error:
        raise BackfutureError(f"{error}; {error.remedy}") from error
    return compile_tree(tree, Parser(), is_whole=all(os.path.isdir(path) for path in paths))


def _report(name: str, loaded: Loaded, *, is_coloured: bool) -> str:
    if name == "text":
        from backfuturectl.cli.finding_text import text_report  # noqa: PLC0415 - start-up

        return text_report(loaded, is_coloured=is_coloured)
    from backfuturectl.cli import finding_formats  # noqa: PLC0415 - start-up

    render = {
        "json": finding_formats.json_report,
        "github": finding_formats.github_report,
        "gitlab": finding_formats.gitlab_report,
        "sarif": finding_formats.sarif_report,
        "junit": finding_formats.junit_report,
    }[name]
    return render(loaded)


def _write(path: str, text: str, *, mode: str = "w") -> None:
    try:
        with open(path, mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BackfutureError(f"{path}: cannot be written: {error.strerror}") from error


def _fails(severity: str, *, strict: bool) -> bool:
    return severity == "error" or (strict and severity == "warning")
