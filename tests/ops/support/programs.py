"""Programs of the system and of the build: found, run to their end, or kept running for a while.

What may come in: names of programs. What it never does: skip a test because one is missing, or wait without an end.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[3]
OPS = ROOT / "ops"
DOCS = ROOT / "docs"


def ragpulse() -> str:
    """The program under test."""
    program = os.environ.get("RAGPULSE_BIN")
    if not program or not Path(program).is_file():
        pytest.fail(
            "RAGPULSE_BIN names no program; run `cargo build -p ragpulse-cli`, then set it to target/debug/ragpulse"
        )
    return program


def system(name: str, package: str) -> str:
    """A program of a Debian package."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found:
        pytest.fail(f"there is no {name}; on Debian run: apt-get install -y {package}")
    return found


def tool(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def run(command: list[str], *, cwd: Path | None = None, timeout: float = 60, ok: bool = True) -> str:
    """Runs a program to its end; gives what it printed on both ways."""
    done = subprocess.run(
        command, cwd=cwd, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if ok and done.returncode != 0:
        pytest.fail(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(what: str, condition: Callable[[], T | None], seconds: float = 20) -> T:
    """Asks again and again until the answer is one: not None, not False, not empty."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            pytest.fail(f"it took more than {seconds:.0f} s until {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def running(
    command: list[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs as long as the block does; what it says goes into `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, cwd=cwd
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)


def alive(process: subprocess.Popen[bytes], log: Path) -> None:
    """Fails when a program has ended although nobody asked it to."""
    if process.poll() is not None:
        pytest.fail(f"{process.args!r} ended with {process.returncode}:\n{log.read_text(errors='replace')[-4000:]}")
