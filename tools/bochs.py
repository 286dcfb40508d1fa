#!/usr/bin/python3
"""Runs a CD image in Bochs 3.0 (which emulates VMX and EPT):

    tools/bochs.py ISO [--mem MIB] [--cpus N] [--model NAME] [--time-limit SECONDS] ...

Prints COM1 as it comes, then how the machine ended. As a module: bochs.start().
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import emulator  # noqa: E402

# Boots Linux in the fewest host seconds: with more, the guest's delay loops and
# serial port eat instructions; with less, its timer interrupts do.
IPS = 20_000_000
MODEL = "corei7_skylake_x"


def configuration(folder, home, ports, iso, *, mem, cpus, model, ips, exit_log,
                  sync, bios, extra):
    share = home / "usr/share/bochs"
    lines = [
        f"megs: {mem}",
        f"cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=1",
        # In quotes: a path may have spaces.
        f'romimage: file="{bios or share / "BIOS-bochs-latest"}"',
        f'vgaromimage: file="{share}/VGABIOS-lgpl-latest"',
        f'ata0-master: type=cdrom, path="{iso}", status=inserted',
        "boot: cdrom",
        # With no sync and a fixed time a run can be repeated to the tick.
        f"clock: sync={sync}, time0={946684800 if sync == 'none' else 'utc'}",
        "display_library: rfb, options=\"timeout=0\"",
        "log: bochs.log",
        "panic: action=fatal",
        "error: action=report",
        "info: action=report",
        "debug: action=ignore" + (", cpu0=report" if exit_log else ""),
    ]
    for port, path in ports.items():
        lines.append(f"{port}: enabled=1, mode=term, dev={path}")
    return "\n".join(lines + list(extra)) + "\n"


class Bochs(emulator.Machine):
    def log(self):
        path = self.folder / "bochs.log"
        return path.read_text(errors="replace") if path.exists() else super().log()

    def how_it_ended(self):
        """poweroff, shutdown (port 0x8900), or Bochs's own last message."""
        log = self.log()
        if "ACPI control: soft power off" in log:
            return "poweroff"
        if "hutdown port: shutdown requested" in log:
            return "shutdown"
        panics = re.findall(r">>PANIC<< (.*)", log)
        return f"panic: {panics[-1]}" if panics else f"exit status {self.process.returncode}"

    def resets(self):
        return self.log().count("Reset(HARDWARE)") - 1


def start(iso, *, mem=1024, cpus=1, model=MODEL, ips=IPS, time_limit=None, exit_log=False,
          sync="none", bios=None, extra=(), debugger=(), name="bochs"):
    """Starts Bochs on the image. bios: the file, if not Bochs's own; extra: more bochsrc
    lines; debugger: commands for it."""
    fetch = emulator.ROOT / "tools" / "fetch"
    home = Path(subprocess.run([fetch, "bochs"], check=True, text=True,
                               stdout=subprocess.PIPE).stdout.strip())
    folder = emulator.new_run_folder(name)
    libraries = home / "usr/lib/x86_64-linux-gnu"

    def command(ports):
        (folder / "bochsrc").write_text(configuration(
            folder, home, ports, Path(iso).resolve(), mem=mem, cpus=cpus, model=model, ips=ips,
            exit_log=exit_log, sync=sync, bios=bios, extra=extra))
        # Its own loader and libraries: it is built for a newer C library than the host may have.
        arguments = [home / "usr/lib64/ld-linux-x86-64.so.2", "--library-path", libraries,
                     home / "usr/bin/bochs-bin", "-q", "-f", folder / "bochsrc"]
        if debugger:
            (folder / "debugger").write_text("\n".join(debugger) + "\n")
            arguments += ["-dbg", "-rc", folder / "debugger"]
        return arguments

    return Bochs(folder, command, time_limit=time_limit, environment={
        "LTDL_LIBRARY_PATH": str(libraries / "bochs/plugins"),
        "BXSHARE": str(home / "usr/share/bochs")})


def main():
    parser = argparse.ArgumentParser(description="Runs a CD image in Bochs 3.0.")
    parser.add_argument("iso", type=Path)
    parser.add_argument("--mem", type=int, default=1024, metavar="MIB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--ips", type=int, default=IPS)
    parser.add_argument("--time-limit", type=int, default=300, metavar="SECONDS")
    parser.add_argument("--sync", default="none", help="how guest time follows real time")
    parser.add_argument("--bios", type=Path, metavar="FILE", help="such as `tools/fetch seabios`")
    parser.add_argument("--exit-log", action="store_true", help="log every VM exit to bochs.log")
    parser.add_argument("--extra", action="append", default=[], metavar="LINE",
                        help="one more bochsrc line")
    parser.add_argument("--debugger", action="append", default=[], metavar="COMMAND",
                        help="debugger command, in order; 'c' starts the machine")
    emulator.run_command("bochs", start, vars(parser.parse_args()))


if __name__ == "__main__":
    main()
