"""Debian's Linux under Keel sees what it sees bare, less Keel's memory."""
import re

import pytest
from hello import Hello

MIB = 1 << 20
# What Linux may lose on a machine of 1 GiB.
MEMORY_GOAL_KIB = 2.2 * 1024


def keels_regions(hello, bare):
    """Reserved ranges of whole 2 MiB pages below 4 GiB that the bare machine has not."""
    return [(start, end) for start, end, name in hello.iomem()
            if name == "Reserved" and (start, end, name) not in bare.iomem()
            and start % (2 * MIB) == 0 and (end + 1) % (2 * MIB) == 0 and MIB < start < 1 << 32]


@pytest.mark.parametrize("kernel_name", ["bookworm-cloud", "bookworm-full"])
def test_linux_sees_the_bare_machine(keel, bare_hello, kernel_name):
    machine = keel("keel.test=hello", kernel_name=kernel_name)
    assert machine.wait_end() == "poweroff"
    # The exits by reason, at power-off.
    assert re.search(r"CPUID\D*\d", machine.text("com2"))
    hello = Hello(machine.text())
    bare = bare_hello(kernel_name)

    assert hello.uname() == bare.uname()
    assert hello.signature() == "KeelKeelKeel"
    assert bare.mem_total_kib() - hello.mem_total_kib() <= MEMORY_GOAL_KIB
    assert len(keels_regions(hello, bare)) == 1, hello.iomem()
    assert not hello.complaints() - bare.complaints()


def test_root_cannot_read_keels_memory(keel):
    # Without iomem=relaxed Linux itself refuses, and Keel is never asked.
    machine = keel("keel.test=devmem iomem=relaxed")
    assert machine.wait_end() == "poweroff"
    text = machine.text()
    assert re.search(r"^DONE$", text, re.M)
    results = re.findall(r"^memread: (read|mmap) of .*: (\d+) bytes seen, .* (\d+) errors, "
                         r"(\d+) faults", text, re.M)
    assert [(how, seen) for how, seen, _, _ in results] == [("read", "0"), ("mmap", "0")]
    assert all(int(errors) + int(faults) for _, _, errors, faults in results)
    # Logged, but not so often that the guest could flood the log.
    assert 1 <= machine.text("com2").count("violation: ") <= 16


def test_reboot(keel):
    machine = keel("keel.test=reboot")
    machine.wait_for("^REBOOTING")
    machine.wait_reset()
    machine.wait_for("^KEEL-INIT", count=2)


def test_sleep_is_refused(keel):
    machine = keel("keel.test=sleep")
    assert machine.wait_end() == "poweroff"
    text = machine.text()
    # Linux is not offered S3 ("deep"), and what takes the machine there by hand does nothing.
    assert re.search(r"^mem_sleep: \[s2idle\]$", text, re.M)
    assert re.search(r"^STILL-HERE$", text, re.M)
    assert machine.text("com2").count("sleep refused: ") == 1
