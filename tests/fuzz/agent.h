/* Small agents of every kind for the fuzzers, and their rows. */
#ifndef TRPO_TESTS_FUZZ_AGENT_H
#define TRPO_TESTS_FUZZ_AGENT_H

#include "../../csrc/include/trpo.h"
#include "input.h"

/* Small settings of any kind; their arrays are static. */
static inline trpo_settings small_kind(input *in)
{
    static const int ones[] = {1, 1}, choices[] = {3, 2}, hidden[] = {5, 3};
    trpo_settings s;
    trpo_default_settings(&s);
    s.obs_size = 1 + next_of(in, 3);
    s.distribution = next_of(in, 3);
    s.n_parts = 2;
    s.parts = s.distribution == TRPO_CATEGORICAL ? choices : ones;
    s.policy_hidden = s.value_hidden = hidden;
    s.n_policy_hidden = next_of(in, 3);
    s.n_value_hidden = next_of(in, 3);
    s.n_steps = 1 + next_of(in, 5);
    s.n_envs = 1 + next_of(in, 3);
    s.critic = next_of(in, TRPO_N_CRITICS);
    s.features = next_of(in, 4);
    s.n_features = 4;
    s.activation = next_of(in, 3);
    s.acceptance = next_of(in, 3);
    const int flags = next_byte(in);
    s.normalize_observations = flags & 1;
    s.normalize_rewards = flags >> 1 & 1;
    s.adaptive_damping = flags >> 2 & 1;
    s.kl_direction = flags >> 3 & 1;
    s.sub_sampling_factor = 1 + (flags >> 4 & 1);
    s.ent_coef = flags >> 5 & 1 ? 0.01 : 0;
    s.preconditioner = flags >> 6 & 1;
    return s;
}

/* An agent with these settings in exactly the bytes it needs; the caller frees it. */
static inline void *born(trpo_agent **agent, const trpo_settings *s)
{
    const size_t bytes = trpo_bytes(s, NULL);
    MUST(bytes > 0);
    void *memory = room(bytes);
    MUST(trpo_init(agent, s, NULL, memory, bytes) == TRPO_OK);
    return memory;
}

static inline int n_outputs(const trpo_settings *s)
{
    int A = 0;
    for (int d = 0; d < s->n_parts; d++) A += s->parts != NULL ? s->parts[d] : 1;
    return A;
}

/* The arrays of a row, each of its exact size. */
typedef struct row {
    trpo_real *obs, *act, *logp, *val;
    double *rew;
    uint8_t *term, *trunc, *skip, *mask;
    trpo_real *out;
} row;

static inline row row_of(const trpo_settings *s)
{
    const size_t E = (size_t)s->n_envs, O = (size_t)s->obs_size, D = (size_t)s->n_parts;
    const row r = {ROOM(trpo_real, E * O), ROOM(trpo_real, E * D), ROOM(trpo_real, E),
                   ROOM(trpo_real, E),     ROOM(double, E),        ROOM(uint8_t, E),
                   ROOM(uint8_t, E),       ROOM(uint8_t, E),
                   ROOM(uint8_t, E * (size_t)n_outputs(s)),
                   ROOM(trpo_real, E * (size_t)n_outputs(s))};
    memset(r.act, 0, E * D * sizeof *r.act);
    return r;
}

static inline void row_end(const row *r)
{
    free(r->obs), free(r->act), free(r->logp), free(r->val), free(r->rew);
    free(r->term), free(r->trunc), free(r->skip), free(r->mask), free(r->out);
}

static inline void row_fill(row *r, input *in, const trpo_settings *s)
{
    const int E = s->n_envs, A = n_outputs(s), wild = next_of(in, 8) == 0;
    for (int i = 0; i < E * s->obs_size; i++)
        r->obs[i] = (trpo_real)(wild ? next_double(in) : (next_byte(in) - 128) / 64.0);
    for (int e = 0; e < E; e++) {
        r->rew[e] = wild ? next_double(in) : (next_byte(in) - 128) / 16.0;
        const int flags = next_byte(in);
        r->term[e] = flags % 5 == 0;
        r->trunc[e] = flags % 7 == 0;
        r->skip[e] = flags % 6 == 0;
    }
    for (int i = 0; i < E * A; i++) r->mask[i] = next_byte(in) % 4 != 0;
}

/* A complete rollout, if the input's numbers are accepted, and its update. */
static inline void live(trpo_agent *agent, row *r, input *in, const trpo_settings *s)
{
    trpo_info info;
    for (int t = 0; t < s->n_steps; t++) {
        row_fill(r, in, s);
        if (trpo_act(agent, r->act, r->logp, r->val, r->obs, NULL) != TRPO_OK) break;
        if (trpo_push(agent, r->rew, r->term, r->trunc, r->obs, NULL) != TRPO_OK) break;
    }
    (void)trpo_update(agent, &info);
}

#endif
