/* Saving an agent in format 3 (file.c), and loading it. The table of fields is in fields.c.
 *
 * Loading checks everything before it changes anything: the container and its checksums, that the
 * settings give the arrays the same meaning, and that each number is one that training can reach.
 */
#include "file.h"

#include <string.h>

/* ---- saving ---------------------------------------------------------------------------------- */

static void put_fields(trpo_writer *file, const trpo_agent *w, trpo_section_id section)
{
    trpo_field f;
    for (int i = 0; (f = trpo_field_at(w, i)).name != NULL; i++)
        if (f.section == section && f.is_saved) trpo_put_doubles(file, f.name, 1, f.value, f.count);
}

/* Writes the first n sections. The seed is the current one, which loading may have changed. */
static void put_agent(trpo_writer *file, const trpo_agent *w, int n_sections)
{
    trpo_settings settings = w->set;
    settings.seed = trpo_stream(w, 0, 0).seed;
    trpo_begin_file(file);
    for (int i = 0; i < n_sections; i++) {
        trpo_begin_section(file, trpo_section_names[i]);
        trpo_put_settings(file, &settings, i);
        put_fields(file, w, (trpo_section_id)i);
        trpo_end_section(file);
    }
    trpo_end_file(file);
}

static size_t count_bytes(const trpo_agent *w, int n_sections)
{
    trpo_writer counter = {NULL, 0, 0};
    put_agent(&counter, w, n_sections);
    return counter.used;
}

static int save(const trpo_agent *w, void *buffer, size_t bytes, int n_sections)
{
    trpo_writer file = {(unsigned char *)buffer, 0, 0};
    if (buffer == NULL || bytes < count_bytes(w, n_sections)) return TRPO_ERR_MEMORY;
    if (trpo_invalid_field(w) != NULL) return TRPO_ERR_MODEL;
    put_agent(&file, w, n_sections);
    return TRPO_OK;
}

size_t trpo_save_bytes(const trpo_agent *w) { return count_bytes(w, TRPO_N_SECTIONS); }

int trpo_save(const trpo_agent *w, void *buffer, size_t bytes)
{
    return save(w, buffer, bytes, TRPO_N_SECTIONS);
}

size_t trpo_save_policy_bytes(const trpo_agent *w) { return count_bytes(w, 1); }

int trpo_save_policy(const trpo_agent *w, void *buffer, size_t bytes)
{
    return save(w, buffer, bytes, 1);
}

/* ---- checks ---------------------------------------------------------------------------------- */

static const trpo_misfit FITS = {TRPO_OK, NULL};

/* The name of a setting or field of this section, or NULL. */
static const char *known_name(const trpo_entry *entry, int section)
{
    const trpo_setting *row = trpo_setting_of(entry, section);
    trpo_field f;
    if (row != NULL) return row->name;
    for (int i = 0; (f = trpo_field_at(NULL, i)).name != NULL; i++)
        if ((int)f.section == section && trpo_is_named(entry, f.name)) return f.name;
    return NULL;
}

static trpo_misfit check_names(trpo_span span, int section)
{
    const trpo_span all = span;
    trpo_entry entry, first;
    while (trpo_next_entry(&entry, &span)) {
        const char *name = known_name(&entry, section);
        if (name == NULL) return trpo_misfit_of(TRPO_ERR_NEWER, trpo_section_names[section]);
        trpo_find_entry(&first, all, name);
        if (first.data != entry.data) return trpo_misfit_of(TRPO_ERR_MODEL, name);
    }
    return FITS;
}

trpo_misfit trpo_check_sections(trpo_span spans[TRPO_N_SECTIONS], const void *saved, size_t bytes)
{
    for (int i = 0; i < TRPO_N_SECTIONS; i++) {
        spans[i] = trpo_find_span(saved, bytes, trpo_section_names[i]);
        if (spans[i].at == NULL) continue;
        const trpo_misfit problem = check_names(spans[i], i);
        if (problem.status != TRPO_OK) return problem;
    }
    if (spans[TRPO_POLICY_SECTION].at != NULL) return FITS;
    return trpo_misfit_of(TRPO_ERR_SECTION, "policy");
}

static int are_valid_numbers(const trpo_field *f, const trpo_entry *entry)
{
    for (size_t i = 0; i < entry->count; i++)
        if (!trpo_is_valid_number(f->range, i, trpo_double_at(entry, i))) return 0;
    return 1;
}

static trpo_misfit check_field(const trpo_field *f, trpo_span span)
{
    trpo_entry entry;
    const int required = f->count > 0 && trpo_field_at(NULL, f->index).is_saved;
    if (!trpo_find_entry(&entry, span, f->name))
        return required ? trpo_misfit_of(TRPO_ERR_MODEL, f->name) : FITS;
    if (entry.type != 'd' || entry.rank != 1) return trpo_misfit_of(TRPO_ERR_MODEL, f->name);
    if (entry.count != f->count && !f->is_per_env) return trpo_misfit_of(TRPO_ERR_MODEL, f->name);
    return are_valid_numbers(f, &entry) ? FITS : trpo_misfit_of(TRPO_ERR_MODEL, f->name);
}

/* All or none of them, and in order. */
static trpo_misfit check_bounds(const trpo_agent *w, trpo_span span)
{
    trpo_entry low, high, to_env;
    const int n = trpo_find_entry(&low, span, "act_low") +
                  trpo_find_entry(&high, span, "act_high") +
                  trpo_find_entry(&to_env, span, "act_to_env");
    if (n == 0) return FITS;
    if (n < 3 || w->policy.n_log_std == 0) return trpo_misfit_of(TRPO_ERR_MODEL, "act_low");
    const int how = (int)trpo_double_at(&to_env, 0);
    int n_finite = 0;
    for (size_t d = 0; d < low.count; d++) {
        const double a = trpo_double_at(&low, d), b = trpo_double_at(&high, d);
        if (!trpo_are_bounds(a, b, how)) return trpo_misfit_of(TRPO_ERR_MODEL, "act_low");
        n_finite += isfinite(a) || isfinite(b);
    }
    return n_finite > 0 ? FITS : trpo_misfit_of(TRPO_ERR_MODEL, "act_low");
}

trpo_misfit trpo_check_fields(const trpo_agent *w, const trpo_span *spans, int n_sections)
{
    trpo_misfit problem = FITS;
    trpo_field f;
    for (int i = 0; problem.status == TRPO_OK && (f = trpo_field_at(w, i)).name != NULL; i++)
        if ((int)f.section < n_sections) problem = check_field(&f, spans[f.section]);
    return problem.status == TRPO_OK ? check_bounds(w, spans[TRPO_POLICY_SECTION]) : problem;
}

/* Whether the agent can load the first n sections. */
static trpo_misfit check(const trpo_agent *w, trpo_span spans[TRPO_N_SECTIONS], const void *saved,
                         size_t bytes, int n_sections)
{
    trpo_misfit problem = trpo_check_file(saved, bytes);
    if (problem.status == TRPO_OK) problem = trpo_check_sections(spans, saved, bytes);
    for (int i = 0; i < n_sections && problem.status == TRPO_OK; i++)
        problem = spans[i].at != NULL ? trpo_differing_setting(&w->set, spans[i], i)
                                      : trpo_misfit_of(TRPO_ERR_SECTION, trpo_section_names[i]);
    return problem.status == TRPO_OK ? trpo_check_fields(w, spans, n_sections) : problem;
}

const char *trpo_bad_saved(const trpo_agent *w, const void *saved, size_t bytes)
{
    trpo_span spans[TRPO_N_SECTIONS];
    return check(w, spans, saved, bytes, TRPO_N_SECTIONS).name;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* What is missing, or of another number of environments, is 0. */
static void load_field(const trpo_field *f, trpo_span span)
{
    trpo_entry entry;
    const int found = trpo_find_entry(&entry, span, f->name) && entry.count == f->count;
    for (size_t i = 0; i < f->count; i++) f->value[i] = found ? trpo_double_at(&entry, i) : 0;
}

/* Loads the first n sections; a policy without the agent's random streams. */
static int load(trpo_agent *w, const void *saved, size_t bytes, int n_sections)
{
    trpo_span spans[TRPO_N_SECTIONS];
    trpo_entry entry;
    trpo_field f;
    const trpo_misfit problem = check(w, spans, saved, bytes, n_sections);
    if (problem.status != TRPO_OK) return problem.status;
    for (int i = 0; (f = trpo_field_at(w, i)).name != NULL; i++)
        if ((int)f.section < n_sections && (i != TRPO_FIELD_COUNTERS || n_sections > 1))
            load_field(&f, spans[f.section]);
    w->has_bounds = trpo_find_entry(&entry, spans[TRPO_POLICY_SECTION], "act_low");
    (void)trpo_refresh(w); /* what was loaded is valid; what the agent keeps may not be */
    return TRPO_OK;
}

int trpo_load(trpo_agent *w, const void *saved, size_t bytes)
{
    if (trpo_is_format_2(saved, bytes)) return trpo_load_format_2(w, saved, bytes);
    return load(w, saved, bytes, TRPO_N_SECTIONS);
}

int trpo_load_policy(trpo_agent *w, const void *saved, size_t bytes)
{
    return load(w, saved, bytes, 1);
}
