# The callback that MuJoCo's batch functions run on each simulation (mjfBatchFunc in mjbatch.h).

cdef extern from *:
    """
    typedef struct mjModel_ mjModel; /* with MuJoCo's tags, so that the types are compatible */
    typedef struct mjData_ mjData;

    /* Calls stage(m, d), one of MuJoCo's functions with only these two arguments. */
    static void trpo_run_stage(const mjModel *m, mjData *d, int sim, void *stage)
    {
        (void)sim;
        ((void (*)(const mjModel *, mjData *))stage)(m, d);
    }
    """
    void trpo_run_stage(const void *m, void *d, int sim, void *stage) nogil


# The address of `trpo_run_stage`, for `mjb_apply`; its `arg` is the address of the stage.
RUN_STAGE = <uintptr_t>&trpo_run_stage
