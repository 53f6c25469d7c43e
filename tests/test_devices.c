/* test_devices.c - the table of devices agrees with itself: names, memory against the size in the name, the order of
 * rates, and what is proportional to what on every accelerator there is. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/models/devices.h"

#define GIB ((double)((uint64_t)1 << 30))

static bool name_is_plain(const char *name) {
    for (const char *c = name; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '-')
            return false;
    return *name != '\0';
}

/* "h100-pcie-80gb" says 80; 0 where there is none. */
static double size_in_name(const char *name) {
    const char *last = strrchr(name, '-');
    char *end;
    double size = last ? strtod(last + 1, &end) : 0;
    return last && strcmp(end, "gb") == 0 ? size : 0;
}

Test(devices, have_names_of_their_own_and_sources) {
    cr_assert_geq(devices_table_length, 30);
    for (unsigned i = 0; i < devices_table_length; i++) {
        const struct device *d = &devices_table[i];
        cr_expect(name_is_plain(d->name), "%s", d->name);
        cr_expect_eq(devices_find(d->name), d, "%s is there twice", d->name);
        cr_expect(d->source && strlen(d->source) > 12, "%s has no source", d->name);
        cr_expect(strstr(d->source, "NVIDIA") || strstr(d->source, "GeForce") || strstr(d->source, "AMD") ||
                      strstr(d->source, "Apple"),
                  "%s is by nobody", d->name);
        cr_expect(d->memory_source && strstr(d->memory_source, strstr(d->source, "AMD")     ? "rocm-smi"
                                                               : strstr(d->source, "Apple") ? "Metal"
                                                                                            : "nvidia-smi"),
                  "%s: memory is from '%s'", d->name, d->memory_source);
    }
    cr_expect_null(devices_find("h100"));
}

/* Drivers show less than the size on the box, in GiB, and never by a tenth; Metal gives a process three quarters. */
Test(devices, have_nearly_the_memory_of_their_name) {
    for (unsigned i = 0; i < devices_table_length; i++) {
        const struct device *d = &devices_table[i];
        double size = size_in_name(d->name), memory = (double)d->memory_bytes / GIB;
        cr_assert_gt(size, 0, "%s names no size", d->name);
        if (strstr(d->memory_source, "Metal"))
            cr_expect_eq(memory, size * 3 / 4, "%s", d->name);
        else
            cr_expect(memory <= size && memory > size * 0.9, "%s: %.1f GiB", d->name, memory);
    }
}

/* A factor of a thousand, or figures with sparsity or integer operations, would leave these bounds. */
Test(devices, have_rates_that_go_together) {
    for (unsigned i = 0; i < devices_table_length; i++) {
        const struct device *d = &devices_table[i];
        double tensor = d->float16 / d->float32, per_byte = d->float32 / d->bandwidth;
        cr_expect_geq(d->bfloat16, d->float32, "%s", d->name);
        cr_expect_geq(d->float16, d->bfloat16, "%s", d->name);
        cr_expect(d->bfloat16 == d->float32 || d->bfloat16 == d->float16, "%s", d->name);
        cr_expect(tensor == 1 || (tensor > 1.9 && tensor < 32), "%s: %.1f times float32", d->name, tensor);
        cr_expect(per_byte > 8 && per_byte < 110, "%s: %.1f FLOP a byte", d->name, per_byte);
        cr_expect(d->bandwidth > 1e11 && d->bandwidth <= 8e12, "%s", d->name);
        cr_expect_eq(devices_rates(d, DTYPE_FLOAT32).flops, d->float32);
        cr_expect_eq(devices_rates(d, DTYPE_BFLOAT16).flops, d->bfloat16);
        cr_expect_eq(devices_rates(d, DTYPE_FLOAT16).flops, d->float16);
    }
}
