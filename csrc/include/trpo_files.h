/* Saving and loading agents, and acting with a saved policy. trpo.h includes this file.
 *
 * Saved bytes are the contents of a .bin file, format 3: docs/file-format.md. They are the same on
 * every machine, in both precisions, and in C and Python: TRPO.load("model.bin") reads them and
 * model.save("model.bin") writes them. They consist of sections:
 *
 *     policy         what acting needs: spaces, network, normaliser, features, random stream
 *     training       what resuming needs besides: critic, optimiser, statistics of rewards
 *     environments   the bytes of trpo_envs_save, if the host adds them (trpo_add_section)
 *     others         whatever the host adds under other names; readers skip them
 *
 * Bytes are not trusted: for any bytes, loading succeeds or returns a status and changes nothing.
 * A checksum detects only damage, so that loading also checks that each value is possible. */
#ifndef TRPO_FILES_H
#define TRPO_FILES_H

#include "trpo.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- agents ---------------------------------------------------------------------------------- */

/* A saved agent holds all that is needed to act and to resume training bit for bit: parameters,
 * critic, normalisers, random streams, drawn features, settings; not the rollout in progress.
 * trpo_save_bytes returns the number of bytes, which changes only if trpo_load, trpo_set_bounds or
 * writes to the state's fields (Adam's moments) change what is there to save. */
size_t trpo_save_bytes(const trpo_agent *agent);
/* TRPO_ERR_MEMORY; TRPO_ERR_MODEL, writing nothing: training diverged to invalid values. */
int trpo_save(const trpo_agent *agent, void *buffer, size_t bytes);
/* The same without the section `training`: enough for trpo_load_policy and trpo_policy_init. */
size_t trpo_save_policy_bytes(const trpo_agent *agent);
int trpo_save_policy(const trpo_agent *agent, void *buffer, size_t bytes);

/* Reads the settings of saved bytes, to make an agent that can load them; change what you like,
 * for example n_envs. `sizes` receives the arrays parts, policy_hidden and value_hidden, to which
 * the settings then point; it has room for `room` ints, of which bytes / 4 always suffice. Settings
 * that the bytes lack, such as those of training in a policy alone, have their defaults.
 * TRPO_ERR_FOREIGN, _NEWER, _MODEL; TRPO_ERR_SECTION: format 2, whose bytes have no settings;
 * TRPO_ERR_MEMORY: no room. Then *settings is unchanged. */
int trpo_peek(const void *saved, size_t bytes, trpo_settings *settings, int *sizes, size_t room);

/* Loads everything, and discards the rollout in progress. The agent's settings stay as they are:
 * only those that define the arrays must be the saved ones. With another n_envs, the discounted
 * returns of normalize_rewards start at 0. The bytes of earlier versions, format 2, load too.
 * On failure nothing changes. TRPO_ERR_FOREIGN, _NEWER, _MODEL; TRPO_ERR_OTHER: another model's;
 * TRPO_ERR_SECTION: the bytes hold only a policy. trpo_bad_saved names the culprit. */
int trpo_load(trpo_agent *agent, const void *saved, size_t bytes);

/* Loads the policy with its normaliser and features, from bytes with or without `training`.
 * Critic, optimiser and random streams stay the agent's own; the rollout in progress is discarded.
 * Statuses as for trpo_load; TRPO_ERR_SECTION: format 2. */
int trpo_load_policy(trpo_agent *agent, const void *saved, size_t bytes);

/* Names what keeps trpo_load from loading these bytes of format 3: a setting, a field, a section,
 * "magic", "format", "size" or "sections"; NULL if they load. */
const char *trpo_bad_saved(const trpo_agent *agent, const void *saved, size_t bytes);

/* Accesses the state by field, i = 0, 1, ... until NULL. After writing through the pointer call
 * trpo_refresh, which updates what depends on the state, clamps log_std to its bounds, and
 * discards the rollout in progress. It returns TRPO_ERR_MODEL for values that trpo_load would
 * reject: they are kept and are memory-safe, but results are meaningless. */
double *trpo_state_field(trpo_agent *agent, int i, const char **name, size_t *count);
int trpo_refresh(trpo_agent *agent);

/* What is done with a Gaussian action before the environment gets it. */
typedef enum trpo_to_env {
    TRPO_CLIP = 1,            /* it is clipped to the bounds                                   */
    TRPO_SCALE_TO_BOUNDS = 2  /* before that, -1 and 1 are mapped to the bounds, linearly      */
} trpo_to_env;

/* Describes the environment's actions in saved bytes, for trpo_policy_to_env and other readers: the
 * bounds low, high (D), which may be infinite (if all are, there are none), and a sum of
 * trpo_to_env. Loading replaces them. The agent itself neither clips nor scales.
 * TRPO_ERR_SPACES: not a Gaussian policy, low > high, or an infinite bound to scale to; nothing has
 * changed. */
int trpo_set_bounds(trpo_agent *agent, const double *low, const double *high, int to_env);

/* ---- sections of the host -------------------------------------------------------------------- */

/* Returns what a section of `count` bytes adds to saved bytes; 0 if that is impossible. */
size_t trpo_section_bytes(size_t count);

/* Appends a section of `count` bytes of data to the *bytes saved ones, in a buffer with `room`, and
 * adds its size to *bytes. The name has 1 to 16 characters. Environments, to go on with:
 *
 *     trpo_envs_save(envs, data, count);
 *     trpo_add_section(buffer, &bytes, room, "environments", data, count);
 *
 * TRPO_ERR_SECTION: an invalid name, one that is there already, or more than 64 sections;
 * TRPO_ERR_MEMORY: no room; or as trpo_peek. Then nothing has changed. */
int trpo_add_section(void *saved, size_t *bytes, size_t room, const char *name, const void *data,
                     size_t count);

/* Appends the sections of other saved bytes that are neither the agent's nor there already, as they
 * are: when a model is loaded, trained and saved again, those of the host or of Python, which has
 * there its spaces and counts at the time, and settings, which the agent's override. *bytes + count
 * is always enough room. Add your own "environments" first, or their old state is copied.
 * TRPO_ERR_MEMORY; TRPO_ERR_SECTION: more than 64 sections; or as trpo_peek, for either. Then
 * nothing has changed. */
int trpo_copy_sections(void *saved, size_t *bytes, size_t room, const void *from, size_t count);

/* Returns the data of a section that trpo_add_section wrote, at any alignment, and its size; NULL
 * if there is none, or the bytes are damaged. */
const void *trpo_find_section(const void *saved, size_t bytes, const char *name, size_t *count);

/* ---- acting without an agent ----------------------------------------------------------------- */

/* A policy that acts and does nothing else: no rollout, no critic, no solver. It needs less than
 * twice the memory of its weights, or some 4 KB for a small network. Its outputs, modes and
 * samples have the bits of trpo_outputs and trpo_predict of the agent that was saved, including
 * which random numbers come next. */
typedef struct trpo_policy trpo_policy;

/* Returns the bytes that the policy of saved bytes needs; 0 if they are damaged or hold no policy:
 * trpo_policy_init says which. instruction_set: as in trpo_settings; NULL: the best. */
size_t trpo_policy_bytes(const void *saved, size_t bytes, const char *instruction_set);

/* Creates the policy in `mem` (any alignment, room bytes), which must not move and may be freed at
 * any time. The saved bytes are not needed afterwards. TRPO_ERR_MEMORY; TRPO_ERR_SETTING: no such
 * instruction set; TRPO_ERR_BUILD; statuses of trpo_peek. */
int trpo_policy_init(trpo_policy **policy, const void *saved, size_t bytes,
                     const char *instruction_set, void *mem, size_t room);

/* As trpo_predict: act (N x D) out; obs (N x O); mask (N x A) or NULL.
 * TRPO_ERR_OBS, TRPO_ERR_MASK: trpo_policy_culprit locates it. */
int trpo_policy_act(trpo_policy *policy, trpo_real *act, const trpo_real *obs, const uint8_t *mask,
                    int deterministic, int N);

/* As trpo_outputs: out (N x A) out; obs (N x O); mask (N x A) or NULL. */
int trpo_policy_outputs(trpo_policy *policy, trpo_real *out, const trpo_real *obs,
                        const uint8_t *mask, int N);

/* Scales and clips actions (N x D) as the environment expects them, in place: see trpo_set_bounds.
 * Does nothing if the saved bytes have no bounds. */
void trpo_policy_to_env(const trpo_policy *policy, trpo_real *act, int N);

/* Restarts the random stream of samples with another seed. */
void trpo_policy_seed(trpo_policy *policy, uint64_t seed);

/* Returns the settings in the saved bytes, with sizes and distribution; as long as the policy. */
const trpo_settings *trpo_policy_settings(const trpo_policy *policy);
void trpo_policy_culprit(const trpo_policy *policy, trpo_culprit *culprit);

#ifdef __cplusplus
}
#endif
#endif
