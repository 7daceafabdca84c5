/* Action masks: which choices a row allows.
 *
 * After every forward pass of the policy a forbidden choice's output is replaced by
 * TRPOK_FORBIDDEN, and an allowed one's is kept above it. The forbidden choice then has probability
 * exactly 0, before and after a step, so that nothing computed from the outputs needs to handle
 * masks: log-probabilities, KL and entropy are those of the allowed choices, and adjoint and Fisher
 * metric have no component along the replaced output, which no longer depends on theta.
 *
 * Masks are stored with the rollout's actions from the first row that has one; rows without a mask
 * allow all choices. Proved by tests/test_masks.py. */
#include "work.h"

#include <string.h>

/* 1 if a choice of the component is allowed. */
static int allows_a_choice(const uint8_t *mask, int K)
{
    for (int k = 0; k < K; k++)
        if (mask[k]) return 1;
    return 0;
}

/* Whether a component's mask (K) allows a choice, and its action, if given. */
static int is_valid_mask(const uint8_t *mask, const real *act, int K)
{
    return allows_a_choice(mask, K) && (act == NULL || mask[(int)*act]);
}

ptrdiff_t trpo_bad_mask(const trpo_model *m, const uint8_t *mask, const real *act, int N)
{
    if (!m->dist->takes_masks) return 0;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * m->D; i++) {
        const int K = m->parts[i % m->D];
        if (!is_valid_mask(mask, act != NULL ? act + i : NULL, K)) return i;
        mask += K;
    }
    return -1;
}

void trpo_start_masks(trpo_model *m, int first)
{
    if (!m->batch.has_masks) memset(m->batch.mask, 1, (size_t)first * (size_t)m->A);
    m->batch.has_masks = 1;
}

void trpo_store_masks(trpo_model *m, const uint8_t *mask, int first, int N)
{
    const size_t row = (size_t)m->A;
    uint8_t *stored = m->batch.mask + (size_t)first * row;
    if (first == 0) m->batch.has_masks = 0;
    if (mask != NULL) trpo_start_masks(m, first);
    if (mask != NULL)
        memcpy(stored, mask, (size_t)N * row);
    else if (m->batch.has_masks)
        memset(stored, 1, (size_t)N * row);
}

/* An allowed output that is NaN stays NaN, so that a step that overflows is rejected. */
static real mask_output(real out, int allowed)
{
    const real forbidden = (real)TRPOK_FORBIDDEN, least = forbidden / 2;
    if (!allowed) return forbidden;
    return out < least ? least : out;
}

void trpo_mask_outputs(const trpo_model *m, real *out, const uint8_t *mask, int N)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * m->A; i++) out[i] = mask_output(out[i], mask[i]);
}

void trpo_mask_rows(const trpo_model *m, real *out, int first, int N)
{
    if (m->batch.has_masks)
        trpo_mask_outputs(m, out, m->batch.mask + (ptrdiff_t)first * m->A, N);
}
