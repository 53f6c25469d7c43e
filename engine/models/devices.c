/* devices.c - published figures of accelerators; see devices.h. */
#include "engine/models/devices.h"

#include <string.h>

#define MIB ((uint64_t)1 << 20)
#define T   1e12
#define G   1e9
#define SMI "nvidia-smi, Memory-Usage"
/* Drivers up to 495 show what is left beside their own reserve, later ones the whole. */
#define OLD_SMI SMI " (driver 495 and older; later ones show more)"
#define ROCM    "rocm-smi --showmeminfo vram"
#define METAL   "Metal recommendedMaxWorkingSetSize as llama.cpp prints it on 64 and 128 GB: three quarters"
#define ADA     "NVIDIA Ada GPU architecture paper, appendix A"

/* name, memory; float32, bfloat16, float16; bandwidth; rates and bandwidth from, memory from */
const struct device devices_table[] = {
    /* ---- data centre, NVIDIA ---- */
    {"b300-288gb", 275040 * MIB, 75 * T, 2250 * T, 2250 * T, 7700 * G, "NVIDIA HGX B300 specifications, an eighth",
     SMI},
    {"gb200-192gb", 189471 * MIB, 80 * T, 2500 * T, 2500 * T, 8000 * G, "NVIDIA GB200 NVL72 specifications, one of 72",
     SMI},
    {"b200-192gb", 183359 * MIB, 75 * T, 2250 * T, 2250 * T, 7700 * G,
     "NVIDIA HGX B200 specifications, an eighth; 7680 bits at 3996 MHz", SMI},
    {"h200-141gb", 143771 * MIB, 67 * T, 989.4 * T, 989.4 * T, 4800 * G, "NVIDIA H200 datasheet, SXM", SMI},
    {"gh200-96gb", 97871 * MIB, 67 * T, 989.4 * T, 989.4 * T, 4000 * G, "NVIDIA GH200 datasheet, HBM3", SMI},
    {"h100-nvl-94gb", 95830 * MIB, 60 * T, 835.5 * T, 835.5 * T, 3900 * G, "NVIDIA H100 datasheet, NVL", SMI},
    {"h100-80gb", 81559 * MIB, 67 * T, 989.4 * T, 989.4 * T, 3350 * G, "NVIDIA H100 datasheet, SXM", SMI},
    {"h100-pcie-80gb", 81559 * MIB, 51 * T, 756 * T, 756 * T, 2000 * G, "NVIDIA H100 datasheet (2022), PCIe", SMI},
    {"a100-80gb", 81251 * MIB, 19.5 * T, 312 * T, 312 * T, 2039 * G, "NVIDIA A100 datasheet, 80GB SXM", OLD_SMI},
    {"a100-pcie-80gb", 80994 * MIB, 19.5 * T, 312 * T, 312 * T, 1935 * G, "NVIDIA A100 datasheet, 80GB PCIe", OLD_SMI},
    {"a100-40gb", 40536 * MIB, 19.5 * T, 312 * T, 312 * T, 1555 * G, "NVIDIA A100 datasheet, 40GB", OLD_SMI},
    {"l40s-48gb", 46068 * MIB, 91.6 * T, 362.05 * T, 362.05 * T, 864 * G, "NVIDIA L40S datasheet", SMI},
    {"a40-48gb", 46068 * MIB, 37.4 * T, 149.7 * T, 149.7 * T, 696 * G, "NVIDIA A40 datasheet", SMI ", ECC on"},
    {"a30-24gb", 24258 * MIB, 10.3 * T, 165 * T, 165 * T, 933 * G, "NVIDIA A30 datasheet", OLD_SMI},
    {"l4-24gb", 23034 * MIB, 30.3 * T, 121 * T, 121 * T, 300 * G, "NVIDIA L4 datasheet", SMI},
    {"a10-24gb", 22731 * MIB, 31.2 * T, 125 * T, 125 * T, 600 * G, "NVIDIA A10 datasheet", OLD_SMI},
    {"a10g-24gb", 22731 * MIB, 35 * T, 70 * T, 70 * T, 600 * G, "NVIDIA A10G datasheet for AWS (2022)", OLD_SMI},
    {"t4-16gb", 15079 * MIB, 8.1 * T, 8.1 * T, 65 * T, 320 * G, "NVIDIA T4 datasheet", OLD_SMI},
    {"v100-32gb", 32480 * MIB, 15.7 * T, 15.7 * T, 125 * T, 900 * G, "NVIDIA V100 datasheet, SXM2", OLD_SMI},
    {"v100-16gb", 16130 * MIB, 15.7 * T, 15.7 * T, 125 * T, 900 * G, "NVIDIA V100 datasheet, SXM2", OLD_SMI},
    {"p100-16gb", 16276 * MIB, 9.3 * T, 9.3 * T, 9.3 * T, 732 * G, "NVIDIA P100 datasheet, PCIe", OLD_SMI},
    /* ---- data centre, AMD ---- */
    {"mi355x-288gb", 309220868096, 157.3 * T, 2516.6 * T, 2516.6 * T, 8000 * G, "AMD Instinct MI355X data sheet", ROCM},
    {"mi300x-192gb", 205822885888, 163.4 * T, 1307.4 * T, 1307.4 * T, 5300 * G, "AMD Instinct MI300X data sheet",
     ROCM " of a virtual function; the whole device shows 206141652992"},
    {"mi250x-gcd-64gb", 68702699520, 47.85 * T, 191.5 * T, 191.5 * T, 1638.4 * G,
     "AMD Instinct MI250X data sheet (matrix), one of its two dies", ROCM},
    /* ---- workstation ---- */
    {"rtx-pro-6000-96gb", 97887 * MIB, 125 * T, 503.8 * T, 503.8 * T, 1792 * G,
     "NVIDIA RTX PRO Blackwell architecture paper, Workstation Edition", SMI},
    {"rtx-6000-ada-48gb", 49140 * MIB, 91.1 * T, 364.2 * T, 364.2 * T, 960 * G, "NVIDIA RTX 6000 Ada datasheet", SMI},
    {"rtx-a6000-48gb", 48685 * MIB, 38.7 * T, 154.8 * T, 154.8 * T, 768 * G, "NVIDIA RTX A6000 datasheet", OLD_SMI},
    {"rtx-a5000-24gb", 24256 * MIB, 27.8 * T, 111.1 * T, 111.1 * T, 768 * G, "NVIDIA RTX A5000 datasheet", OLD_SMI},
    /* ---- consumer: tensor rates are of float32 sums, half of those with float16 sums ---- */
    {"rtx-5090-32gb", 32607 * MIB, 104.8 * T, 209.5 * T, 209.5 * T, 1792 * G,
     "NVIDIA RTX Blackwell GPU architecture paper", SMI},
    {"rtx-5080-16gb", 16303 * MIB, 56.3 * T, 112.6 * T, 112.6 * T, 960 * G,
     "NVIDIA RTX Blackwell GPU architecture paper", SMI},
    {"rtx-4090-24gb", 24564 * MIB, 82.6 * T, 165.2 * T, 165.2 * T, 1008 * G, ADA, SMI},
    {"rtx-4080-16gb", 16376 * MIB, 48.7 * T, 97.5 * T, 97.5 * T, 716.8 * G, ADA, SMI},
    {"rtx-4060-ti-16gb", 16380 * MIB, 22.1 * T, 44.1 * T, 44.1 * T, 288 * G,
     "GeForce RTX 4060 Ti specifications: 4352 lanes at 2.535 GHz; tensor twice that, as in the Ada paper", SMI},
    {"rtx-3090-24gb", 24258 * MIB, 35.6 * T, 71 * T, 71 * T, 936 * G, "NVIDIA GA102 architecture paper", OLD_SMI},
    {"rtx-3080-10gb", 10018 * MIB, 29.8 * T, 59.5 * T, 59.5 * T, 760 * G, "NVIDIA GA102 architecture paper", OLD_SMI},
    {"rtx-3060-12gb", 12053 * MIB, 12.7 * T, 25.5 * T, 25.5 * T, 360 * G,
     "GeForce RTX 3060 specifications: 3584 lanes at 1.777 GHz; tensor twice that, as in the GA102 paper", OLD_SMI},
    {"rtx-2080-ti-11gb", 10989 * MIB, 13.4 * T, 13.4 * T, 53.8 * T, 616 * G,
     "NVIDIA Turing architecture paper, reference clocks", OLD_SMI},
    /* ---- Apple ---- */
    {"m2-ultra-192gb", 147456 * MIB, 27.2 * T, 27.2 * T, 27.2 * T, 800 * G, "Apple on M2 Ultra, June 2023", METAL},
    {"m1-max-64gb", 49152 * MIB, 10.4 * T, 10.4 * T, 10.4 * T, 400 * G, "Apple on M1 Max, October 2021", METAL},
};
const unsigned devices_table_length = sizeof devices_table / sizeof devices_table[0];

const struct device *devices_find(const char *name) {
    for (unsigned i = 0; i < devices_table_length; i++)
        if (strcmp(devices_table[i].name, name) == 0)
            return &devices_table[i];
    return NULL;
}

static double peak(const struct device *d, enum dtype dtype) {
    return dtype == DTYPE_BFLOAT16 ? d->bfloat16 : dtype == DTYPE_FLOAT16 ? d->float16 : d->float32;
}

struct cost_rates devices_rates(const struct device *d, enum dtype dtype) {
    return (struct cost_rates){peak(d, dtype), d->bandwidth, d->measured[dtype == DTYPE_BFLOAT16]};
}
