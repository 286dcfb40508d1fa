"""Linux under Keel has all its CPUs, keeps them, and gets them back; all or none run Keel."""
import os
import re

import emulator
import pytest
from hello import Hello


def run(keel, words, cpus, rounds=0, **options):
    machine = keel(f"keel.test=smp keel.rounds={rounds} {words}", cpus=cpus, **options)
    assert machine.wait_end() == "poweroff"
    text = machine.text()
    assert not Hello(text).bad()
    return text


def online(text):
    return re.findall(r"^ONLINE (\S+)$", text, re.M)


@pytest.mark.parametrize("cpus, words", [
    (2, ""),
    (4, "cpu_init_udelay=0"),
] + ([(1, ""), (8, "")] if os.environ.get("KEEL_FULL") else []))
def test_all_cpus_run(keel, cpus, words):
    text = run(keel, words, cpus, time_limit=240 + 60 * cpus)
    assert online(text) == ["0" if cpus == 1 else f"0-{cpus - 1}"] * 2
    assert re.findall(r"^BUSY (\d+)$", text, re.M) == [str(cpu) for cpu in range(cpus)]


def test_a_cpu_that_linux_leaves_alone_waits(keel):
    assert online(run(keel, "maxcpus=1", 2)) == ["0", "0"]


# A round takes 200 million ticks, bare as well: `make test-full` has 50 of them.
ROUNDS = 50 if os.environ.get("KEEL_FULL") else 5


def test_a_cpu_goes_off_and_on(keel):
    text = run(keel, "cpu_init_udelay=0 quiet", 2, rounds=ROUNDS, time_limit=240 + 10 * ROUNDS)
    assert f"ROUNDS {ROUNDS}" in text
    assert online(text) == ["0-1"] * 2


def test_panic_reboots(keel):
    machine = keel("keel.test=panic panic=-1", cpus=2)
    machine.wait_for("^PANICKING")
    machine.wait_reset()
    machine.wait_for("^KEEL-INIT", count=2)


def test_one_cpu_fails_and_all_stop(keel):
    machine = keel(options="console=com2 fail-cpu=2", cpus=4)
    machine.wait_for(r"stopped: CPU 2 \(APIC id 2\): ", port="com2")
    assert "Linux version" not in machine.text()


def test_one_cpu_fails_and_linux_starts_without_keel(keel):
    text = run(keel, "", 2, options="console=com2 fail-cpu=1 fallback=linux")
    assert online(text) == ["0-1"] * 2


def test_a_panic_stops_all_cpus(keel):
    machine = keel(options="console=com2 panic-cpu=1", cpus=2, time_limit=45)
    machine.wait_for("stopped: switch the machine off", port="com2")
    # Linux had started on the other CPU; it is given time to go on, if it could.
    before = len(machine.text())
    with pytest.raises(emulator.Failure):
        machine.wait_for("^KEEL-INIT")
    assert machine.text("com2").count("panic: ") == 1
    assert len(machine.text()) - before < 200
