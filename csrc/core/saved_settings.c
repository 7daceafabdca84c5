/* Settings in saved bytes: each is a field of its section, by name, so that a file does not depend
 * on the struct. What a file lacks has its default, and what this version does not know is newer.
 *
 *     TRPO_INT, TRPO_FLAG  'i'     TRPO_REAL  'd'     TRPO_SEED  'Q'
 *     TRPO_WORD  's', the word     TRPO_SIZES  'i', one dimension */
#include "file.h"

#include <string.h>

/* The settings in the policy section: what acting needs. All others are in the training section. */
static const char *const policy_settings[] = {
    "obs_size",     "distribution", "parts",       "policy_hidden", "activation",
    "log_std_init", "log_std_min",  "log_std_max", "features",      "n_features",
    "feature_bandwidth", "feature_degree", "normalize_observations"};

/* The settings of the training section that decide what its arrays mean. */
static const char *const training_arrays[] = {"value_hidden", "normalize_rewards", "critic"};

static int is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return 1;
    return 0;
}

#define IS_AMONG(name, names) is_among(name, names, sizeof names / sizeof *names)

static int section_of(const trpo_setting *row)
{
    return IS_AMONG(row->name, policy_settings) ? TRPO_POLICY_SECTION : TRPO_TRAINING_SECTION;
}

static int int_at(const trpo_settings *s, size_t offset)
{
    return *(const int *)(const void *)((const char *)s + offset);
}

static const int *sizes_at(const trpo_settings *s, const trpo_setting *row)
{
    return *(const int *const *)(const void *)((const char *)s + row->offset);
}

/* Numbers of features that the agent does not have are not saved. */
static int is_setting_used(const trpo_settings *s, const char *name)
{
    const int drawn = s->features == TRPO_FOURIER || s->features == TRPO_RBF;
    if (strcmp(name, "n_features") == 0 || strcmp(name, "feature_bandwidth") == 0) return drawn;
    return strcmp(name, "feature_degree") != 0 || s->features == TRPO_POLYNOMIAL;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_setting(trpo_writer *f, const trpo_settings *s, const trpo_setting *row)
{
    const char *at = (const char *)s + row->offset;
    const int flag = row->type == TRPO_FLAG && int_at(s, row->offset) != 0;
    switch (row->type) {
    case TRPO_REAL: trpo_put_doubles(f, row->name, 0, (const double *)(const void *)at, 1); break;
    case TRPO_SEED: trpo_put_seed(f, row->name, *(const uint64_t *)(const void *)at); break;
    case TRPO_WORD: {
        const char *word = row->words[int_at(s, row->offset)];
        trpo_put_bytes(f, row->name, 's', word, strlen(word));
        break;
    }
    case TRPO_SIZES:
        trpo_put_ints(f, row->name, 1, sizes_at(s, row), (size_t)int_at(s, row->count_offset));
        break;
    case TRPO_FLAG: trpo_put_ints(f, row->name, 0, &flag, 1); break;
    default: trpo_put_ints(f, row->name, 0, (const int *)(const void *)at, 1); break;
    }
}

void trpo_put_settings(trpo_writer *f, const trpo_settings *s, int section)
{
    const trpo_setting *row;
    for (int i = 0; (row = trpo_setting_at(i)) != NULL; i++)
        if (section_of(row) == section && is_setting_used(s, row->name)) put_setting(f, s, row);
}

/* ---- reading --------------------------------------------------------------------------------- */

const trpo_setting *trpo_setting_of(const trpo_entry *entry, int section)
{
    const trpo_setting *row;
    for (int i = 0; (row = trpo_setting_at(i)) != NULL; i++)
        if (section_of(row) == section && trpo_is_named(entry, row->name)) return row;
    return NULL;
}

static char type_of(const trpo_setting *row)
{
    switch (row->type) {
    case TRPO_REAL: return 'd';
    case TRPO_SEED: return 'Q';
    case TRPO_WORD: return 's';
    default: return 'i';
    }
}

static int has_type_of(const trpo_entry *r, const trpo_setting *row)
{
    const int rank = row->type == TRPO_SIZES || row->type == TRPO_WORD;
    return r->type == type_of(row) && r->rank == rank;
}

/* The index of a word, or -1. */
static int word_at(const trpo_entry *r, const trpo_setting *row)
{
    for (int i = 0; row->words[i] != NULL; i++)
        if (strlen(row->words[i]) == r->count && memcmp(row->words[i], r->data, r->count) == 0)
            return i;
    return -1;
}

static int is_saved_int(const trpo_entry *r, size_t i, const trpo_setting *row)
{
    return trpo_int_at(r, i) >= row->low && trpo_int_at(r, i) <= row->high;
}

static int are_saved_sizes(const trpo_entry *r, const trpo_setting *row)
{
    if ((double)r->count < row->initial || r->count > TRPO_LARGEST_SIZE) return 0;
    for (size_t i = 0; i < r->count; i++)
        if (!is_saved_int(r, i, row)) return 0;
    return 1;
}

/* Reads a setting; of sizes, only their number. Returns 0 if it cannot be one of these. Integers
 * are in their range then, so that sizes can be computed from them. */
static int read_setting(trpo_settings *s, const trpo_entry *r, const trpo_setting *row)
{
    char *at = (char *)s + row->offset;
    if (!has_type_of(r, row)) return 0;
    switch (row->type) {
    case TRPO_REAL: *(double *)(void *)at = trpo_double_at(r, 0); return 1;
    case TRPO_SEED: *(uint64_t *)(void *)at = trpo_seed_at(r); return 1;
    case TRPO_WORD: return (*(int *)(void *)at = word_at(r, row)) >= 0;
    case TRPO_SIZES:
        *(int *)(void *)((char *)s + row->count_offset) = (int)r->count;
        return are_saved_sizes(r, row);
    case TRPO_FLAG: *(int *)(void *)at = trpo_int_at(r, 0); return 1;
    default: *(int *)(void *)at = trpo_int_at(r, 0); return is_saved_int(r, 0, row);
    }
}

trpo_misfit trpo_read_scalars(trpo_settings *s, const trpo_span spans[TRPO_N_SECTIONS])
{
    trpo_default_settings(s);
    for (int section = 0; section < TRPO_N_SECTIONS; section++) {
        trpo_span span = spans[section];
        trpo_entry entry;
        while (span.at != NULL && trpo_next_entry(&entry, &span)) {
            const trpo_setting *row = trpo_setting_of(&entry, section);
            if (row != NULL && !read_setting(s, &entry, row))
                return trpo_misfit_of(TRPO_ERR_MODEL, row->name);
        }
    }
    return trpo_misfit_of(TRPO_OK, NULL);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* Settings that do not define the agent's arrays may differ. */
static int is_defining(const trpo_settings *s, const char *name)
{
    if (strcmp(name, "value_hidden") == 0) return trpo_critics[s->critic].features == NULL;
    return is_setting_used(s, name) && strncmp(name, "log_std_", 8) != 0;
}

static int are_same_sizes(const trpo_settings *s, const trpo_entry *r, const trpo_setting *row)
{
    const int *sizes = sizes_at(s, row);
    if (r->count != (size_t)int_at(s, row->count_offset)) return 0;
    for (size_t i = 0; i < r->count; i++)
        if (trpo_int_at(r, i) != sizes[i]) return 0;
    return 1;
}

/* Whether a setting of s and the saved one give the arrays the same meaning. */
static int is_same(const trpo_settings *s, const trpo_entry *r, const trpo_setting *row)
{
    const int own = row->type != TRPO_REAL ? int_at(s, row->offset) : 0;
    trpo_settings saved = *s;
    if (row->type == TRPO_SIZES) return are_same_sizes(s, r, row);
    if (!read_setting(&saved, r, row)) return 0;
    if (strcmp(row->name, "critic") == 0)
        return trpo_critics[saved.critic].features == trpo_critics[own].features;
    if (row->type == TRPO_FLAG) return (int_at(&saved, row->offset) != 0) == (own != 0);
    return memcmp((const char *)&saved + row->offset, (const char *)s + row->offset,
                  row->type == TRPO_REAL ? sizeof(double) : sizeof(int)) == 0;
}

/* What a file lacks has its default. */
static int is_default(const trpo_settings *s, const trpo_setting *row)
{
    double own = 0;
    if (row->type == TRPO_SIZES) return row->initial == 0 && int_at(s, row->count_offset) == 0;
    return trpo_get_setting(s, row->name, &own) == TRPO_OK && own == row->initial;
}

trpo_misfit trpo_differing_setting(const trpo_settings *s, trpo_span span, int section)
{
    const trpo_setting *row;
    trpo_entry entry;
    for (int i = 0; (row = trpo_setting_at(i)) != NULL; i++) {
        if (section_of(row) != section || !is_defining(s, row->name)) continue;
        if (section == TRPO_TRAINING_SECTION && !IS_AMONG(row->name, training_arrays)) continue;
        const int found = trpo_find_entry(&entry, span, row->name);
        if (found && !has_type_of(&entry, row)) return trpo_misfit_of(TRPO_ERR_MODEL, row->name);
        if (found ? !is_same(s, &entry, row) : !is_default(s, row))
            return trpo_misfit_of(TRPO_ERR_OTHER, row->name);
    }
    return trpo_misfit_of(TRPO_OK, NULL);
}

/* ---- trpo_files.h ---------------------------------------------------------------------------- */

/* Copies the sizes of a setting into `sizes`; 0 if there is no room. */
static int copy_sizes(trpo_settings *s, const trpo_setting *row, trpo_span span, int **sizes,
                      size_t *room)
{
    trpo_entry entry;
    if (span.at == NULL || !trpo_find_entry(&entry, span, row->name)) return 1;
    if (entry.count > *room) return 0;
    for (size_t i = 0; i < entry.count; i++) (*sizes)[i] = trpo_int_at(&entry, i);
    memcpy((char *)s + row->offset, sizes, sizeof *sizes);
    *sizes += entry.count;
    *room -= entry.count;
    return 1;
}

static trpo_misfit read_settings(trpo_settings *s, const trpo_span spans[TRPO_N_SECTIONS],
                                 int *sizes, size_t room)
{
    const trpo_setting *row;
    const trpo_misfit problem = trpo_read_scalars(s, spans);
    if (problem.status != TRPO_OK) return problem;
    for (int i = 0; (row = trpo_setting_at(i)) != NULL; i++)
        if (row->type == TRPO_SIZES && !copy_sizes(s, row, spans[section_of(row)], &sizes, &room))
            return trpo_misfit_of(TRPO_ERR_MEMORY, row->name);
    const char *bad = trpo_bad_setting(s);
    return trpo_misfit_of(bad == NULL ? TRPO_OK : TRPO_ERR_MODEL, bad);
}

int trpo_peek(const void *saved, size_t bytes, trpo_settings *settings, int *sizes, size_t room)
{
    trpo_span spans[TRPO_N_SECTIONS];
    trpo_settings found;
    trpo_misfit problem = trpo_check_file(saved, bytes);
    if (problem.status == TRPO_OK) problem = trpo_check_sections(spans, saved, bytes);
    if (problem.status == TRPO_OK) problem = read_settings(&found, spans, sizes, room);
    if (problem.status == TRPO_OK) *settings = found;
    return problem.status;
}
