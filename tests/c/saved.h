/* Saved bytes, format 3, read and changed as docs/file-format.md describes them. */
#ifndef TRPO_TESTS_SAVED_H
#define TRPO_TESTS_SAVED_H

#include "check.h"

/* What trpo_save wrote, in memory of its exact size. */
typedef struct saved {
    unsigned char *bytes;
    size_t count;
} saved;

static inline saved save(const trpo_agent *agent)
{
    saved s = {NULL, trpo_save_bytes(agent)};
    s.bytes = (unsigned char *)take(s.count);
    CHECK(trpo_save(agent, s.bytes, s.count) == TRPO_OK);
    return s;
}

static inline uint64_t saved_uint(const unsigned char *from, size_t bytes)
{
    uint64_t x = 0;
    for (size_t i = 0; i < bytes; i++) x |= (uint64_t)from[i] << 8 * i;
    return x;
}

static inline void put_saved_uint(unsigned char *to, uint64_t x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)(x >> 8 * i);
}

/* CRC-32, bit by bit. */
static inline uint32_t saved_checksum(const unsigned char *bytes, size_t count)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* Corrects the checksum of each section. */
static inline void put_saved_checksums(unsigned char *bytes, size_t count)
{
    for (size_t at = 16, size; at < count; at += size) {
        size = (size_t)saved_uint(bytes + at + 16, 8);
        put_saved_uint(bytes + at + size - 8, saved_checksum(bytes + at, size - 8), 8);
    }
}

/* Where a field starts, or 0. */
static inline size_t saved_field(const unsigned char *bytes, size_t count, const char *name)
{
    const size_t length = strlen(name);
    for (size_t at = 16; at + 4 + length < count; at += 8)
        if (bytes[at + 2] == length && bytes[at + 3] == 0 && bytes[at + 1] <= 2 &&
            memcmp(bytes + at + 4, name, length) == 0)
            return at;
    return 0;
}

/* Where its numbers start. */
static inline size_t saved_numbers(const unsigned char *bytes, size_t count, const char *name)
{
    const size_t at = saved_field(bytes, count, name), head = (4 + strlen(name) + 7) / 8 * 8;
    CHECK(at > 0);
    return at + head + 8 * (size_t)bytes[at + 1];
}

/* Sets number i of a field of doubles. */
static inline void put_saved_double(unsigned char *bytes, size_t count, const char *name, size_t i,
                                    double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_saved_uint(bytes + saved_numbers(bytes, count, name) + 8 * i, bits, 8);
}

#endif
