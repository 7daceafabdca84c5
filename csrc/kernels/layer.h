/* Shared by the tiles of one pass over a dense layer (dense_simd.h, short_simd.h). */
#ifndef TRPOK_LAYER_H
#define TRPOK_LAYER_H

#include "kernels.h"

/* z = activation( act'(h) * ([x 1] V + tx W) ).   Strides: x, tx (K), z, h (M). */
typedef struct trpok_layer {
    real *z;        /* out (N x M)                                                  */
    const real *x;  /* (N x K)                                                      */
    const real *V;  /* packed; multiplies x                                         */
    const real *tx; /* (N x K), or NULL                                             */
    const real *W;  /* packed; multiplies tx                                        */
    const real *h;  /* (N x M) activations whose derivative scales z, or NULL       */
    int bias;       /* V and W are packed with a bias row, row K                    */
    int derivative; /* the activation that act' is the derivative of                */
    int activation; /* applied to z at the end                                      */
    int K, M;
} trpok_layer;

/* A layer of M <= SHORT_MOST outputs. */
void trpok_short_avx2(const trpok_layer *y, int N);
void trpok_short_neon(const trpok_layer *y, int N);

#endif
