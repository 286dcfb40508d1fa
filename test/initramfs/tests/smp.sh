# Every CPU is there and runs: a busy loop on each; then CPU 1 goes off and on again.
echo "ONLINE $(cat /sys/devices/system/cpu/online)"
for cpu in $(seq 0 $(($(nproc) - 1))); do
	taskset -p -c "$cpu" $$ >/dev/null
	i=0
	while [ $i -lt 300 ]; do i=$((i + 1)); done
	echo "BUSY $cpu"
done
taskset -p -c 0 $$ >/dev/null

rounds=$(word keel.rounds)
switch=/sys/devices/system/cpu/cpu1/online
round=0
while [ -e $switch ] && [ $round -lt "${rounds:-0}" ]; do
	echo 0 >$switch || break
	echo 1 >$switch || break
	round=$((round + 1))
done
echo "ROUNDS $round"
echo "ONLINE $(cat /sys/devices/system/cpu/online)"
echo DMESG-BEGIN
dmesg -r
echo DMESG-END
