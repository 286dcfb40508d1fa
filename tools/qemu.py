#!/usr/bin/python3
"""Runs a CD image in QEMU: with KVM and nested VMX where the host has them, else
with TCG, which has no VMX (good for boot paths and refusals):

    tools/qemu.py ISO [--mem MIB] [--cpus N] [--time-limit SECONDS] [--accel kvm|tcg]

Prints COM1 as it comes, then how the machine ended. As a module: qemu.start().
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import emulator  # noqa: E402


def has_nested_vmx():
    return subprocess.run([emulator.ROOT / "tools" / "nested-vmx"], check=False).returncode == 0


class Qemu(emulator.Machine):
    def _events(self, name):
        """The reasons of QMP events of this name, which QEMU prints on its output."""
        return re.findall(rf'"event": "{name}", "data": .*"reason": "([^"]*)"', self.log())

    def how_it_ended(self):
        """poweroff, reset, or QEMU's own reason or exit status."""
        names = {"guest-shutdown": "poweroff", "guest-reset": "reset"}
        reasons = self._events("SHUTDOWN")
        return (names.get(reasons[-1], reasons[-1]) if reasons
                else f"exit status {self.process.returncode}")

    def resets(self):
        return len(self._events("RESET")) + self._events("SHUTDOWN").count("guest-reset")


def start(iso, *, mem=1024, cpus=1, time_limit=None, accel=None, model=None, reboot=True,
          extra=(), name="qemu"):
    """Starts QEMU on the image. reboot=False: a reset ends it. extra: more arguments."""
    accel = accel or ("kvm" if has_nested_vmx() else "tcg")
    model = model or {"kvm": "host", "tcg": "max"}[accel]

    def command(ports):
        arguments = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-vga", "std",
                     "-accel", accel, "-cpu", model, "-m", str(mem), "-smp", str(cpus),
                     "-cdrom", Path(iso).resolve(), "-boot", "d", "-qmp", "stdio"]
        if not reboot:
            arguments.append("-no-reboot")
        for port, path in ports.items():
            arguments += ["-chardev", f"serial,id={port},path={path}", "-serial",
                          f"chardev:{port}"]
        return arguments + list(extra)

    return Qemu(emulator.new_run_folder(name), command, time_limit=time_limit,
                orders='{"execute": "qmp_capabilities"}\n')


def main():
    parser = argparse.ArgumentParser(description="Runs a CD image in QEMU.")
    parser.add_argument("iso", type=Path)
    parser.add_argument("--mem", type=int, default=1024, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--model", help="QEMU's -cpu (default: host with KVM, else max)")
    parser.add_argument("--accel", choices=["kvm", "tcg"])
    parser.add_argument("--time-limit", type=int, default=300, metavar="SECONDS")
    parser.add_argument("--extra", action="append", default=[], metavar="ARGUMENT",
                        help="one more argument for QEMU")
    emulator.run_command("qemu", start, vars(parser.parse_args()))


if __name__ == "__main__":
    main()
