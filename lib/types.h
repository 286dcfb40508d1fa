/* Freestanding basic types, and the three kinds of address that must not mix. */
#ifndef KEEL_LIB_TYPES_H
#define KEEL_LIB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Host-physical, guest-physical and guest-virtual (linear) addresses, in bytes. */
typedef struct {
    uint64_t value;
} hpa_t;

typedef struct {
    uint64_t value;
} gpa_t;

typedef struct {
    uint64_t value;
} gva_t;

#define HPA(x) ((hpa_t){(x)})
#define GPA(x) ((gpa_t){(x)})
#define GVA(x) ((gva_t){(x)})

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

#define PAGE_SHIFT 12
#define PAGE_SIZE  (UINT64_C(1) << PAGE_SHIFT)
#define SIZE_2M    (2 * MIB)

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#define UNUSED                        __attribute__((unused))
#define NORETURN                      __attribute__((noreturn))
#define MUST_CHECK                    __attribute__((warn_unused_result))
#define PRINTF(format_arg, first_arg) __attribute__((format(printf, format_arg, first_arg)))

#endif
