/* The networks' inputs: s, the observation after normalisation, or F features of it. Both networks
 * have the same inputs. Features make a linear policy nonlinear in s.
 *
 *     fourier      phi_j = sin(P_j.s / nu + phase_j),  P_ji ~ N(0, 1),  phase_j ~ U[-pi, pi)
 *                  (Rajeswaran et al. 2017, "Towards generalization and simplicity in continuous
 *                  control", eq. 4; Rahimi and Recht 2007)
 *     rbf          phi_j = exp(-|s - c_j|^2 / (2 nu^2)),  c_j ~ N(0, I)
 *     polynomial   all monomials of degree 1 .. feature_degree, ordered by degree, then
 *                  lexicographically by the indices i_1 <= i_2 <= ... of their factors. For O = 2:
 *                  s_0, s_1, s_0^2, s_0 s_1, s_1^2. No constant, since layers have a bias
 *
 * nu is feature_bandwidth. Its default is sqrt(2 O), the root mean squared distance between two
 * observations with components of variance 1, for fourier; and half of that for rbf, so that phi_j
 * is about exp(-2) and varies. The first two are layers: with s_+ = [s 1],
 *
 *     fourier      phi_j = sin(s_+ W_j),                        W_j = (P_j / nu, phase_j)
 *     rbf          phi_j = exp(s_+ W_j - |s|^2 / (2 nu^2)),     W_j = (c_j, -|c_j|^2 / 2) / nu^2
 *
 * The random numbers are part of the saved state. Features of finite observations are finite.
 * Proved by tests/test_features.py. */
#include "work.h"

static const double PI = 3.14159265358979323846;
static const real LARGEST = (real)TRPOK_LARGEST;
/* Limits for sums that overflow: beyond them sine and exponential are constant. */
static const real SIN_LIMIT = (real)1e9, EXP_LIMIT = (real)-1e4;

/* x limited to [low, high]; NaN, e.g. infinity - infinity, gives `low` */
static real clamp(real x, real low, real high) { return x > low ? (x < high ? x : high) : low; }

static double bandwidth(const trpo_settings *s)
{
    const double distance = sqrt(2.0 * s->obs_size);
    if (s->feature_bandwidth > 0) return s->feature_bandwidth;
    return s->features == TRPO_FOURIER ? distance : distance / 2;
}

/* ---- random numbers -------------------------------------------------------------------------- */

static double *phases(const trpo_agent *w)
{
    return w->features + (ptrdiff_t)w->policy.net.size[0] * w->set.obs_size;
}

/* Feature j uses the random numbers of item j. */
void trpo_draw_features(trpo_agent *w)
{
    const int O = w->set.obs_size, F = w->policy.net.size[0];
    const trpo_rng normals = {w->set.seed, TRPO_STREAM_FEATURES, 0};
    const trpo_rng uniforms = {w->set.seed, TRPO_STREAM_FEATURES, 1};
    if (w->features == NULL) return;
    for (int j = 0; j < F; j++)
        trpo_normals(w->features + (ptrdiff_t)j * O, &normals, (uint32_t)j, O);
    for (int j = 0; j < F && w->set.features == TRPO_FOURIER; j++) {
        double *phase = phases(w) + j;
        trpo_uniforms(phase, &uniforms, (uint32_t)j, 1);
        *phase = PI * (2 * *phase - 1);
    }
}

void trpo_feature_column(real *W, const trpo_settings *set, int j, const double *drawn,
                         double phase)
{
    const int O = set->obs_size, F = set->n_features, fourier = set->features == TRPO_FOURIER;
    const double nu = bandwidth(set), scale = 1 / (fourier ? nu : nu * nu);
    for (int i = 0; i < O; i++) W[(ptrdiff_t)i * F + j] = (real)(drawn[i] * scale);
    W[(ptrdiff_t)O * F + j] = (real)(fourier ? phase : -0.5 * scale * trpok_dot(drawn, drawn, O));
}

void trpo_pack_features(trpo_agent *w)
{
    const int O = w->set.obs_size, F = w->policy.net.size[0];
    const int fourier = w->set.features == TRPO_FOURIER;
    if (w->features == NULL) return;
    for (int j = 0; j < F; j++)
        trpo_feature_column(w->features_unpacked, &w->set, j, w->features + (ptrdiff_t)j * O,
                            fourier ? phases(w)[j] : 0);
    w->k->pack(w->features_W, w->features_unpacked, O + 1, F);
}

/* ---- features of N rows: phi (N x F), s (N x O) ---------------------------------------------- */

static void fourier(const trpo_agent *w, real *phi, const real *s, int N)
{
    const int F = w->policy.net.size[0];
    w->k->dense_forward(phi, s, w->features_W, TRPO_IDENTITY, N, w->set.obs_size, F);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)N * F; i++) phi[i] = clamp(phi[i], -SIN_LIMIT, SIN_LIMIT);
    w->k->sin(phi, phi, (ptrdiff_t)N * F);
}

/* |s|^2 / (2 nu^2) */
static real half_square(const trpo_settings *set, const real *s)
{
    const double nu = bandwidth(set);
    double square = 0;
    for (int i = 0; i < set->obs_size; i++) square += (double)s[i] * (double)s[i];
    square /= 2 * nu * nu;
    return square < (double)LARGEST ? (real)square : LARGEST;
}

/* Where a layer's sum overflows, so does |s|^2 / (2 nu^2), which dominates. */
static void rbf(const trpo_agent *w, real *phi, const real *s, int N)
{
    const int O = w->set.obs_size, F = w->policy.net.size[0];
    w->k->dense_forward(phi, s, w->features_W, TRPO_IDENTITY, N, O, F);
    for (int n = 0; n < N; n++) {
        const real square = half_square(&w->set, s + (ptrdiff_t)n * O);
        real *row = phi + (ptrdiff_t)n * F;
        for (int j = 0; j < F; j++)
            row[j] = clamp(clamp(row[j], -LARGEST / 2, LARGEST / 2) - square, EXP_LIMIT, 0);
    }
    w->k->exp(phi, phi, (ptrdiff_t)N * F);
}

/* One row. The monomials of degree d with first index i are s_i times those of degree d - 1 with
 * first index >= i, which are the last ones of that degree. */
static void monomials(real *phi, const real *s, int degree, int O)
{
    real *to = phi;
    for (int i = 0; i < O; i++) *to++ = s[i];
    for (int d = 2; d <= degree; d++) {
        const real *end = to;
        for (int i = 0; i < O; i++) {
            const int count = trpo_n_monomials(O - i, d - 1) - trpo_n_monomials(O - i, d - 2);
            for (const real *from = end - count; from < end; from++)
                *to++ = clamp(s[i] * *from, -LARGEST, LARGEST);
        }
    }
}

static void make_features(const trpo_agent *w, real *phi, const real *s, int N)
{
    const int O = w->set.obs_size, F = w->policy.net.size[0];
    switch (w->set.features) {
    case TRPO_FOURIER: fourier(w, phi, s, N); break;
    case TRPO_RBF: rbf(w, phi, s, N); break;
    default:
        for (int n = 0; n < N; n++)
            monomials(phi + (ptrdiff_t)n * F, s + (ptrdiff_t)n * O, w->set.feature_degree, O);
        break;
    }
}

void trpo_make_inputs(const trpo_agent *w, trpo_scratch *scratch, real *inputs, const real *obs,
                      int N)
{
    const int plain = w->set.features == TRPO_NO_FEATURES;
    real *normal = plain ? inputs : scratch->obs;
    trpo_normalize_obs(w, normal, obs, N);
    if (!plain) make_features(w, inputs, normal, N);
}
