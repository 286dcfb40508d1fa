"""Linux without Keel: shows that the emulators, the images and the test guest work,
so that a failure under Keel is Keel's."""
import os
import subprocess

import pytest
import qemu
from conftest import ROOT, TIME_LIMIT


def test_boots_in_bochs_and_powers_off(bare_hello):
    hello = bare_hello()
    assert "6.1." in hello.uname()
    assert 900 * 1024 < hello.mem_total_kib() < 1024 * 1024
    assert hello.signature() != "KeelKeelKeel"
    assert hello.complaints(), "a boot without any warning: the parser has gone blind"


def test_boots_in_qemu(bare):
    machine = bare("keel.test=hello", module=qemu, accel="tcg")
    assert machine.wait_end() == "poweroff"
    assert "KEEL-END" in machine.text()


def test_reset_is_seen(bare):
    machine = bare("keel.test=reboot", module=qemu, accel="tcg")
    machine.wait_for("^REBOOTING")
    machine.wait_reset()


@pytest.fixture
def run_environment():
    return {**os.environ, "APPEND": "", "KERNEL": "", "INITRD": "", "MEM": "", "CPUS": ""}


def run_tool(environment, script="", **values):
    return subprocess.run([ROOT / "tools" / "run", "--bare"], input=script, text=True,
                          env={**environment, **values}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIME_LIMIT, check=False)


def test_make_run_gives_a_shell(run_environment):
    result = run_tool(run_environment, "echo sum=$((40 + 2))\ngrep -c ^processor /proc/cpuinfo\n"
                                       "poweroff -f\n", APPEND="quiet", CPUS="2")
    assert result.returncode == 0, result.stdout
    assert "\nsum=42\n" in result.stdout.replace("\r", ""), result.stdout
    assert "\n2\n" in result.stdout.replace("\r", ""), result.stdout
    assert "Ctrl-A x" in result.stdout


@pytest.mark.parametrize("name, value", [("KERNEL", "/no/such/kernel"), ("INITRD", "/none"),
                                         ("MEM", "lots"), ("CPUS", "0")])
def test_make_run_names_what_is_wrong(run_environment, name, value):
    result = run_tool(run_environment, **{name: value})
    assert result.returncode == 1
    assert f"{name}={value}" in result.stdout
