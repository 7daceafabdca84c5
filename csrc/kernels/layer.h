/* What the tiles of one pass over a dense layer have in common (dense_simd.h, short_simd.h). */
#ifndef TRPOK_LAYER_H
#define TRPOK_LAYER_H

#include "kernels.h"

/* z = activation( act'(h) * ([x 1] V + tx W) ).   Strides: x, tx (K), z, h (M). */
typedef struct trpok_layer {
    real *z;        /* out (N x M)                                                  */
    const real *x;  /* (N x K)                                                      */
    const real *V;  /* packed, what x is multiplied by                              */
    const real *tx; /* (N x K), or NULL                                             */
    const real *W;  /* packed, what tx is multiplied by                             */
    const real *h;  /* (N x M) activations whose derivative scales z, or NULL       */
    int bias;       /* V has a bias row, its row K; W is packed with one likewise   */
    int derivative; /* of which activation                                          */
    int activation; /* applied to z at the end                                      */
    int K, M;
} trpok_layer;

/* A layer of M <= SHORT outputs. */
void trpok_short_avx2(const trpok_layer *y, int N);
void trpok_short_neon(const trpok_layer *y, int N);

#endif
