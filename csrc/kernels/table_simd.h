/* The table of an instruction set: what its file has defined under these names (kernels.h). */
#define TRPOK_TABLE(name, wide)                                                                    \
    {name,          wide,          packed_size,         pack,                                      \
     dense_forward, dense_tangent, dense_adjoint_input, dense_adjoint_weight,                      \
     array_exp,     array_expm1,   array_tanh,          array_sin}
