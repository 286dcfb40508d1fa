"""What the guest's test program `hello` printed, taken apart."""
import re

WARNING = 4  # the kernel's log level; lower numbers are worse
COMPLAINT = re.compile(r"WARNING|BUG|Oops|unchecked MSR access|[Hh]ardware [Ee]rror|Call Trace"
                       r"|general protection|#GP|machine check")


class Hello:
    def __init__(self, console):
        self.console = console

    def _find(self, pattern):
        found = re.search(pattern, self.console, re.M | re.S)
        assert found, f"the guest did not print {pattern!r}"
        return found

    def _between(self, name):
        return self._find(rf"^{name}-BEGIN\n(.*?)^{name}-END$")[1].splitlines()

    def uname(self):
        return self._find(r"^(Linux [^\n]*)$")[1]

    def mem_total_kib(self):
        return int(self._find(r"^MemTotal: *(\d+) kB$")[1])

    def init_ticks(self):
        return int(self._find(r"^init tsc (\d+)$")[1])

    def signature(self):
        return self._find(r"^cpuid 40000000\.0: [^\n]* '([^\n]{12})'$")[1]

    def iomem(self):
        """(start, end inclusive, name) of each top-level line of /proc/iomem."""
        lines = [re.match(r"([0-9a-f]+)-([0-9a-f]+) : (.*)", line)
                 for line in self._between("IOMEM")]
        return [(int(m[1], 16), int(m[2], 16), m[3]) for m in lines if m]

    def complaints(self):
        """The kernel's warnings and worse, with numbers taken out so that boots compare."""
        found = set()
        for line in self._between("DMESG"):
            level, text = re.match(r"<(\d+)>\[ *[\d.]+\] (.*)", line).groups()
            if int(level) & 7 <= WARNING or COMPLAINT.search(text):
                found.add(re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8,16}\b|\d+", "N", text))
        return found

    def bad(self):
        """What no boot may say, bare or not."""
        return [line for line in self._between("DMESG")
                if re.search(r"WARNING: CPU|BUG:|Oops|unchecked MSR access|Hardware Error"
                             r"|Call Trace|unsynchronized|TSC warp|not responding", line)]
