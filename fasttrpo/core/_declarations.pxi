# The C core's declarations: its public headers, and theory.h, where the agent is opaque too.

include "_env_declarations.pxi"


cdef extern from "../../csrc/include/trpo.h" nogil:
    ctypedef double trpo_real "trpo_real"

    int TRPO_OK, TRPO_ERR_ORDER, TRPO_ERR_FULL, TRPO_ERR_EMPTY, TRPO_ERR_OBS, TRPO_ERR_NEXT_OBS
    int TRPO_ERR_ENVIRONMENT

    ctypedef struct trpo_agent:
        pass

    ctypedef struct trpo_settings:
        const char *instruction_set
        double (*clock)() noexcept

    int TRPO_INT, TRPO_REAL, TRPO_FLAG, TRPO_WORD, TRPO_SIZES, TRPO_SEED

    ctypedef struct trpo_setting:
        const char *name
        const char *meaning
        const char *const *words
        int type
        size_t offset, count_offset
        double initial, low, high
        bint low_open, high_open

    ctypedef struct trpo_info:
        int n_samples, cg_steps, line_search_steps, rejected
        double surr_gain, surr_gain_predicted, surr_gain_tried
        double kl, kl_predicted, kl_tried, target_kl, cg_damping, entropy, std
        double grad_norm, step_norm, curvature, cg_residual
        double explained_variance, value_loss_before, value_loss
        double[5] seconds

    ctypedef struct trpo_executor:
        int n_workers

    ctypedef struct trpo_culprit:
        int step, env, component

    ctypedef struct trpo_episode:
        int row, env
        int64_t length
        double total

    void trpo_default_settings(trpo_settings *)
    const char *trpo_bad_setting(const trpo_settings *)
    const trpo_setting *trpo_setting_at(int)
    const trpo_setting *trpo_find_setting(const char *)
    const char *trpo_status_text(int)
    const char *trpo_instruction_set(const trpo_agent *)
    size_t trpo_bytes(const trpo_settings *, const trpo_executor *)
    int trpo_useful_workers(const trpo_settings *)
    int trpo_init(trpo_agent **, const trpo_settings *, const trpo_executor *, void *, size_t)
    int trpo_act(trpo_agent *, trpo_real *, trpo_real *, trpo_real *, const trpo_real *,
                 const uint8_t *)
    int trpo_record(trpo_agent *, trpo_real *, trpo_real *, const trpo_real *, const trpo_real *,
                    const uint8_t *)
    int trpo_push(trpo_agent *, const double *, const uint8_t *, const uint8_t *,
                  const trpo_real *, const uint8_t *)
    void trpo_discard(trpo_agent *)
    void trpo_restart(trpo_agent *)
    int trpo_recorded(const trpo_agent *)
    void trpo_get_culprit(const trpo_agent *, trpo_culprit *)
    int trpo_collect(trpo_agent *, trpo_envs *, int, int, trpo_env_failure *)
    int trpo_episodes(const trpo_agent *, trpo_episode *, int, int)
    int trpo_update(trpo_agent *, trpo_info *)
    const char *trpo_rejection_text(int)
    int trpo_set_target_kl(trpo_agent *, double)
    int trpo_set_learning_rate(trpo_agent *, double)
    int trpo_outputs(trpo_agent *, trpo_real *, const trpo_real *, const uint8_t *, int)
    int trpo_predict(trpo_agent *, trpo_real *, const trpo_real *, const uint8_t *, int, int)
    int trpo_value(trpo_agent *, trpo_real *, const trpo_real *, int)
    double *trpo_state_field(trpo_agent *, int, const char **, size_t *)
    int trpo_refresh(trpo_agent *)
    size_t trpo_save_bytes(const trpo_agent *)
    int trpo_save(const trpo_agent *, void *, size_t)
    int trpo_load(trpo_agent *, const void *, size_t)


cdef extern from "../../csrc/include/trpo_pool.h" nogil:
    ctypedef struct trpo_pool:
        pass

    int trpo_pool_cores()
    double trpo_pool_clock() noexcept
    trpo_pool *trpo_pool_new(int)
    trpo_executor trpo_pool_executor(trpo_pool *)
    int trpo_pool_threads(const trpo_pool *)
    void trpo_pool_free(trpo_pool *)


cdef extern from "../../csrc/core/theory.h" nogil:
    ctypedef struct trpo_system:
        void (*product)(void *, double *, const double *) noexcept
        void (*precondition)(void *, double *, const double *) noexcept
        void *ctx

    ctypedef struct trpo_solution:
        int steps
        double residual, curvature

    ctypedef struct trpo_trial:
        double surr, kl, entropy

    ctypedef struct trpo_rule:
        int acceptance
        double kl_limit, surr_old, shrink
        int max_trials
        double low, high
        Py_ssize_t bounded

    ctypedef struct trpo_search:
        int rejected, trials
        trpo_trial last

    ctypedef enum trpo_function:
        TRPO_EXP, TRPO_EXPM1, TRPO_TANH_OF, TRPO_SIN

    int trpo_load_batch(trpo_agent *, const trpo_real *, const trpo_real *, const double *,
                        const double *, const trpo_real *, const uint8_t *, int)
    void trpo_theory_prepare(trpo_agent *)
    void trpo_theory_refresh(trpo_agent *)
    int trpo_theory_inputs(const trpo_agent *)
    int trpo_theory_rows(const trpo_agent *)
    void trpo_theory_outputs(const trpo_agent *, trpo_real *)
    void trpo_theory_gradient(trpo_agent *, double *)
    void trpo_theory_product(trpo_agent *, double *, const double *)
    void trpo_theory_factorize(trpo_agent *)
    void trpo_theory_precondition(trpo_agent *, double *, const double *)
    double trpo_damping(const trpo_agent *)
    trpo_solution trpo_conjugate_gradient(double *, const double *, const trpo_system *, double *,
                                          double *, double *, double *, int, double, Py_ssize_t)
    trpo_solution trpo_theory_solve(trpo_agent *, double *)
    trpo_search trpo_line_search(double *, const double *, const double *, double,
                                 const trpo_rule *,
                                 trpo_trial (*)(void *, const double *) noexcept, void *,
                                 Py_ssize_t)
    trpo_trial trpo_evaluate(trpo_agent *, const double *)
    void trpo_theory_value_gradient(trpo_agent *, double *)
    void trpo_theory_value_product(trpo_agent *, double *, const double *)
    double trpo_theory_fit_value(trpo_agent *)
    int trpo_is_open(const trpo_agent *)
    const trpo_real *trpo_recorded_action(const trpo_agent *, int, int)
    const char *trpo_instruction_set_at(int)
    void trpo_apply(const char *, trpo_function, trpo_real *, const trpo_real *, Py_ssize_t)
    void trpo_gae(const char *, double *, double *, const double *, const trpo_real *,
                  const trpo_real *, const uint8_t *, const uint8_t *, double, double, int, int)

    ctypedef struct trpo_distribution_facts:
        const char *name
        int outputs, is_real, n_choices_of_3, has_log_std, takes_masks

    int trpo_distribution_at(int, trpo_distribution_facts *)
