/* Shared by the fuzzers: numbers from the input, and memory whose bounds the sanitizer checks.
 *
 * Each harness is one function, LLVMFuzzerTestOneInput, over a public header's calls. For any input
 * nothing is read or written out of bounds, no behaviour is undefined, and the header's promises
 * hold. `run` builds them with clang's sanitizers; replay.c needs no clang. */
#ifndef TRPO_TESTS_FUZZ_INPUT_H
#define TRPO_TESTS_FUZZ_INPUT_H

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C"
#endif
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The remaining bytes; 0 at the end. */
typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static inline int next_byte(input *in)
{
    if (in->left == 0) return 0;
    in->left--;
    return *in->at++;
}

static inline uint32_t next_word(input *in)
{
    uint32_t word = 0;
    for (int i = 0; i < 4; i++) word = word << 8 | (uint32_t)next_byte(in);
    return word;
}

static inline uint64_t next_long(input *in)
{
    const uint64_t high = next_word(in);
    return high << 32 | next_word(in);
}

/* A number from 0 to count - 1. */
static inline int next_of(input *in, int count) { return next_byte(in) % count; }

/* Mostly small numbers, and critical ones for sizes. */
static inline int next_int(input *in)
{
    static const int odd[] = {-1, 100, 127, 128, 255, 256, 1000, 4095, 10000, 10001, 65535, 65536,
                              (1 << 24) - 1, 1 << 24, (1 << 24) + 1, INT_MAX - 256, INT_MAX,
                              INT_MIN};
    const int kind = next_byte(in), n_odd = (int)(sizeof odd / sizeof *odd);
    if (kind < 160) return kind % 10;
    return kind < 240 ? odd[kind % n_odd] : (int)(next_word(in) & INT_MAX);
}

/* Mostly ordinary numbers, and critical ones for arithmetic. */
static inline double next_double(input *in)
{
    static const double odd[] = {0.0, -0.0, 1.0, -1.0, 0.5, 5e-324, 1e-300, 1e-45, 1e8, 1e20, 1e38,
                                 3.5e38, -3.5e38, 1e154, 1e300, 1.7976931348623157e308};
    const int kind = next_byte(in);
    if (kind < 16) return odd[kind];
    if (kind == 16) return (double)NAN;
    if (kind < 19) return kind == 17 ? (double)INFINITY : -(double)INFINITY;
    if (kind >= 32) return (kind - 144) / 32.0;
    const uint64_t bits = next_long(in);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Aborts the process; the fuzzer keeps the input. */
static inline void must(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "not so: %s\n", what);
    abort();
}

#define MUST(condition) must((condition) ? 1 : 0, #condition)

/* malloc of exactly this size, so that the sanitizer detects accesses beyond it. */
static inline void *room(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) exit(2);
    return memory;
}

#define ROOM(type, count) ((type *)room((size_t)(count) * sizeof(type)))

/* Corrects the checksum of saved bytes: FNV-1a, 64 bits, of everything before it. */
static inline void put_checksum(unsigned char *bytes, size_t count)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i + sizeof hash < count; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
    memcpy(bytes + count - sizeof hash, &hash, sizeof hash);
}

/* Corrects the checksum (CRC-32) of each section of a saved agent, as far as sizes can be followed.
 */
static inline void put_checksums(unsigned char *bytes, size_t count)
{
    for (size_t at = 16, size; at + 32 <= count; at += size) {
        uint64_t found;
        memcpy(&found, bytes + at + 16, sizeof found);
        size = (size_t)found;
        if (size < 32 || size > count - at) return;
        uint64_t crc = 0xFFFFFFFFu;
        for (size_t i = 0; i < size - 8; i++) {
            crc ^= bytes[at + i];
            for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
        crc ^= 0xFFFFFFFFu;
        memcpy(bytes + at + size - 8, &crc, sizeof crc);
    }
}

/* Saved bytes with some doubles, words or bytes replaced. */
static inline void damage(input *in, unsigned char *bytes, size_t count)
{
    for (int edits = next_of(in, 6); edits > 0; edits--) {
        const int kind = next_of(in, 3);
        const size_t place = (size_t)next_word(in), last = count > 16 ? count - 16 : 0;
        const double x = kind == 0 ? next_double(in) : 0;
        const int64_t n = kind == 1 ? (int64_t)next_long(in) : 0;
        if (last == 0) return;
        if (kind == 0) memcpy(bytes + place % last / 8 * 8, &x, sizeof x);
        if (kind == 1) memcpy(bytes + place % last / 8 * 8, &n, sizeof n);
        if (kind == 2) bytes[place % count] = (unsigned char)(bytes[place % count] ^ next_byte(in));
    }
}

#endif
