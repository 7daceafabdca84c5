/* The container of format 3: writing and reading sections of named fields.
 *
 *     file      "TRPO", u32 format, u64 bytes of the file; then its sections
 *     section   16 bytes of name, padded with 0; u64 bytes of the section; then its fields; u64
 *               checksum (CRC-32, as in zlib) of the section's bytes before it
 *     field     u8 type, u8 rank, u8 length of the name, u8 0; the name, padded with 0 to a
 *               multiple of 8 with these; u64 per dimension; the numbers, padded with 0 to a
 *               multiple of 8
 *
 * All numbers are little-endian, and start at multiples of 8. There is one way to write a given
 * content, so that a file that is read and written again has the same bytes. */
#include "file.h"

#include <string.h>

static const char MAGIC[] = "TRPO";
enum { SECTION_HEAD = 24, SUM_BYTES = 8, FIELD_HEAD = 4, LONGEST_NAME = 63 };

const char *const trpo_section_names[TRPO_N_SECTIONS] = {"policy", "training"};

/* ---- little-endian numbers ------------------------------------------------------------------- */

static void store_uint(unsigned char *to, uint64_t x, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)(x >> 8 * i);
}

static uint64_t load_uint(const unsigned char *from, size_t bytes)
{
    uint64_t x = 0;
    for (size_t i = 0; i < bytes; i++) x |= (uint64_t)from[i] << 8 * i;
    return x;
}

/* The bytes of one number of a type; 0 if there is no such type. */
static size_t number_bytes(char type)
{
    switch (type) {
    case 'd':
    case 'q':
    case 'Q': return 8;
    case 'i': return 4;
    case '?':
    case 'B':
    case 's': return 1;
    default: return 0;
    }
}

/* CRC-32 of zlib and PNG, four bits at a time. */
static uint32_t checksum(const unsigned char *bytes, size_t count)
{
    static const uint32_t of_half[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u,
        0x4DB26158u, 0x5005713Cu, 0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu,
        0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ of_half[crc & 15];
        crc = crc >> 4 ^ of_half[crc & 15];
    }
    return ~crc;
}

static size_t padding(size_t bytes) { return (8 - bytes % 8) % 8; }

/* ---- writing --------------------------------------------------------------------------------- */

static void put_uint(trpo_writer *f, uint64_t x, size_t bytes)
{
    if (f->to != NULL) store_uint(f->to + f->used, x, bytes);
    f->used += bytes;
}

void trpo_put_raw(trpo_writer *f, const void *x, size_t count)
{
    if (f->to != NULL && count > 0) memcpy(f->to + f->used, x, count);
    f->used += count;
}

/* `bytes` were written: pads them. */
static void pad(trpo_writer *f, size_t bytes) { put_uint(f, 0, padding(bytes)); }

void trpo_begin_file(trpo_writer *f)
{
    trpo_put_raw(f, MAGIC, 4);
    put_uint(f, TRPO_FORMAT, 4);
    put_uint(f, 0, 8);
}

void trpo_end_file(trpo_writer *f)
{
    if (f->to != NULL) store_uint(f->to + 8, f->used, 8);
}

void trpo_begin_section(trpo_writer *f, const char *name)
{
    const size_t length = strlen(name);
    f->section = f->used;
    trpo_put_raw(f, name, length);
    for (size_t i = length; i < TRPO_SECTION_NAME; i++) put_uint(f, 0, 1);
    put_uint(f, 0, 8);
}

void trpo_end_section(trpo_writer *f)
{
    const size_t bytes = f->used - f->section + SUM_BYTES;
    if (f->to != NULL) store_uint(f->to + f->section + TRPO_SECTION_NAME, bytes, 8);
    put_uint(f, f->to != NULL ? checksum(f->to + f->section, bytes - SUM_BYTES) : 0,
             SUM_BYTES);
}

static void put_field_head(trpo_writer *f, const char *name, char type, int rank, size_t count)
{
    const size_t length = strlen(name);
    put_uint(f, (unsigned char)type, 1);
    put_uint(f, (uint64_t)rank, 1);
    put_uint(f, length, 1);
    put_uint(f, 0, 1);
    trpo_put_raw(f, name, length);
    pad(f, FIELD_HEAD + length);
    if (rank > 0) put_uint(f, count, 8);
}

void trpo_put_doubles(trpo_writer *f, const char *name, int rank, const double *x, size_t count)
{
    put_field_head(f, name, 'd', rank, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, x + i, sizeof bits);
        put_uint(f, bits, 8);
    }
}

void trpo_put_ints(trpo_writer *f, const char *name, int rank, const int *x, size_t count)
{
    put_field_head(f, name, 'i', rank, count);
    for (size_t i = 0; i < count; i++) put_uint(f, (uint32_t)x[i], 4);
    pad(f, 4 * count);
}

void trpo_put_seed(trpo_writer *f, const char *name, uint64_t x)
{
    put_field_head(f, name, 'Q', 0, 1);
    put_uint(f, x, 8);
}

void trpo_put_bytes(trpo_writer *f, const char *name, char type, const void *x, size_t count)
{
    put_field_head(f, name, type, 1, count);
    trpo_put_raw(f, x, count);
    pad(f, count);
}

/* ---- reading --------------------------------------------------------------------------------- */

int trpo_format_of(const void *bytes, size_t count)
{
    const unsigned char *from = (const unsigned char *)bytes;
    if (bytes == NULL || count < 8 || memcmp(from, MAGIC, 4) != 0) return 0;
    const uint64_t format = load_uint(from + 4, 4);
    return format <= INT32_MAX ? (int)format : 0;
}

static int are_zeros(const unsigned char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (from[i] != 0) return 0;
    return 1;
}

/* Multiplies the dimensions; 0 if the numbers cannot be in `left` bytes. */
static int read_dimensions(trpo_entry *r, const unsigned char *from, size_t left)
{
    const size_t size = number_bytes(r->type);
    r->count = 1;
    for (int i = 0; i < r->rank; i++) {
        const uint64_t dimension = load_uint(from + 8 * i, 8);
        if (dimension > left || (dimension > 0 && r->count > left / (size_t)dimension)) return 0;
        r->count *= (size_t)dimension;
    }
    return r->count <= left / size;
}

/* Reads a field in front of `end`. Returns where the next one starts, or NULL if it is damaged. */
static const unsigned char *read_entry(trpo_entry *r, const unsigned char *at,
                                        const unsigned char *end)
{
    size_t left = (size_t)(end - at);
    if (left < 8) return NULL;
    r->type = (char)at[0];
    r->rank = at[1];
    r->name_bytes = at[2];
    r->name = (const char *)at + FIELD_HEAD;
    const size_t size = number_bytes(r->type), length = FIELD_HEAD + r->name_bytes;
    if (size == 0 || r->rank > TRPO_MOST_RANK || at[3] != 0) return NULL;
    if (r->name_bytes < 1 || r->name_bytes > LONGEST_NAME) return NULL;
    const size_t head = length + padding(length), dimensions = 8 * (size_t)r->rank;
    if (left < head + dimensions || !are_zeros(at + length, head - length)) return NULL;
    left -= head + dimensions;
    r->data = at + head + dimensions;
    if (!read_dimensions(r, at + head, left)) return NULL;
    const size_t bytes = r->count * size;
    if (left - bytes < padding(bytes) || !are_zeros(r->data + bytes, padding(bytes))) return NULL;
    return r->data + bytes + padding(bytes);
}

int trpo_next_entry(trpo_entry *entry, trpo_span *span)
{
    if (span->at == span->end) return 0;
    span->at = read_entry(entry, span->at, span->end);
    return span->at != NULL;
}

int trpo_is_named(const trpo_entry *r, const char *name)
{
    return strlen(name) == r->name_bytes && memcmp(name, r->name, r->name_bytes) == 0;
}

int trpo_find_entry(trpo_entry *entry, trpo_span span, const char *name)
{
    while (trpo_next_entry(entry, &span))
        if (trpo_is_named(entry, name)) return 1;
    return 0;
}

double trpo_double_at(const trpo_entry *r, size_t i)
{
    const uint64_t bits = load_uint(r->data + 8 * i, 8);
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

int trpo_int_at(const trpo_entry *r, size_t i)
{
    const uint64_t bits = load_uint(r->data + 4 * i, 4);
    return bits <= INT32_MAX ? (int)bits : (int)((int64_t)bits - ((int64_t)1 << 32));
}

uint64_t trpo_seed_at(const trpo_entry *r) { return load_uint(r->data, 8); }

/* ---- sections -------------------------------------------------------------------------------- */

size_t trpo_section_size(const unsigned char *at, const unsigned char *end)
{
    const size_t left = (size_t)(end - at);
    if (left < SECTION_HEAD + SUM_BYTES) return 0;
    const uint64_t bytes = load_uint(at + TRPO_SECTION_NAME, 8);
    return bytes >= SECTION_HEAD + SUM_BYTES && bytes % 8 == 0 && bytes <= left ? (size_t)bytes : 0;
}

static trpo_span fields_of(const unsigned char *at, size_t bytes)
{
    const trpo_span span = {at + SECTION_HEAD, at + bytes - SUM_BYTES};
    return span;
}

int trpo_is_section(const unsigned char *at, const char *name)
{
    const size_t length = strlen(name);
    return length <= TRPO_SECTION_NAME && memcmp(at, name, length) == 0 &&
           are_zeros(at + length, TRPO_SECTION_NAME - length);
}

trpo_span trpo_find_span(const void *bytes, size_t count, const char *name)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count;
    const trpo_span none = {NULL, NULL};
    for (at += TRPO_FILE_HEAD; at < end; at += trpo_section_size(at, end))
        if (trpo_is_section(at, name)) return fields_of(at, trpo_section_size(at, end));
    return none;
}

int trpo_count_sections(const void *bytes, size_t count)
{
    const unsigned char *at = (const unsigned char *)bytes, *end = at + count;
    int n = 0;
    for (at += TRPO_FILE_HEAD; at < end; at += trpo_section_size(at, end)) n++;
    return n;
}

static int has_valid_name(const unsigned char *at)
{
    size_t length = 0;
    while (length < TRPO_SECTION_NAME && at[length] != 0) length++;
    return length > 0 && are_zeros(at + length, TRPO_SECTION_NAME - length);
}

static int is_sound(const unsigned char *at, size_t bytes)
{
    trpo_span span = fields_of(at, bytes);
    trpo_entry entry;
    if (load_uint(at + bytes - SUM_BYTES, 8) != checksum(at, bytes - SUM_BYTES)) return 0;
    while (trpo_next_entry(&entry, &span)) continue;
    return span.at != NULL && has_valid_name(at);
}

/* What messages call a section. */
static const char *name_of_section(const unsigned char *at)
{
    for (int i = 0; i < TRPO_N_SECTIONS; i++)
        if (trpo_is_section(at, trpo_section_names[i])) return trpo_section_names[i];
    return "another section";
}

static int is_repeated(const unsigned char *at, const unsigned char *first,
                       const unsigned char *end)
{
    for (; first < at; first += trpo_section_size(first, end))
        if (memcmp(first, at, TRPO_SECTION_NAME) == 0) return 1;
    return 0;
}

static trpo_misfit check_sections(const unsigned char *first, const unsigned char *end)
{
    int n = 0;
    for (const unsigned char *at = first; at < end; at += trpo_section_size(at, end)) {
        const size_t bytes = trpo_section_size(at, end);
        if (bytes == 0 || ++n > TRPO_MOST_SECTIONS)
            return trpo_misfit_of(TRPO_ERR_MODEL, "sections");
        if (!is_sound(at, bytes) || is_repeated(at, first, end))
            return trpo_misfit_of(TRPO_ERR_MODEL, name_of_section(at));
    }
    return trpo_misfit_of(TRPO_OK, NULL);
}

trpo_misfit trpo_check_file(const void *bytes, size_t count)
{
    const unsigned char *from = (const unsigned char *)bytes;
    const int format = trpo_format_of(bytes, count);
    if (format == 0) return trpo_misfit_of(TRPO_ERR_FOREIGN, "magic");
    if (format > TRPO_FORMAT) return trpo_misfit_of(TRPO_ERR_NEWER, "format");
    if (format < TRPO_FORMAT) return trpo_misfit_of(TRPO_ERR_SECTION, "format");
    if (count < TRPO_FILE_HEAD || load_uint(from + 8, 8) != count)
        return trpo_misfit_of(TRPO_ERR_MODEL, "size");
    return check_sections(from + TRPO_FILE_HEAD, from + count);
}
