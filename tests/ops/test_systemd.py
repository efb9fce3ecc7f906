"""ops/systemd: systemd takes the unit, finds it well closed off, and its command is one that the program knows."""

import re
import subprocess
from pathlib import Path

import pytest

from support.hub import make_keys
from support.programs import OPS, ragpulse, run, running, system, wait_until

UNIT = OPS / "systemd/ragpulse.service"
# By `systemd-analyze security`: 0 is closed off wholly, 10 not at all. That it may use the network alone is 0.8 of it.
MOST_EXPOSED = 1.5


def settings() -> dict[str, list[str]]:
    """The settings of the unit."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    # It looks whether the program is there, so it is put where it can be seen.
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/ragpulse", ragpulse()))
    said = run([system("systemd-analyze", "systemd"), "verify", "--man=no", str(unit)], ok=False)
    complaints = [line for line in said.splitlines() if UNIT.name in line]
    assert complaints == []


def test_the_service_is_closed_off() -> None:
    analyze = [system("systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager"]
    told = run([*analyze, str(UNIT)], ok=False)
    overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert overall, told
    assert float(overall.group(1)) <= MOST_EXPOSED, told


def test_the_command_of_the_unit_starts_a_hub_that_reloads_and_ends(tmp_path: Path) -> None:
    """The command line, the variables and the signals of the unit, by themselves: there is no systemd in the tests."""
    unit = settings()
    (command,) = unit["ExecStart"]
    program, *arguments = command.replace("$RAGPULSE_OPTIONS", "--listen 127.0.0.1:0").split()
    assert program == "/usr/local/bin/ragpulse"
    keys = make_keys(tmp_path)
    (given,) = unit["Environment"]
    environment = dict(pair.split("=", 1) for pair in given.split())
    for name in environment:
        assert name in run([ragpulse(), "serve", "--help"]), f"{name} is no variable of serve"
    environment |= {"RAGPULSE_KEYS": str(keys.file), "STATE_DIRECTORY": str(tmp_path)}
    log = tmp_path / "log"
    with running([ragpulse(), *arguments], log, env=environment) as process:
        wait_until("it serves", lambda: "RagPulse is at" in log.read_text())
        assert (tmp_path / "ragpulse.db").is_file(), "the store is in the state directory"
        (reload,) = unit["ExecReload"]
        run(reload.replace("$MAINPID", str(process.pid)).split())
        wait_until("the keys were read again", lambda: '"reload"' in log.read_text())
        process.terminate()
        (seconds,) = unit["TimeoutStopSec"]
        try:
            assert process.wait(int(seconds.removesuffix("s"))) == 0
        except subprocess.TimeoutExpired:
            pytest.fail("it did not end in the time that the unit gives it")


def test_there_is_a_user_of_that_name() -> None:
    line = (OPS / "systemd/ragpulse.sysusers.conf").read_text().splitlines()[-1]
    assert line.split()[1] == settings()["User"][0]
