/* See load.h. */
#include "guest/load.h"

#include "lib/bits.h"
#include "lib/string.h"
#include "mm/phys.h"

enum status guest_load(const struct guest_files *files, const struct guest_machine *machine,
                       struct guest_entry *entry, char why[LOAD_ERROR_SIZE])
{
    uint8_t head[4] = {0};
    phys_read(head, HPA(files->kernel.start), min_u64(files->kernel.size, sizeof(head)));
    if (multiboot1_is_elf(head))
        return multiboot1_load(files, machine, entry, why);
    return linux_load(files, machine, entry, why);
}

const struct memmap *guest_memory_map(const struct guest_machine *machine)
{
    static struct memmap map; /* too big for a stack; only ever used while one CPU runs */
    memcpy(&map, machine->map, sizeof(map));
    if (machine->reserve && memmap_add(&map, machine->reserved_start, machine->reserved_size,
                                       MEMMAP_RESERVED) != STATUS_OK)
        return NULL;
    return &map;
}
