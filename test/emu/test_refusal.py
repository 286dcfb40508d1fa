"""What Keel says where it cannot run: one line with the reason; and Linux without
Keel where the options ask for it."""
import re

import pytest
import qemu
from conftest import tool


def refusal(machine):
    """What Keel's port shows of a Keel that has stopped before it started a guest."""
    machine.wait_for("stopped:|Linux starts", port="com2")
    log = machine.text("com2")
    assert len(re.findall("stopped:", log)) == 1
    assert "Linux starts" not in log
    assert "Linux" not in machine.text()
    return log


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


# Processors that have VMX, but not all of it, and not for Keel to use.

@pytest.mark.parametrize("model, words", [
    ("core2_penryn_t9600", "EPT"),
    ("corei5_lynnfield_750", "unrestricted guest"),
])
def test_missing_control_is_named(keel, model, words):
    machine = keel(model=model)
    assert words.lower() in refusal(machine).lower()


# "quiet" saves seconds: the serial port is slow.
@pytest.mark.parametrize("option, model, warnings", [
    ("fallback=linux", "core2_penryn_t9600", ["enable EPT", "Linux starts without Keel"]),
    ("keel=off", "corei7_skylake_x", ["Linux starts without Keel"]),
])
def test_linux_without_keel(keel, option, model, warnings):
    machine = keel("quiet", options=f"console=com2 {option}", model=model)
    machine.wait_for("^KEEL-INIT")
    lines = re.findall("warning: (.*)", machine.text("com2"))
    assert len(lines) == len(warnings)
    assert all(words in line for words, line in zip(warnings, lines))


# SeaBIOS leaves IA32_FEATURE_CONTROL at 0 in Bochs, whose own BIOS allows VMX and locks.

@pytest.fixture
def seabios():
    return tool("fetch", "seabios")


def test_vmx_left_unlocked_is_turned_on(keel, seabios):
    machine = keel("quiet", bios=seabios)
    machine.wait_for("^KEEL-INIT")
    assert "Linux starts on 1 CPU" in machine.text("com2")


def test_vmx_locked_off(keel_by_grub, kernel_with, seabios):
    machine = keel_by_grub("""wrmsr 0x3a 0x1
        multiboot2 /boot/keel.elf console=com2
        module2 /boot/altered""", kernel_with(), bios=seabios)
    assert "locked VMX off" in refusal(machine)


# Modules that Keel cannot start as Linux. It reads no more than the kernel's setup header
# before it refuses, so the rest of the file is left out: it only takes time to load.

PROTOCOL_VERSION = 0x206
INITRD_ADDR_MAX = 0x22c
XLOADFLAGS = 0x236
INIT_SIZE = 0x260
SETUP_SECTS = 0x1f1


@pytest.fixture
def kernel_with(kernel, tmp_path):
    """kernel_with(OFFSET, BYTES): Debian's kernel, cut, with other bytes in its header."""
    def make(offset=0, data=b"", size=65536):
        with open(kernel(), "rb") as file:
            head = bytearray(file.read(size))
        head[offset:offset + len(data)] = data
        path = tmp_path / "altered"
        path.write_bytes(head)
        return path
    return make


def start_altered(keel_by_grub, altered, *modules, command_line="", **machine):
    lines = ["multiboot2 /boot/keel.elf console=com2",
             f"module2 /boot/altered {command_line}",
             *(f"module2 /boot/{module.name}" for module in modules)]
    return keel_by_grub("\n".join(lines), altered, *modules, **machine)


def test_no_module(keel_by_grub):
    assert "no kernel" in refusal(keel_by_grub("multiboot2 /boot/keel.elf console=com2"))


def test_module_that_is_no_kernel(keel_by_grub, tmp_path):
    altered = tmp_path / "altered"
    altered.write_bytes(b"This is no kernel.\n" * 1000)
    assert "it is no bzImage" in refusal(start_altered(keel_by_grub, altered))


@pytest.mark.parametrize("offset, data, words", [
    (PROTOCOL_VERSION, b"\x09\x02", "boot protocol is older than 2.12"),
    (XLOADFLAGS, b"\0\0", "no 64-bit entry point"),
    (INIT_SIZE, b"\0\0\0\x70", "too little memory: the kernel needs 1792 MiB"),
], ids=["protocol", "no-64-bit-entry", "init-size"])
def test_kernel_that_cannot_be_started(keel_by_grub, kernel_with, offset, data, words):
    assert words in refusal(start_altered(keel_by_grub, kernel_with(offset, data)))


def test_kernel_that_ends_after_its_setup(keel_by_grub, kernel_with, kernel):
    with open(kernel(), "rb") as file:
        setup_sectors = file.read(SETUP_SECTS + 1)[SETUP_SECTS]
    altered = kernel_with(size=(setup_sectors + 1) * 512)
    assert "cut short" in refusal(start_altered(keel_by_grub, altered))


def test_command_line_longer_than_the_kernel_takes(keel_by_grub, kernel_with):
    machine = start_altered(keel_by_grub, kernel_with(), command_line="x" * 2100)
    assert "command line has 2100 characters; it takes 2047" in refusal(machine)


def test_initrd_that_does_not_fit(keel_by_grub, kernel_with, tmp_path):
    initrd = tmp_path / "initrd"
    initrd.write_bytes(bytes(3 << 20))
    # Linux 6.1 takes it anywhere; this one only in its first 2 MiB.
    altered = kernel_with(INITRD_ADDR_MAX, b"\xff\xff\x1f\0")
    machine = start_altered(keel_by_grub, altered, initrd)
    assert "initrd does not fit: no 3 MiB below 0x200000" in refusal(machine)


# Too little memory, and a map of it that contradicts itself.

def test_too_little_memory(keel):
    assert "too little memory: the kernel needs" in refusal(keel(mem=64))


@pytest.mark.parametrize("cut, words", [
    ("4M 3G", "too little memory: Keel needs 2 MiB"),
    ("1M 3G", "the memory map is broken: module 1 at "),
], ids=["none-for-keel", "none-under-the-kernel"])
def test_memory_cut_out_of_the_map(keel_by_grub, kernel_with, cut, words):
    machine = keel_by_grub(f"""multiboot2 /boot/keel.elf console=com2
        module2 /boot/altered
        cutmem {cut}""", kernel_with())
    assert words in refusal(machine)
