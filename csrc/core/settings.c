/* The table of settings, generated from trpo_settings.h; the defaults and checks it drives; and the
 * rules that involve several settings. */
#include "work.h"

#include <limits.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

#define CLOSED(low, high) low, high, 0, 0
#define OPEN(low, high) low, high, 1, 1
#define HALF_OPEN(low, high) low, high, 0, 1
#define LIST(...) __VA_ARGS__
#define AT(field) offsetof(trpo_settings, field)

/* The words of each TRPO_WORD. */
#define TRPO_INT_SETTING(name, initial, range, meaning)
#define TRPO_REAL_SETTING(name, initial, range, meaning)
#define TRPO_FLAG_SETTING(name, initial, meaning)
#define TRPO_WORD_SETTING(name, initial, words, meaning) \
    static const char *const name##_words[] = {LIST words, NULL};
#define TRPO_SIZES_SETTING(name, least, meaning)
#define TRPO_SEED_SETTING(name, meaning)
#include "../include/trpo_settings.h"
#undef TRPO_INT_SETTING
#undef TRPO_REAL_SETTING
#undef TRPO_FLAG_SETTING
#undef TRPO_WORD_SETTING
#undef TRPO_SIZES_SETTING
#undef TRPO_SEED_SETTING

#define LAST_WORD(name) ((double)(sizeof name##_words / sizeof *name##_words) - 2)
#define TRPO_INT_SETTING(name, initial, range, meaning) \
    {#name, meaning, NULL, TRPO_INT, AT(name), 0, initial, range},
#define TRPO_REAL_SETTING(name, initial, range, meaning) \
    {#name, meaning, NULL, TRPO_REAL, AT(name), 0, initial, range},
#define TRPO_FLAG_SETTING(name, initial, meaning) \
    {#name, meaning, NULL, TRPO_FLAG, AT(name), 0, initial, CLOSED(0, 1)},
#define TRPO_WORD_SETTING(name, initial, words, meaning) \
    {#name, meaning, name##_words, TRPO_WORD, AT(name), 0, initial, CLOSED(0, LAST_WORD(name))},
#define TRPO_SIZES_SETTING(name, least, meaning) \
    {#name, meaning, NULL, TRPO_SIZES, AT(name), AT(n_##name), least, CLOSED(1, TRPO_LARGEST_SIZE)},
#define TRPO_SEED_SETTING(name, meaning) \
    {#name, meaning, NULL, TRPO_SEED, AT(name), 0, 0, CLOSED(0, 9007199254740992.0)},
static const trpo_setting table[] = {
#include "../include/trpo_settings.h"
};

enum { N_SETTINGS = sizeof table / sizeof *table };

const trpo_setting *trpo_setting_at(int i)
{
    return i >= 0 && i < N_SETTINGS ? &table[i] : NULL;
}

const trpo_setting *trpo_find_setting(const char *name)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

/* ---- fields ---------------------------------------------------------------------------------- */

static double number_at(const trpo_settings *s, const trpo_setting *row)
{
    const char *at = (const char *)s + row->offset;
    if (row->type == TRPO_REAL) return *(const double *)at;
    return row->type == TRPO_SEED ? (double)*(const uint64_t *)at : *(const int *)at;
}

static void put_number(trpo_settings *s, const trpo_setting *row, double value)
{
    char *at = (char *)s + row->offset;
    if (row->type == TRPO_REAL)
        *(double *)at = value;
    else if (row->type == TRPO_SEED)
        *(uint64_t *)at = (uint64_t)value;
    else
        *(int *)at = (int)value;
}

/* False for NaN and infinities. */
static int is_in_range(const trpo_setting *row, double x)
{
    const int above = row->low_open ? x > row->low : x >= row->low;
    const int below = row->high_open ? x < row->high : x <= row->high;
    return above && below && (row->type == TRPO_REAL || x == floor(x));
}

void trpo_default_settings(trpo_settings *s)
{
    memset(s, 0, sizeof *s);
    for (int i = 0; i < N_SETTINGS; i++)
        if (table[i].type != TRPO_SIZES) put_number(s, &table[i], table[i].initial);
}

int trpo_set_setting(trpo_settings *s, const char *name, double value)
{
    const trpo_setting *row = trpo_find_setting(name);
    if (row == NULL || row->type == TRPO_SIZES || !is_in_range(row, value)) return TRPO_ERR_SETTING;
    put_number(s, row, value);
    return TRPO_OK;
}

int trpo_get_setting(const trpo_settings *s, const char *name, double *value)
{
    const trpo_setting *row = trpo_find_setting(name);
    if (row == NULL || row->type == TRPO_SIZES) return TRPO_ERR_SETTING;
    *value = number_at(s, row);
    return TRPO_OK;
}

int trpo_set_word(trpo_settings *s, const char *name, const char *word)
{
    const trpo_setting *row = trpo_find_setting(name);
    if (row == NULL || row->type != TRPO_WORD) return TRPO_ERR_SETTING;
    for (int i = 0; row->words[i] != NULL; i++)
        if (strcmp(row->words[i], word) == 0) return trpo_set_setting(s, name, i);
    return TRPO_ERR_SETTING;
}

/* ---- checks ---------------------------------------------------------------------------------- */

/* The largest N that can be rounded up to a chunk without overflow. */
enum { LARGEST_N = INT_MAX - TRPO_CHUNK };

static int are_sizes(const trpo_settings *s, const trpo_setting *row)
{
    const char *at = (const char *)s;
    const int *const sizes = *(const int *const *)(at + row->offset);
    const int count = *(const int *)(at + row->count_offset);
    if (count < row->initial || count > TRPO_LARGEST_SIZE) return 0;
    if (count > 0 && sizes == NULL)
        return row->offset == AT(parts) && trpok_distribution(s->distribution)->outputs == 1;
    for (int i = 0; i < count; i++)
        if (!is_in_range(row, sizes[i])) return 0;
    return 1;
}

/* Numbers of features that the agent does not have. */
static int is_unused(const trpo_settings *s, const trpo_setting *row)
{
    const int drawn = s->features == TRPO_FOURIER || s->features == TRPO_RBF;
    if (row->offset == AT(n_features)) return !drawn;
    return row->offset == AT(feature_degree) && s->features != TRPO_POLYNOMIAL;
}

/* Unused settings, flags and 64-bit seeds are always valid. */
static int is_legal(const trpo_settings *s, const trpo_setting *row)
{
    if (is_unused(s, row)) return 1;
    switch (row->type) {
    case TRPO_SIZES: return are_sizes(s, row);
    case TRPO_FLAG:
    case TRPO_SEED: return 1;
    default: return is_in_range(row, number_at(s, row));
    }
}

/* Each component has the outputs that the distribution requires, and their sum is a valid size. */
static int are_parts(const trpo_settings *s)
{
    const int outputs = trpok_distribution(s->distribution)->outputs;
    double total = 0;
    if (s->n_parts < 1) return 0;
    for (int d = 0; d < s->n_parts; d++) {
        if (outputs > 0 && trpo_part(s->parts, d) != outputs) return 0;
        total += trpo_part(s->parts, d);
    }
    return total <= (double)TRPO_LARGEST_SIZE;
}

/* The first setting that conflicts with others, all being in range. */
static const char *bad_together(const trpo_settings *s)
{
    if (trpok_named(s->instruction_set) == NULL) return "instruction_set";
    if (!are_parts(s)) return "parts";
    if (s->log_std_min > s->log_std_init) return "log_std_min";
    if (s->log_std_max < s->log_std_init) return "log_std_max";
    if (s->features == TRPO_POLYNOMIAL && trpo_n_inputs(s) > TRPO_MOST_FEATURES)
        return "feature_degree";
    if (s->n_envs > LARGEST_N / s->n_steps) return "n_envs";
    return s->adaptive_damping && s->cg_damping == 0 ? "cg_damping" : NULL;
}

const char *trpo_bad_setting(const trpo_settings *s)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (!is_legal(s, &table[i])) return table[i].name;
    return bad_together(s);
}

/* ---- settings that may change during training ------------------------------------------------ */

int trpo_set_target_kl(trpo_agent *w, double target_kl)
{
    return trpo_set_setting(&w->set, "target_kl", target_kl);
}

int trpo_set_learning_rate(trpo_agent *w, double learning_rate)
{
    return trpo_set_setting(&w->set, "learning_rate", learning_rate);
}

/* ---- derived sizes --------------------------------------------------------------------------- */

int trpo_n_monomials(int O, int degree)
{
    double all = 1; /* C(O + degree, degree), including degree 0; an integer at every step */
    for (int d = 1; d <= degree && all <= TRPO_MOST_FEATURES + 1; d++) all = all * (O + d) / d;
    return all <= TRPO_MOST_FEATURES + 1 ? (int)all - 1 : TRPO_MOST_FEATURES + 1;
}

int trpo_n_inputs(const trpo_settings *s)
{
    switch (s->features) {
    case TRPO_NO_FEATURES: return s->obs_size;
    case TRPO_POLYNOMIAL: return trpo_n_monomials(s->obs_size, s->feature_degree);
    default: return s->n_features;
    }
}

ptrdiff_t trpo_n_drawn(const trpo_settings *s)
{
    const int O = s->obs_size, F = s->n_features;
    return s->features == TRPO_FOURIER ? trpo_times(F, O + 1)
                                       : s->features == TRPO_RBF ? trpo_times(F, O) : 0;
}
