"""A machine in an emulator: what bochs.py and qemu.py have in common.

Each machine runs in a folder of its own under build/runs, with its serial ports
on pseudo-terminals: nothing that the guest wrote last is lost in a buffer when
the emulator exits, and the text can be waited for while it comes.
"""
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tty
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "build" / "runs"
PORTS = ("com1", "com2")


class Failure(Exception):
    """What went wrong with a machine, with the ends of its logs."""


def new_run_folder(name):
    RUNS.mkdir(parents=True, exist_ok=True)
    # Run folders are for looking into after a failure; those of yesterday only fill the disk.
    for folder in RUNS.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > 24 * 3600:
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=RUNS))


class Serial:
    """One serial port: the emulator writes to the terminal's slave side, we read its master."""

    def __init__(self, log):
        self.master, self.slave = pty.openpty()
        # Else the line discipline would echo what the guest writes back to it.
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.log = open(log, "wb", buffering=0)
        self.data = bytearray()
        self.listener = None

    def pump(self):
        """Takes what has arrived; says whether there was anything."""
        try:
            data = os.read(self.master, 65536)
        except (BlockingIOError, OSError):
            return False
        self.log.write(data)
        self.data += data
        if self.listener:
            self.listener(data)
        return bool(data)

    def close(self):
        os.close(self.master)
        os.close(self.slave)
        self.log.close()


class Machine:
    """A running emulator. Use it in a `with`, so that it never outlives its user."""

    def __init__(self, folder, make_command, *, time_limit=None, environment=None, orders=""):
        """make_command: the ports' terminals -> the command. orders: what its stdin gets first."""
        self.folder = folder
        self.time_limit = time_limit
        self.started = time.monotonic()
        self.timed_out = False
        self.changed = threading.Condition()
        self.serial = {port: Serial(folder / f"{port}.log") for port in PORTS}
        self.output = open(folder / "output.log", "wb")
        command = make_command({port: s.path for port, s in self.serial.items()})
        (folder / "command").write_text("\n".join(map(str, command)) + "\n")
        self.process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=self.output,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, **(environment or {})})
        self.process.stdin.write(orders.encode())
        self.process.stdin.flush()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _read(self):
        ports = {s.master: s for s in self.serial.values()}
        for master in ports:
            os.set_blocking(master, False)
        while True:
            ended = self.process.poll() is not None
            ready, _, _ = select.select(list(ports), [], [], 0 if ended else 0.2)
            with self.changed:
                got = [ports[master].pump() for master in ready]
                if ended or any(got):
                    self.changed.notify_all()
            if ended and not any(got):
                return
            if self.time_limit and self.seconds() > self.time_limit and not ended:
                self.timed_out = True
                self.kill()

    def kill(self):
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def text(self, port="com1"):
        return bytes(self.serial[port].data).decode("utf-8", "replace").replace("\r", "")

    def send(self, data, port="com1"):
        os.write(self.serial[port].master, data if isinstance(data, bytes) else data.encode())

    def seconds(self):
        return time.monotonic() - self.started

    def resets(self):
        """How often the machine was reset since its power-on."""
        raise NotImplementedError

    def wait_reset(self):
        """Waits until the machine has been reset."""
        while not self.resets():
            if not self.reader.is_alive():
                self.fail(f"ended ({self.how_it_ended()}) without a reset")
            time.sleep(0.2)

    def wait_for(self, pattern, port="com1", count=1):
        """Waits until the pattern was seen so often in whole lines; returns the last match."""
        with self.changed:
            while True:
                lines = self.text(port).rpartition("\n")[0]
                found = list(re.finditer(pattern, lines, re.M))
                if len(found) >= count:
                    return found[count - 1]
                if not self.reader.is_alive():
                    how = ("reached its time limit" if self.timed_out
                           else f"ended ({self.how_it_ended()})")
                    self.fail(f"{how} without '{pattern}' on {port}")
                # The reader may end without a last word.
                self.changed.wait(1)

    def wait_end(self):
        """Waits until the machine has turned itself off; returns how it ended."""
        self.reader.join()
        if self.timed_out:
            self.fail(f"still ran after its time limit of {self.time_limit} s")
        return self.how_it_ended()

    def how_it_ended(self):
        raise NotImplementedError

    def fail(self, what):
        raise Failure(f"{self.describe(what)}\n{self.tails()}")

    def describe(self, what):
        return f"{type(self).__name__} in {self.folder} {what} ({self.seconds():.0f} s)"

    def log(self):
        """The emulator's own words."""
        return (self.folder / "output.log").read_text(errors="replace")

    def tails(self, lines=40):
        parts = [(port, self.text(port), lines) for port in PORTS]
        parts.append(("the emulator's log", self.log(), min(lines, 10)))
        return "\n".join(f"--- last lines of {name}:\n" + "\n".join(text.splitlines()[-count:])
                         for name, text, count in parts)

    def stop(self):
        self.kill()
        self.reader.join()
        if not self.output.closed:
            self.output.close()
            self.process.stdin.close()
            for serial in self.serial.values():
                serial.close()


def run_command(name, start, options):
    """The command line of bochs.py and qemu.py: COM1 as it comes, then the end."""
    try:
        with start(**options) as machine:
            print(f"{name}: run folder {machine.folder}", flush=True)
            machine.serial["com1"].listener = lambda data: os.write(1, data)
            ended = machine.wait_end()
            print(f"\n{name}: {machine.describe('ended: ' + ended)}")
    except Failure as failure:
        sys.exit(f"\n{name}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
