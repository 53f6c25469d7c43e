/* devices.c - published figures of accelerators; see devices.h. */
#include "engine/models/devices.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define T   1e12
#define G   1e9
#define SMI "nvidia-smi memory.total"

const struct device devices_table[] = {
    {"b200-192gb", 183359 * MIB, 75 * T, 2250 * T, 2250 * T, 8000 * G, "NVIDIA HGX B200 datasheet, per GPU", SMI},
    {"h200-141gb", 143771 * MIB, 67 * T, 989.4 * T, 989.4 * T, 4800 * G, "NVIDIA H200 datasheet", SMI},
    {"gh200-96gb", 97871 * MIB, 67 * T, 989.4 * T, 989.4 * T, 4000 * G, "NVIDIA GH200 datasheet", SMI},
    {"h100-nvl-94gb", 95830 * MIB, 60 * T, 835 * T, 835 * T, 3900 * G, "NVIDIA H100 NVL datasheet", SMI},
    {"h100-80gb", 81559 * MIB, 67 * T, 989.4 * T, 989.4 * T, 3350 * G, "NVIDIA H100 SXM5 datasheet", SMI},
    {"h100-pcie-80gb", 81559 * MIB, 51 * T, 756 * T, 756 * T, 2000 * G, "NVIDIA H100 PCIe datasheet", SMI},
    {"a100-80gb", 81920 * MIB, 19.5 * T, 312 * T, 312 * T, 2039 * G, "NVIDIA A100 SXM4 datasheet", SMI},
    {"a100-40gb", 40960 * MIB, 19.5 * T, 312 * T, 312 * T, 1555 * G, "NVIDIA A100 SXM4 datasheet", SMI},
    {"mi300x-192gb", 196592 * MIB, 163.4 * T, 1307.4 * T, 1307.4 * T, 5300 * G, "AMD Instinct MI300X datasheet",
     "rocm-smi --showmeminfo vram"},
    {"l40s-48gb", 46068 * MIB, 91.6 * T, 362.05 * T, 362.05 * T, 864 * G, "NVIDIA L40S datasheet", SMI},
    {"rtx-6000-ada-48gb", 49140 * MIB, 91.1 * T, 364.2 * T, 364.2 * T, 960 * G, "NVIDIA RTX 6000 Ada datasheet", SMI},
    {"rtx-a6000-48gb", 49140 * MIB, 38.7 * T, 154.8 * T, 154.8 * T, 768 * G, "NVIDIA RTX A6000 datasheet", SMI},
    {"a40-48gb", 46068 * MIB, 37.4 * T, 149.7 * T, 149.7 * T, 696 * G, "NVIDIA A40 datasheet", SMI ", ECC on"},
    {"l4-24gb", 23034 * MIB, 30.3 * T, 121 * T, 121 * T, 300 * G, "NVIDIA L4 datasheet", SMI},
    {"a10-24gb", 23028 * MIB, 31.2 * T, 125 * T, 125 * T, 600 * G, "NVIDIA A10 datasheet", SMI},
    {"rtx-5090-32gb", 32607 * MIB, 104.8 * T, 209.5 * T, 209.5 * T, 1792 * G, "NVIDIA Blackwell architecture paper",
     SMI},
    {"rtx-4090-24gb", 24564 * MIB, 82.6 * T, 165.2 * T, 165.2 * T, 1008 * G, "NVIDIA Ada architecture paper", SMI},
    {"rtx-3090-24gb", 24576 * MIB, 35.6 * T, 71 * T, 71 * T, 936 * G, "NVIDIA GA102 architecture paper", SMI},
    {"t4-16gb", 15360 * MIB, 8.1 * T, 8.1 * T, 65 * T, 320 * G, "NVIDIA T4 datasheet", SMI},
    {"v100-32gb", 32768 * MIB, 15.7 * T, 15.7 * T, 125 * T, 900 * G, "NVIDIA V100 SXM2 datasheet", SMI},
    {"v100-16gb", 16384 * MIB, 15.7 * T, 15.7 * T, 125 * T, 900 * G, "NVIDIA V100 SXM2 datasheet", SMI},
    {"m2-ultra-192gb", 147456 * MIB, 27.2 * T, 27.2 * T, 27.2 * T, 800 * G, "Apple M2 Ultra specification",
     "Metal recommendedMaxWorkingSetSize: three quarters of 192 GiB"},
};
const unsigned devices_table_length = sizeof devices_table / sizeof devices_table[0];

const struct device *devices_find(const char *name) {
    for (unsigned i = 0; i < devices_table_length; i++)
        if (strcmp(devices_table[i].name, name) == 0)
            return &devices_table[i];
    return NULL;
}

double devices_flops(const struct device *d, enum dtype dtype) {
    return dtype == DTYPE_BFLOAT16 ? d->bfloat16 : dtype == DTYPE_FLOAT16 ? d->float16 : d->float32;
}
