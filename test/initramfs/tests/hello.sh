# Says what Linux sees of the machine, for a comparison of bare and under Keel.
uname -a
grep MemTotal /proc/meminfo
echo IOMEM-BEGIN
cat /proc/iomem
echo IOMEM-END
cpuid 0x40000000
echo DMESG-BEGIN
dmesg -r
echo DMESG-END
