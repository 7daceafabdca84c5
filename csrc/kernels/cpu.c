/* What an x86 processor supports, by its instructions cpuid and xgetbv: compilers' functions for it
 * need run-time libraries that some C libraries lack. */
#include "kernels.h"

#ifdef TRPOK_X86

/* Intel's manual, volume 2, CPUID. */
enum { LEAF_FEATURES = 1, LEAF_MORE_FEATURES = 7 };
enum { ECX_FMA = 1u << 12, ECX_XGETBV = 1u << 27, ECX_AVX = 1u << 28 };           /* leaf 1 */
enum { EBX_AVX2 = 1u << 5, EBX_AVX512F = 1u << 16, EBX_AVX512DQ = 1u << 17 };     /* leaf 7 */

/* Registers that the operating system saves (volume 1, XCR0): SSE and AVX; and AVX-512's masks, and
 * the vectors' upper parts. */
enum { SAVES_AVX = 0x06, SAVES_AVX512 = 0xe6 };

typedef struct registers {
    uint32_t eax, ebx, ecx, edx;
} registers;

static registers cpuid(uint32_t leaf)
{
    registers r = {0, 0, 0, 0};
    __asm__ __volatile__("cpuid"
                         : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                         : "a"(leaf), "c"(0));
    return r;
}

static uint32_t saved_registers(void)
{
    uint32_t low, high;
    __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static int has(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

trpok_cpu trpok_find_cpu(void)
{
    trpok_cpu cpu = {0, 0};
    if (cpuid(0).eax < LEAF_MORE_FEATURES) return cpu;
    if (!has(cpuid(LEAF_FEATURES).ecx, ECX_FMA | ECX_XGETBV | ECX_AVX)) return cpu;
    const uint32_t saved = saved_registers(), more = cpuid(LEAF_MORE_FEATURES).ebx;
    cpu.avx2 = has(saved, SAVES_AVX) && has(more, EBX_AVX2);
    cpu.avx512 = cpu.avx2 && has(saved, SAVES_AVX512) && has(more, EBX_AVX512F | EBX_AVX512DQ);
    return cpu;
}

#else

trpok_cpu trpok_find_cpu(void)
{
    const trpok_cpu none = {0, 0};
    return none;
}

#endif
