"""The payloads of test/payload: tiny guests that must say the same bare and under Keel.

    /usr/bin/python3 -m pytest test/emu/test_payload.py -k init
"""
import difflib
import re
import subprocess

import pytest
from conftest import KEEL_OPTIONS, ROOT

TIME_LIMIT = 240
MULTIBOOT_MODULE = "/usr/lib/grub/i386-pc/multiboot.mod"

# Each with the numbers of CPUs that it runs on.
PAYLOADS = [("init", 2), ("nmi", 2), ("shadow", 1), ("ipi", 2), ("ipi", 4), ("attack", 1),
            ("hole", 1), ("hole", 2), ("msr", 1), ("kick", 4)]


@pytest.fixture(scope="session")
def payload(once):
    """payload(NAME): the path of its image."""
    folder = ROOT / "build" / "payload"

    def make():
        subprocess.run(["make", "-s", "-C", ROOT, "-f", "test/payload/payload.mk", "BUILD=build"],
                       check=True)
        return "made"
    return lambda name: (once("payloads", make), folder / f"{name}.elf")[1]


def allowed_differences(name):
    """The patterns of lines that may differ. A line of the file: PAYLOAD PATTERN # REASON"""
    patterns = []
    for line in (ROOT / "test/payload/allowed.txt").read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\S+)\s+(.+?)\s+## (.+)", line)
        assert match, f"test/payload/allowed.txt: '{line}' is not PAYLOAD PATTERN ## REASON"
        if match[1] in (name, "*"):
            patterns.append(re.compile(match[2]))
    return patterns


def bare_words(name, words):
    return f"insmod /boot/multiboot.mod\nmultiboot /boot/{name}.elf {words}"


def keel_words(name, words):
    return f"multiboot2 /boot/keel.elf {KEEL_OPTIONS}\nmodule2 /boot/{name}.elf {words}"


def said(machine):
    """What the payload printed, to its end."""
    assert machine.wait_end() == "shutdown"
    text = machine.text()
    lines = text[text.index("PASS multiboot"):].splitlines()
    assert lines[-1].startswith("END "), "\n".join(lines[-5:])
    return lines


def failures(lines):
    return [line for line in lines if line.startswith("FAIL")]


@pytest.mark.parametrize("name, cpus", PAYLOADS)
def test_says_the_same_bare_and_under_keel(name, cpus, payload, keel_by_grub):
    elf = payload(name)
    bare = said(keel_by_grub(bare_words(name, f"cpus={cpus}"), elf, MULTIBOOT_MODULE,
                             cpus=cpus, time_limit=TIME_LIMIT))
    under = said(keel_by_grub(keel_words(name, f"cpus={cpus}"), elf,
                              cpus=cpus, time_limit=TIME_LIMIT))
    assert not failures(under), "\n".join(failures(under))

    patterns = allowed_differences(name)
    bare, under = [[line for line in lines if not any(p.match(line) for p in patterns)]
                   for lines in (bare, under)]
    difference = "\n".join(difflib.unified_diff(bare, under, "bare", "under Keel",
                                                lineterm="", n=0))
    assert not difference, difference
    assert not failures(bare), "\n".join(failures(bare))


def test_attack_finds_its_target(payload, keel_by_grub):
    """Else its checks of Keel's memory would all be empty."""
    lines = said(keel_by_grub(keel_words("attack", ""), payload("attack"), time_limit=TIME_LIMIT))
    assert any(re.match("# home at 0x[1-9a-f][0-9a-f]*00000, 0x[1-9a-f]", line) for line in lines)


@pytest.mark.parametrize("end, reason", [(1, "the guest's triple fault"),
                                         (2, "the guest's triple fault"),
                                         (3, "INIT to the boot CPU: reset")])
def test_what_ends_the_machine(end, reason, payload, keel_by_grub):
    machine = keel_by_grub(keel_words("attack", f"end={end}"), payload("attack"),
                           time_limit=TIME_LIMIT)
    machine.wait_for(f"^the end: {end}")
    machine.wait_for(reason, port="com2")
    machine.wait_reset()
    assert "panic" not in machine.text("com2")
