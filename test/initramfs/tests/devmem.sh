# Root tries to read Keel's memory: the region named by keel.region=START-END on the
# command line (hex, END inclusive), or else the largest reserved one of whole 2 MiB
# pages between 1 MiB and 4 GiB.
region=$(word keel.region)
start= size=0
while read -r range name; do
	case "$region$name" in
	": Reserved") ;;
	*) [ -n "$region" ] && range=$region || continue ;;
	esac
	low=$((0x${range%-*})) length=$((0x${range#*-} + 1 - low))
	[ "$low" -ge $((0x100000)) ] && [ "$low" -lt $((0x100000000)) ] || continue
	[ $((low % 0x200000)) = 0 ] && [ $((length % 0x200000)) = 0 ] || continue
	[ "$length" -gt "$size" ] && start=$low size=$length
done </proc/iomem
if [ -z "$start" ]; then
	echo "devmem: no reserved region of whole 2 MiB pages in /proc/iomem, nothing read"
else
	printf 'devmem: region 0x%x-0x%x\n' "$start" "$((start + size - 1))"
	memread read "$start" "$size" 3
	memread mmap "$start" "$size" 3
fi
echo DONE
