/* The top: the one function that every boot path ends in. */
#ifndef KEEL_HV_HV_H
#define KEEL_HV_HV_H

#include "hv/boot_info.h"

/*
 * Takes the machine. The first 4 GiB are mapped as they are and the image at KEEL_VA;
 * image_start is where the loader put the image. parse_error, if not NULL, says what was
 * wrong with the boot information.
 */
NORETURN void hv_main(struct boot_info *info, uint64_t image_start, const char *parse_error);

#endif
