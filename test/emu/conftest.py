"""Fixtures of the emulator tests: Linux bare and under Keel, in Bochs and QEMU.

    /usr/bin/python3 -m pytest -n 2 test/emu

Each machine has a time limit, and a test that fails shows the ends of its logs.
"""
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import bochs  # noqa: E402
import emulator  # noqa: E402
from hello import Hello  # noqa: E402

# A boot takes 15 s on an idle machine; this is for a slow one that runs two.
TIME_LIMIT = 240
KEEL_OPTIONS = "console=com2 loglevel=debug"


def tool(*arguments):
    result = subprocess.run([str(ROOT / "tools" / arguments[0]), *map(str, arguments[1:])],
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert result.returncode == 0, f"tools/{arguments[0]}: {result.stderr}"
    return result.stdout.strip()


def keel_elf():
    elf = ROOT / "build" / "keel.elf"
    if not elf.exists():
        pytest.fail(f"there is no {elf}: run make first")
    return elf


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory, worker_id):
    """One folder for the whole session: each worker of a parallel run has a base of its own."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def once(session_folder):
    """once(name, make): the text that make() gives, made by the first worker that asks."""
    def get(name, make):
        with open(session_folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kept = session_folder / name
            if not kept.exists():
                text = make()
                kept.write_text(text)
            return kept.read_text()
    return get


@pytest.fixture(scope="session")
def initrd(once):
    return once("initrd", lambda: tool("initramfs"))


@pytest.fixture(scope="session")
def kernel(once):
    """kernel(NAME): the path of Debian's kernel of that name (see tools/fetch)."""
    return lambda name="bookworm-cloud": once(f"kernel-{name}", lambda: tool("fetch", name))


@pytest.fixture
def image(tmp_path):
    """image(KIND, ...): a CD image made by tools/image, deleted with the test."""
    made = []

    def make(*arguments):
        path = tmp_path / f"{len(made)}.iso"
        tool("image", path, *arguments)
        made.append(path)
        return path
    yield make
    for path in made:
        path.unlink()


@pytest.fixture
def machines(request):
    """Starts machines; what they wrote goes into the report of a failed test."""
    started = []
    request.node.machines = started

    def start(module, iso, **options):
        options.setdefault("time_limit", TIME_LIMIT)
        machine = module.start(iso, name=request.node.name.split("[")[0], **options)
        started.append(machine)
        return machine
    yield start
    for machine in started:
        machine.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for machine in getattr(item, "machines", []):
            # A Failure says it in its message already.
            if not (call.excinfo and call.excinfo.errisinstance(emulator.Failure)):
                report.sections.append((machine.describe("failed a check"), machine.tails()))


@pytest.fixture
def keel(machines, image, kernel, initrd):
    """keel(WORDS, ...): starts Debian's Linux under Keel; in Bochs if nothing else is said."""
    def start(words="", *, kernel_name="bookworm-cloud", options=KEEL_OPTIONS, module=bochs,
              **machine):
        iso = image("keel", options, f"console=ttyS0,115200 {words}".strip(),
                    kernel(kernel_name), initrd, keel_elf())
        return machines(module, iso, **machine)
    return start


@pytest.fixture
def bare(machines, image, kernel, initrd):
    """bare(WORDS, ...): the same without Keel."""
    def start(words="", *, kernel_name="bookworm-cloud", module=bochs, **machine):
        iso = image("bare", f"console=ttyS0,115200 {words}".strip(), kernel(kernel_name), initrd)
        return machines(module, iso, **machine)
    return start


@pytest.fixture
def bare_hello(once, bare):
    """bare_hello(KERNEL): what the test program `hello` says bare; run once in a session."""
    def get(kernel_name="bookworm-cloud"):
        def run():
            machine = bare("keel.test=hello", kernel_name=kernel_name)
            assert machine.wait_end() == "poweroff"
            return machine.text()
        return Hello(once(f"bare-{kernel_name}", run))
    return get


@pytest.fixture
def keel_by_grub(machines, image, tmp_path):
    """keel_by_grub(GRUB_CFG, FILE...): starts what the configuration says, for odd ones."""
    def start(configuration, *files, module=bochs, **machine):
        config = tmp_path / "grub.cfg"
        config.write_text(configuration)
        return machines(module, image("cfg", config, keel_elf(), *files), **machine)
    return start
