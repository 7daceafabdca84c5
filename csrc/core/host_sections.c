/* Sections that the host adds to saved bytes and finds there, and copies from one file to another.
 * Each that it adds is one field, "bytes". */
#include "file.h"

#include <string.h>

static const char BYTES[] = "bytes";

static void put_section(trpo_writer *f, const char *name, const void *data, size_t bytes)
{
    trpo_begin_section(f, name);
    trpo_put_bytes(f, BYTES, 'B', data, bytes);
    trpo_end_section(f);
}

size_t trpo_section_bytes(size_t bytes)
{
    trpo_writer counter = {NULL, 0, 0};
    if (bytes > SIZE_MAX / 2) return 0;
    put_section(&counter, "", BYTES, bytes); /* counted, not read */
    return counter.used;
}

static int is_own_section(const char *name)
{
    for (int i = 0; i < TRPO_N_SECTIONS; i++)
        if (strcmp(trpo_section_names[i], name) == 0) return 1;
    return 0;
}

int trpo_add_section(void *saved, size_t *bytes, size_t room, const char *name, const void *data,
                     size_t count)
{
    const size_t needed = trpo_section_bytes(count), length = strlen(name);
    trpo_writer f = {(unsigned char *)saved, *bytes, 0};
    const trpo_misfit problem = trpo_check_file(saved, *bytes);
    if (problem.status != TRPO_OK) return problem.status;
    if (length < 1 || length > TRPO_SECTION_NAME || is_own_section(name)) return TRPO_ERR_SECTION;
    if (trpo_find_span(saved, *bytes, name).at != NULL) return TRPO_ERR_SECTION;
    if (trpo_count_sections(saved, *bytes) == TRPO_MOST_SECTIONS) return TRPO_ERR_SECTION;
    if (needed == 0 || room < *bytes || room - *bytes < needed) return TRPO_ERR_MEMORY;
    put_section(&f, name, data, count);
    trpo_end_file(&f);
    *bytes = f.used;
    return TRPO_OK;
}

/* Whether `at` is a section that `saved` lacks and that the agent does not write. */
static int is_missing(const unsigned char *at, const void *saved, size_t bytes)
{
    const unsigned char *first = (const unsigned char *)saved, *end = first + bytes;
    for (int i = 0; i < TRPO_N_SECTIONS; i++)
        if (trpo_is_section(at, trpo_section_names[i])) return 0;
    for (first += TRPO_FILE_HEAD; first < end; first += trpo_section_size(first, end))
        if (memcmp(first, at, TRPO_SECTION_NAME) == 0) return 0;
    return 1;
}

/* Copies the missing sections, and returns how many; only counts them if f->to is NULL. */
static int copy_missing(trpo_writer *f, const void *saved, size_t bytes,
                        const unsigned char *from, size_t count)
{
    const unsigned char *end = from + count;
    int n = 0;
    for (from += TRPO_FILE_HEAD; from < end; from += trpo_section_size(from, end)) {
        if (!is_missing(from, saved, bytes)) continue;
        trpo_put_raw(f, from, trpo_section_size(from, end));
        n++;
    }
    return n;
}

int trpo_copy_sections(void *saved, size_t *bytes, size_t room, const void *from, size_t count)
{
    trpo_writer f = {NULL, *bytes, 0};
    trpo_misfit problem = trpo_check_file(saved, *bytes);
    if (problem.status == TRPO_OK) problem = trpo_check_file(from, count);
    if (problem.status != TRPO_OK) return problem.status;
    const int n = copy_missing(&f, saved, *bytes, (const unsigned char *)from, count);
    if (n > TRPO_MOST_SECTIONS - trpo_count_sections(saved, *bytes)) return TRPO_ERR_SECTION;
    if (room < f.used) return TRPO_ERR_MEMORY;
    f.to = (unsigned char *)saved;
    f.used = *bytes;
    (void)copy_missing(&f, saved, *bytes, (const unsigned char *)from, count);
    trpo_end_file(&f);
    *bytes = f.used;
    return TRPO_OK;
}

const void *trpo_find_section(const void *saved, size_t bytes, const char *name, size_t *count)
{
    trpo_entry entry;
    if (trpo_check_file(saved, bytes).status != TRPO_OK) return NULL;
    const trpo_span span = trpo_find_span(saved, bytes, name);
    if (span.at == NULL || !trpo_find_entry(&entry, span, BYTES) || entry.type != 'B')
        return NULL;
    *count = entry.count;
    return entry.data;
}
