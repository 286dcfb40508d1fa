# S3: not offered by ACPI, and refused to one who writes to the sleep register by hand.
# In Bochs PM1a_CNT is port 0xb004 and SLP_TYP 1 is S3: SLP_EN and it are in the second byte.
echo "mem_sleep: $(cat /sys/power/mem_sleep)"
stty echo
outb 0xb005 0x24
echo STILL-HERE
