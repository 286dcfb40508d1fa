# The machine must come up again: the runner sees the reset, or KEEL-INIT twice.
echo REBOOTING
reboot -f
