/* Running statistics of observations and rewards.
 *
 * The normalisation is fixed within an iteration: it is applied as rows are recorded, and the rows
 * are merged after the policy step, so that the policy improved is the one that acted. A rollout's
 * moments are computed in two passes and merged by Chan et al. 1979:
 *
 *     mean = mean_a + (mean_b - mean_a) n_b / n
 *     m2   = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / n
 *
 * Rewards are divided by the running standard deviation of the discounted return R = gamma R + rew,
 * once R varies. When this scale changes, the critic's last layer is rescaled, so that predictions
 * in raw units are unchanged (van Hasselt et al. 2016, "Learning values across many orders of
 * magnitude"). */
#include "work.h"

#include <string.h>

static const double CLIP = 10, TINY = 1e-8;

static double clip(double x) { return x < -CLIP ? -CLIP : x > CLIP ? CLIP : x; }

void trpo_normalize_obs(const trpo_agent *w, real *obs, const real *raw, int N)
{
    const int O = w->set.obs_size;
    const double *mean = w->obs_stat.mean, *inverse = w->obs_inverse;
    if (!w->set.normalize_observations || *w->obs_stat.count == 0) {
        if (obs != raw) memcpy(obs, raw, (size_t)N * (size_t)O * sizeof *obs);
        return;
    }
    for (int n = 0; n < N; n++, obs += O, raw += O)
        for (int i = 0; i < O; i++)
            obs[i] = (real)clip(((double)raw[i] - mean[i]) * inverse[i]);
}

void trpo_scale_observations(trpo_agent *w)
{
    const trpo_moments *s = &w->obs_stat;
    for (int i = 0; *s->count > 0 && i < w->set.obs_size; i++)
        w->obs_inverse[i] = 1 / sqrt(s->m2[i] / *s->count + TINY);
}

double trpo_reward_scale(const trpo_agent *w)
{
    const trpo_moments *s = &w->rew_stat;
    const double variance = *s->count > 0 ? *s->m2 / *s->count : 0;
    return w->set.normalize_rewards && variance > TINY ? 1 / sqrt(variance + TINY) : 1;
}

/* Computes R after each step of the rollout, and scales the rewards. */
void trpo_scale_rewards(trpo_agent *w)
{
    const double scale = trpo_reward_scale(w);
    if (!w->set.normalize_rewards) return;
    for (int n = 0; n < w->t * w->set.n_envs; n++) {
        double *running = &w->rew_running[n % w->set.n_envs];
        if (w->skip[n]) continue;
        *running = w->set.gamma * *running + w->rew[n];
        w->rew_returns[n] = *running;
        if (w->done[n] || !isfinite(*running)) *running = 0;
        w->rew[n] = clip(w->rew[n] * scale);
    }
}

/* Merges one component's moments over the rollout into the running ones, unless they overflow. */
static void merge(double *mean, double *m2, double count, double batch_mean, double batch_m2,
                  double batch_count)
{
    const double delta = batch_mean - *mean, total = count + batch_count;
    const double new_m2 = *m2 + batch_m2 + delta * delta * count * batch_count / total;
    if (!isfinite(new_m2)) return;
    *mean += delta * batch_count / total;
    *m2 = new_m2;
}

static void merge_observations(trpo_agent *w)
{
    const int O = w->set.obs_size, N = w->N;
    for (int i = 0; i < O; i++) {
        double mean = 0, m2 = 0;
        for (int n = 0; n < N; n++) mean += (double)w->raw_obs[(ptrdiff_t)n * O + i];
        mean /= N;
        for (int n = 0; n < N; n++) {
            const double d = (double)w->raw_obs[(ptrdiff_t)n * O + i] - mean;
            m2 += d * d;
        }
        merge(&w->obs_stat.mean[i], &w->obs_stat.m2[i], *w->obs_stat.count, mean, m2, N);
    }
    *w->obs_stat.count += N;
    trpo_scale_observations(w);
}

static void rescale_critic(trpo_agent *w, double factor)
{
    const trpo_net *net = &w->critic.net;
    for (ptrdiff_t i = net->offset[net->L - 1]; i < net->offset[net->L]; i++)
        w->critic.theta[i] *= factor;
    trpo_net_pack(w->k, &w->critic.net, w->critic.theta);
}

static void merge_rewards(trpo_agent *w)
{
    const double before = trpo_reward_scale(w);
    double mean = 0, m2 = 0;
    for (int n = 0; n < w->N; n++) mean += w->rew_returns[n];
    mean /= w->N;
    for (int n = 0; n < w->N; n++) {
        const double d = w->rew_returns[n] - mean;
        m2 += d * d;
    }
    merge(w->rew_stat.mean, w->rew_stat.m2, *w->rew_stat.count, mean, m2, w->N);
    *w->rew_stat.count += w->N;
    rescale_critic(w, trpo_reward_scale(w) / before);
}

void trpo_merge_statistics(trpo_agent *w)
{
    if (w->set.normalize_observations) merge_observations(w);
    if (w->set.normalize_rewards) merge_rewards(w);
}
