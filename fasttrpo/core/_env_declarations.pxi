# The declarations of environments in C: trpo_env.h and trpo_math.h.

cdef extern from "../../csrc/include/trpo_math.h" nogil:
    double trpo_sin(double x)
    double trpo_cos(double x)
    double trpo_log(double x)
    double trpo_log1p(double x)
    double trpo_exp(double x)
    double trpo_expm1(double x)
    double trpo_pow(double x, double y)

cdef extern from "../../csrc/include/trpo_env.h" nogil:
    int TRPO_ENV_VERSION
    int TRPO_ENV_OK, TRPO_ENV_ERR_FAILED, TRPO_ENV_ERR_OBS, TRPO_ENV_ERR_REW, TRPO_ENV_ERR_ACT
    int TRPO_ENV_ERR_ORDER, TRPO_ENV_ERR_NONE, TRPO_ENV_ERR_MASK, TRPO_ENV_ERR_OPEN

    ctypedef struct trpo_envs:
        pass
    ctypedef struct trpo_env_random:
        uint64_t seed, count
        uint32_t env
    ctypedef struct trpo_env_option:
        const char *name
        int of_reset
    ctypedef struct trpo_env:
        int version, struct_size
        const char *name
        size_t state_bytes
        int obs_size
        const double *obs_low
        const double *obs_high
        int n_actions
        const int *choices
        const double *act_low
        const double *act_high
        int max_episode_steps
        double reward_threshold
        const void *config
        int n_options
        const trpo_env_option *options
        void *observe
        void *close
        void *mask
        void *open
        size_t save_bytes
    ctypedef struct trpo_env_failure:
        int env
        int64_t step
        int code, component, status
    ctypedef struct trpo_env_outcome:
        double *obs
        double *final_obs
        double *rew
        uint8_t *term
        uint8_t *trunc
        double *episode_return
        int64_t *episode_length
        uint8_t *mask

    const char *trpo_env_bad_field(const trpo_env *)
    const char *trpo_env_status_text(int)
    const trpo_env *trpo_env_named(const char *)
    const trpo_env *trpo_env_builtin(int)
    size_t trpo_envs_bytes(const trpo_env *, int)
    int trpo_envs_init(trpo_envs **, const trpo_env *, int, uint64_t, void *, size_t)
    void trpo_envs_close(trpo_envs *)
    void trpo_envs_seed(trpo_envs *, uint64_t)
    trpo_env_random *trpo_envs_random(trpo_envs *, int)
    int trpo_envs_reset(trpo_envs *, const uint8_t *, trpo_env_failure *)
    int trpo_envs_step(trpo_envs *, const double *, int, int, int, trpo_env_failure *)
    trpo_env_outcome trpo_envs_outcome(trpo_envs *)
    size_t trpo_envs_save_bytes(const trpo_envs *)
    int trpo_envs_save(const trpo_envs *, void *, size_t)
    int trpo_envs_load(trpo_envs *, const void *, size_t)
    void trpo_envs_get_failure(const trpo_envs *, trpo_env_failure *)
    void *trpo_envs_state(trpo_envs *, int)
    int trpo_envs_observe(trpo_envs *, int, trpo_env_failure *)
