"""What Keel says where it cannot run: one line with the reason; and Linux without
Keel where `fallback=linux` asks for it."""
import re

import pytest
import qemu


def refusal(machine):
    """What Keel's port shows of a Keel that has stopped before it started a guest."""
    machine.wait_for(r"stopped:", port="com2")
    assert "Linux version" not in machine.text()
    return machine.text("com2")


# QEMU's TCG has no VMX.

def test_without_vmx(keel):
    machine = keel(module=qemu, accel="tcg")
    assert len(re.findall(r"^.*has no VMX.*$", refusal(machine), re.M)) == 1


def test_without_vmx_fallback_starts_linux(keel):
    machine = keel("keel.test=hello", module=qemu, accel="tcg",
                   options="console=com2 loglevel=debug fallback=linux")
    machine.wait_for("^KEEL-END")
    assert machine.wait_end() == "poweroff"
    assert re.search("has no VMX", machine.text("com2"))


def test_unknown_option_is_named(keel):
    machine = keel(module=qemu, accel="tcg", options="console=com2 colour=blue")
    assert "colour=blue" in refusal(machine)


# Processors that have VMX, but not all of it.

@pytest.mark.parametrize("model, words", [
    ("core2_penryn_t9600", "EPT"),
    ("corei5_lynnfield_750", "unrestricted guest"),
])
def test_missing_control_is_named(keel, model, words):
    machine = keel(model=model)
    assert words.lower() in refusal(machine).lower()


# A configuration that gives Keel no kernel it could start.

@pytest.mark.parametrize("modules, words", [
    ("", "module"),
    ("module2 /boot/junk console=ttyS0", "cannot be started as Linux"),
], ids=["none", "junk"])
def test_bad_modules(keel_by_grub, tmp_path, modules, words):
    junk = tmp_path / "junk"
    junk.write_bytes(b"This is no kernel.\n" * 1000)
    machine = keel_by_grub(f"multiboot2 /boot/keel.elf console=com2\n{modules}", junk)
    assert words in refusal(machine)


def test_too_little_memory(keel):
    assert "too little memory" in refusal(keel(mem=64))
