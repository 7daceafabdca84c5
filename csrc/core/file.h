/* The bytes of saved models, format 3: sections of named fields. docs/file-format.md describes
 * them for readers in other languages; file.c writes and reads the container, saved_settings.c the
 * settings in it, serialize.c the state. Everything is little-endian on every machine. */
#ifndef TRPO_FILE_H
#define TRPO_FILE_H

#include "work.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TRPO_FORMAT = 3,
    TRPO_FORMAT_2 = 2,
    TRPO_MOST_RANK = 2,
    TRPO_MOST_SECTIONS = 64,
    TRPO_FILE_HEAD = 16,   /* bytes before the first section                                    */
    TRPO_SECTION_NAME = 16 /* bytes of a section's name, where it starts                        */
};

/* The sections that the core writes. */
typedef enum trpo_section_id { TRPO_POLICY_SECTION, TRPO_TRAINING_SECTION, TRPO_N_SECTIONS }
    trpo_section_id;
extern const char *const trpo_section_names[TRPO_N_SECTIONS];

/* ---- writing --------------------------------------------------------------------------------- */

/* Writes bytes one after another; only counts them if `to` is NULL. */
typedef struct trpo_writer {
    unsigned char *to;
    size_t used;
    size_t section;       /* where the open section starts                                     */
} trpo_writer;

void trpo_begin_file(trpo_writer *f);
void trpo_end_file(trpo_writer *f);
void trpo_begin_section(trpo_writer *f, const char *name);
void trpo_end_section(trpo_writer *f);
/* Fields of one number (rank 0) or of `count` numbers (rank 1), by type. */
void trpo_put_doubles(trpo_writer *f, const char *name, int rank, const double *x, size_t count);
void trpo_put_ints(trpo_writer *f, const char *name, int rank, const int *x, size_t count);
void trpo_put_seed(trpo_writer *f, const char *name, uint64_t x);
void trpo_put_raw(trpo_writer *f, const void *x, size_t count);
/* type: 's' UTF-8 text, 'B' bytes */
void trpo_put_bytes(trpo_writer *f, const char *name, char type, const void *x, size_t count);

/* ---- reading --------------------------------------------------------------------------------- */

/* The fields of a section: those between `at` and `end`. NULL: there is no such section. */
typedef struct trpo_span {
    const unsigned char *at, *end;
} trpo_span;

/* A field. `data` may have any alignment. */
typedef struct trpo_entry {
    const char *name;     /* not terminated                                                    */
    size_t name_bytes;
    char type;            /* 'd' double, 'i' int32, 'q' int64, 'Q' uint64, '?' 0 or 1, 'B', 's' */
    int rank;
    size_t count;         /* the product of its dimensions                                     */
    const unsigned char *data;
} trpo_entry;

/* What keeps bytes from being loaded: a status, and the name of a section, field or setting. */
typedef struct trpo_misfit {
    int status;
    const char *name;
} trpo_misfit;

static inline trpo_misfit trpo_misfit_of(int status, const char *name)
{
    const trpo_misfit found = {status, name};
    return found;
}

/* The format number; 0 if these bytes are not a saved model. */
int trpo_format_of(const void *bytes, size_t count);
/* Checks the container: sizes, names, padding, checksums. */
trpo_misfit trpo_check_file(const void *bytes, size_t count);
/* The bytes of the section that starts at `at`; 0 if its head is damaged. */
size_t trpo_section_size(const unsigned char *at, const unsigned char *end);
int trpo_is_section(const unsigned char *at, const char *name);
/* A section of a checked file. */
trpo_span trpo_find_span(const void *bytes, size_t count, const char *name);
/* The number of sections of a checked file. */
int trpo_count_sections(const void *bytes, size_t count);
/* Reads the next field of a checked section and moves `span` past it; 0 at its end. */
int trpo_next_entry(trpo_entry *entry, trpo_span *span);
/* Finds a field by name; 0 if there is none. */
int trpo_find_entry(trpo_entry *entry, trpo_span span, const char *name);
int trpo_is_named(const trpo_entry *entry, const char *name);
double trpo_double_at(const trpo_entry *entry, size_t i);
int trpo_int_at(const trpo_entry *entry, size_t i);
uint64_t trpo_seed_at(const trpo_entry *entry);

/* ---- saved_settings.c ------------------------------------------------------------------------ */

void trpo_put_settings(trpo_writer *f, const trpo_settings *s, int section);
/* The setting that an entry of this section is, or NULL. */
const trpo_setting *trpo_setting_of(const trpo_entry *entry, int section);
/* The first setting of a section by which a model of `s` cannot hold the saved arrays. */
trpo_misfit trpo_differing_setting(const trpo_settings *s, trpo_span span, int section);
/* The settings of both sections, with defaults for what is missing; arrays stay NULL but their
 * numbers are set. */
trpo_misfit trpo_read_scalars(trpo_settings *s, const trpo_span spans[TRPO_N_SECTIONS]);

/* ---- fields.c: the state --------------------------------------------------------------------- */

/* The valid numbers of a field. */
typedef enum trpo_range {
    TRPO_ANY,             /* finite                                                            */
    TRPO_NOT_NEGATIVE,    /* and not negative                                                  */
    TRPO_COUNT,           /* integers of 0..2^52, which can still be increased                 */
    TRPO_COUNTERS,        /* likewise, but the words of the seed are of 0..2^32-1              */
    TRPO_SCALE,           /* within the limits of damping_scale                                */
    TRPO_BOUND,           /* may be infinite                                                   */
    TRPO_TO_ENV           /* trpo_to_env                                                       */
} trpo_range;

/* A row of the table of fields. */
typedef struct trpo_field {
    const char *name;     /* NULL: after the last                                              */
    trpo_range range;
    trpo_section_id section;
    int is_per_env;       /* it starts at 0 in another number of environments                  */
    int is_saved;         /* 0: loading without it gives the same                              */
    double *value;        /* in an agent                                                       */
    size_t count;
    int index;            /* of the row                                                        */
} trpo_field;

enum {
    TRPO_FIELD_THETA = 0,
    TRPO_FIELD_OBS_COUNT = 2,
    TRPO_FIELD_OBS_MEAN = 3,
    TRPO_FIELD_OBS_M2 = 4,
    TRPO_FIELD_ADAM_M = 9,
    TRPO_FIELD_ADAM_V = 10,
    TRPO_FIELD_COUNTERS = 11,
    TRPO_FIELD_FEATURES = 13,
    TRPO_N_STATE_FIELDS = 14, /* the others are not for trpo_state_field                       */
    TRPO_FIELD_LOW = 14,
    TRPO_FIELD_HIGH = 15,
    TRPO_FIELD_TO_ENV = 16
};

/* Row i; w NULL: without values */
trpo_field trpo_field_at(const trpo_agent *w, int i);
int trpo_is_valid_number(trpo_range range, size_t i, double x);
/* the name of the first field with an invalid number, or NULL */
const char *trpo_invalid_field(const trpo_agent *w);
/* whether a component's bounds are in order, and finite if actions are scaled to them */
int trpo_are_bounds(double low, double high, int to_env);

/* ---- serialize.c ----------------------------------------------------------------------------- */

/* Finds the sections of a checked file; a policy is required. Each of their fields must be known
 * and be there once. */
trpo_misfit trpo_check_sections(trpo_span spans[TRPO_N_SECTIONS], const void *saved, size_t bytes);
/* Whether the fields of the first n sections are those of an agent, with valid numbers. */
trpo_misfit trpo_check_fields(const trpo_agent *w, const trpo_span *spans, int n_sections);

/* format2.c */
int trpo_is_format_2(const void *buffer, size_t bytes);
int trpo_load_format_2(trpo_agent *w, const void *buffer, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
