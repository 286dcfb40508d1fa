# The figures that tools/bench takes from inside the guest.
grep MemTotal /proc/meminfo
bench
