/* Kernels: arrays in, arrays out. They take no structs, and have no state or memory.
 *
 * Letters     N rows (samples), K inputs and M outputs of a layer, A network outputs of the policy,
 *             D action components, O observation size, P parameters, T steps, E environments.
 * Arguments   outputs, inputs, scratch, sizes. Arrays are row-major; nothing may alias.
 * Prefixes    dx is the adjoint d loss / d x, tx the tangent: the derivative of x along a
 *             direction.
 * Layers      z = [x 1] W, where the bias is the last row of W ((K+1) x M); W_t is its transpose
 *             without the bias, (M x K).
 * Order       sums over k and over rows are added in index order, for any vector width.
 */
#ifndef TRPOK_KERNELS_H
#define TRPOK_KERNELS_H

#include "../memory/strict.h" /* first */

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "../include/trpo.h"
#include "../memory/arena.h"

#if defined(_MSC_VER) && !defined(__clang__)
#pragma warning(disable : 4068) /* "unknown pragma": those that unroll loops */
#define TRPOK_RESTRICT __restrict
#elif defined(__cplusplus)
#define TRPOK_RESTRICT
#else
#define TRPOK_RESTRICT restrict
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The vectors that this compiler knows, besides portable C: TRPOK_X86, for which cpu.c looks for
 * AVX2 and AVX-512 at run time, or TRPOK_ARM (NEON). TRPO_NO_SIMD: none. Microsoft's compiler has
 * no functions for other instruction sets than the file's; clang-cl has. */
#if !defined(TRPO_NO_SIMD) && (defined(__GNUC__) || defined(__clang__))
#if defined(__x86_64__)
#define TRPOK_X86
#elif defined(__aarch64__)
#define TRPOK_ARM
#endif
#endif

typedef trpo_real real;

#ifdef TRPO_DOUBLE
#define TRPOK_EPSILON 2.220446049250313e-16
#define TRPOK_LARGEST 1.7976931348623157e308
#else
#define TRPOK_EPSILON 1.1920928955078125e-07
#define TRPOK_LARGEST 3.4028234663852886e38
#endif

/* ---- elementary functions: include/trpo_math.h, compiled once (math.c) ----------------------- */

real trpok_log(real x);
real trpok_log1p(real x);
double trpok_exp(double x);
double trpok_expm1(double x);
double trpok_pow(double x, double y);

/* Whether products are rounded before they are added to something: memory/strict.h asks for it, but
 * some compilers obey -ffp-contract=fast instead. */
int trpok_is_strict(void);

/* Two standard normals, sqrt(-2 ln u) cos(2 pi v) and sin, of u and v in (0, 1): Box and Muller. */
void trpok_normal_pair(double normal[2], double u, double v);

/* ---- the tables of functions compiled once per instruction set ------------------------------- */

/* The most outputs of a short layer, and the lanes that its sums are spread over (short_simd.h). */
enum { SHORT_MOST = 8, SHORT_LANES = 32 / sizeof(real) };

/* Kernels in double, on small matrices and on the steps of a rollout: wide_simd.h. */
typedef struct trpok_wide {
    /* out (R x C) = a (R x K) b (K x C) */
    void (*multiply)(double *out, const double *a, const double *b, int R, int K, int C);

    /* L L' = C + shift I, in place: reads the lower triangle of C (S x S) and writes L there and L'
     * above. A pivot <= 1e-14 times the largest diagonal entry is a direction without curvature:
     * its column of L is 0, with a zero on the diagonal, and solutions have no component there. */
    void (*cholesky)(double *C, double shift, int S);

    /* X (S x M) = (L L')^-1 X, L as cholesky left it */
    void (*cholesky_solve)(double *X, const double *L, int S, int M);

    /* Generalised advantage estimation (Schulman et al. 2016), backwards over T steps of E
     * environments, all (T x E):
     *     delta_t = rew_t + gamma next_t - val_t,   next_t = boot_t if the episode ends or t = T-1,
     *     adv_t   = delta_t + gamma lambda adv_{t+1} (0 if the episode ends),       else val_{t+1}
     *     ret_t   = adv_t + val_t
     * done (1: the episode ends here); boot: V(next_obs) where truncated or t = T-1, 0 where
     * terminated; skip (1: no step): adv = ret = 0. */
    void (*gae)(double *adv, double *ret, const double *rew, const real *val, const real *boot,
                const uint8_t *done, const uint8_t *skip, double gamma, double lambda, int T,
                int E);
} trpok_wide;

/* Matrices are packed in the order in which a table's passes read them, once per change of
 * parameters. h is a layer's activation, from whose value its derivative act' is computed (tanh
 * 1-h^2, relu [h > 0]); NULL: there is none. */
typedef struct trpok_table {
    const char *name;
    const trpok_wide *wide;

    /* numbers in a packed matrix (rows x M), PTRDIFF_MAX at most */
    ptrdiff_t (*packed_size)(int rows, int M);
    /* packed (rows x M, padded), W (rows x M) */
    void (*pack)(real *packed, const real *W, int rows, int M);

    /* z = activation([x 1] W)             z (N x M), x (N x K), W ((K+1) x M) packed */
    void (*dense_forward)(real *z, const real *x, const real *W, int activation, int N, int K,
                          int M);

    /* tz = act'(h) ([x 1] V + tx W)       tz, h (N x M), tx (N x K) or NULL, V, W as W above */
    void (*dense_tangent)(real *tz, const real *tx, const real *x, const real *h, const real *V,
                          const real *W, int activation, int N, int K, int M);

    /* dx = act'(h) (dz W')                dx, h (N x K), dz (N x M), W_t (M x K) packed */
    void (*dense_adjoint_input)(real *dx, const real *dz, const real *h, const real *W_t,
                                int activation, int N, int K, int M);

    /* dW += [x 1]' dz                     dW ((K+1) x M), x (N x K), dz (N x M); not packed */
    void (*dense_adjoint_weight)(real *dW, const real *x, const real *dz, int N, int K, int M);

    /* y (count) = function(x (count)), within 4 units in the last place (sin: of 1, and for |x| up
     * to SIN_MAX, see math_simd.h); y may be x */
    void (*exp)(real *y, const real *x, ptrdiff_t count);
    void (*expm1)(real *y, const real *x, ptrdiff_t count);
    void (*tanh)(real *y, const real *x, ptrdiff_t count);
    void (*sin)(real *y, const real *x, ptrdiff_t count);
} trpok_table;

const trpok_table *trpok_baseline(void); /* portable C, any machine */
/* The others are NULL on platforms where they cannot be compiled. */
const trpok_table *trpok_avx2(void);     /* AVX2 and FMA */
const trpok_table *trpok_avx512(void);   /* AVX-512 F and DQ; its wide table is AVX2's */
const trpok_table *trpok_neon(void);     /* 64-bit Arm */
extern const trpok_wide trpok_wide_baseline, trpok_wide_avx2, trpok_wide_neon;

/* What the processor and the operating system support: AVX2 and FMA; AVX-512 F and DQ besides. */
typedef struct trpok_cpu {
    int avx2, avx512;
} trpok_cpu;
trpok_cpu trpok_find_cpu(void);

/* Table i of those that this machine supports, best first; NULL after the last. */
const trpok_table *trpok_runnable(int i);
/* A table by name, or the best for NULL. NULL if unknown, or not supported by this machine. */
const trpok_table *trpok_named(const char *name);

/* ---- action distributions: a table of functions ---------------------------------------------- */

/* A forbidden choice's output (core/masks.c): -2^100, which float and double both represent. It is
 * far below any allowed choice's output, so that exp(output - the largest) is exactly 0, and far
 * enough from overflow that differences of outputs are finite. */
#define TRPOK_FORBIDDEN (-1267650600228229401496703205376.0)

/* An action distribution: all that the core knows of it.
 * out (N x A) network outputs, act (N x D), log_std (A; NULL if there is none), parts (D),
 * work (3 x N x A) scratch; k: provides exp and expm1.
 * A log_std is state-independent, one per output, and inside the trust region. It scales the noise,
 * and is uncorrelated with the outputs: their mixed Fisher block is 0. */
typedef struct trpok_dist {
    const char *name;
    int outputs;       /* network outputs per component; 0: one per choice */
    int takes_masks;   /* outputs are choices, which masks can forbid: see TRPOK_FORBIDDEN */
    int normal_noise;  /* noise per row: A standard normals; else D uniforms */
    double log_std_curvature; /* log_std's Fisher matrix is this times I; 0: there is no log_std */

    /* number of choices of a component with `outputs` outputs; NULL: actions are real numbers */
    int (*n_choices)(int outputs);

    /* act ~ pi(.|out), from noise (N x A normals or N x D uniforms) */
    void (*sample)(const trpok_table *k, real *act, const real *out, const double *log_std,
                   const double *noise, real *work, const int *parts, int N, int A, int D);
    /* the first of D components that is not a valid action, or -1 */
    int (*illegal)(const real *act, const int *parts, int D);
    /* the most likely action */
    void (*mode)(real *act, const real *out, const double *log_std, const int *parts, int N, int A,
                 int D);
    /* logp (N) = log pi(act|out) */
    void (*logp)(const trpok_table *k, real *logp, const real *out, const double *log_std,
                 const real *act, real *work, const int *parts, int N, int A, int D);
    /* dout (N x A) = w d logp / d out;  dlog_std (A) += sum_n w d logp / d log_std, or NULL */
    void (*adjoint)(const trpok_table *k, real *dout, real *dlog_std, const real *out,
                    const double *log_std, const real *act, const real *w, real *work,
                    const int *parts, int N, int A, int D);
    /* dout = (Fisher matrix of the outputs) tout; dout may be tout */
    void (*metric)(const trpok_table *k, real *dout, const real *tout, const real *out,
                   const double *log_std, real *work, const int *parts, int N, int A, int D);
    /* kl (N) = KL(old || new), exact */
    void (*kl)(const trpok_table *k, real *kl, const real *out_old, const real *out_new,
               const double *log_std_old, const double *log_std_new, real *work, const int *parts,
               int N, int A, int D);
    /* entropy (N), nats */
    void (*entropy)(const trpok_table *k, real *entropy, const real *out, const double *log_std,
                    real *work, const int *parts, int N, int A, int D);
    /* dout (N x A) += c d entropy / d out;  dlog_std (A) += c N d entropy / d log_std, or NULL */
    void (*entropy_adjoint)(const trpok_table *k, real *dout, real *dlog_std, real c,
                            const real *out, const double *log_std, real *work, const int *parts,
                            int N, int A, int D);
    /* NULL, or: m (A) = the metric's diagonal, where it is diagonal and the same in every state */
    void (*constant_metric)(double *m, const double *log_std, int A);
} trpok_dist;

/* The table, in the order of trpo_distribution (trpo.h). Each entry has its own file, which defines
 * trpok_<name>; no other code depends on a particular distribution. */
#define TRPOK_DISTRIBUTIONS(ENTRY) ENTRY(gaussian) ENTRY(categorical) ENTRY(bernoulli)

#define TRPOK_DECLARE(name) extern const trpok_dist trpok_##name;
TRPOK_DISTRIBUTIONS(TRPOK_DECLARE)
#undef TRPOK_DECLARE

const trpok_dist *trpok_distribution(int distribution); /* trpo_distribution; NULL if unknown */

/* ---- rows ------------------------------------------------------------------------------------ */

/* phi (N x 2 O) = [x, x*x]: the linear baseline of Duan et al. 2016, without its time features. */
void trpok_quadratic_features(real *phi, const real *x, int N, int O);

/* ---- vectors, double ------------------------------------------------------------------------- */

double trpok_dot(const double *x, const double *y, ptrdiff_t count);
void trpok_axpy(double *y, double a, const double *x, ptrdiff_t count);        /* y += a x    */
int trpok_finite(const double *x, ptrdiff_t count);                            /* 1: all are  */
void trpok_to_real(real *y, const double *x, ptrdiff_t count);
void trpok_transpose(real *y, const real *x, int rows, int columns);

/* x (S) = (L L')^-1 x, L as trpok_wide's cholesky left it */
void trpok_solve_vector(double *x, const double *L, int S);

#ifdef __cplusplus
}
#endif
#endif
