/* The settings of an agent, one row each; this is the only list of them.
 *
 *     TRPO_INT_SETTING  (name, default, range, meaning)   int name
 *     TRPO_REAL_SETTING (name, default, range, meaning)   double name, finite
 *     TRPO_FLAG_SETTING (name, default, meaning)          int name: 0 is off, all else on
 *     TRPO_WORD_SETTING (name, default, words, meaning)   int name: an enumerator of trpo.h; the
 *                                                         words name 0, 1, 2, ...
 *     TRPO_SIZES_SETTING(name, least, meaning)            int n_name, at least `least`;
 *                                                         const int *name, each >= 1; may be NULL
 *                                                         if there are none
 *     TRPO_SEED_SETTING (name, meaning)                   uint64_t name
 *
 * A range is CLOSED(low, high), OPEN(low, high) or HALF_OPEN(low, high), which excludes `high`.
 * Rules that involve several settings are in core/settings.c. Settings that the caller must set
 * have an illegal default.
 *
 * This file is included by trpo.h, which turns the rows into the fields of trpo_settings, and by
 * core/settings.c, which turns them into the table behind trpo_setting_at: hence no include guard.
 * After a change run `python -m tests.make_settings` in a built tree. It writes Python's copy,
 * fasttrpo/settings/table.py, and the reference, docs/settings.md. */

/* the spaces */
TRPO_INT_SETTING(obs_size, 0, CLOSED(1, TRPO_LARGEST_SIZE),
                 "O, the number of components of an observation; must be set")
TRPO_WORD_SETTING(distribution, TRPO_GAUSSIAN, (TRPO_DISTRIBUTION_WORDS),
                  "distribution of the actions")
TRPO_SIZES_SETTING(parts, 1,
                   "network outputs per action component: the number of choices if categorical, "
                   "else 1 (NULL: 1 each); must be set")

/* the networks */
TRPO_SIZES_SETTING(policy_hidden, 0, "widths of the policy's hidden layers; none: linear")
TRPO_SIZES_SETTING(value_hidden, 0,
                   "widths of the value network's hidden layers; none: linear; unused by ridge")
TRPO_WORD_SETTING(activation, TRPO_TANH, ("identity", "tanh", "relu"),
                  "activation of the hidden layers")
TRPO_FLAG_SETTING(ortho_init, 1,
                  "initial weights of both networks: orthogonal with gain sqrt(2) in hidden "
                  "layers, 0.01 in the policy's last and 1 in the value network's, and biases 0; "
                  "off: weights and biases uniform within +-1 / sqrt(inputs of the layer), as "
                  "torch.nn.Linear draws them; a ridge critic starts at 0 either way")
TRPO_REAL_SETTING(log_std_init, 0, CLOSED(-20, 20),
                  "initial log standard deviation of a Gaussian policy")
TRPO_REAL_SETTING(log_std_min, -20, CLOSED(-20, 20),
                  "lower bound of a Gaussian's log standard deviation, at most log_std_init")
TRPO_REAL_SETTING(log_std_max, 20, CLOSED(-20, 20),
                  "upper bound of a Gaussian's log standard deviation, at least log_std_init")

/* what both networks see of an observation, after normalisation: core/features.c */
TRPO_WORD_SETTING(features, TRPO_NO_FEATURES, ("none", "fourier", "rbf", "polynomial"),
                  "features of the observation that replace it as the input of both networks")
TRPO_INT_SETTING(n_features, 100, CLOSED(1, TRPO_MOST_FEATURES),
                 "number of fourier or rbf features")
TRPO_REAL_SETTING(feature_bandwidth, 0, HALF_OPEN(0, INFINITY),
                  "bandwidth nu of fourier and rbf features; 0: sqrt(2 O) for fourier and half of "
                  "that for rbf, which suits observations of variance 1")
TRPO_INT_SETTING(feature_degree, 2, CLOSED(1, TRPO_MOST_FEATURES),
                 "highest degree of the polynomial features, at most 10,000 monomials")

/* the rollout */
TRPO_INT_SETTING(n_steps, 2048, CLOSED(1, TRPO_LARGEST_SIZE),
                 "steps per environment and iteration")
TRPO_INT_SETTING(n_envs, 1, CLOSED(1, TRPO_LARGEST_SIZE), "number of environments")
TRPO_REAL_SETTING(gamma, 0.99, CLOSED(0, 1), "discount per step")
TRPO_REAL_SETTING(gae_lambda, 0.95, CLOSED(0, 1),
                  "lambda of generalised advantage estimation")
TRPO_FLAG_SETTING(normalize_advantage, 1,
                  "scale the advantages to mean 0 and standard deviation 1")
TRPO_FLAG_SETTING(normalize_observations, 0,
                  "scale observations by their running mean and variance, clipped to +-10; the "
                  "statistics are saved with the model")
TRPO_FLAG_SETTING(normalize_rewards, 0,
                  "scale rewards by the running standard deviation of the discounted return; "
                  "the statistics are saved with the model")

/* the policy step */
TRPO_REAL_SETTING(target_kl, 0.01, OPEN(0, INFINITY),
                  "size of the trust region: the mean over states of KL(old || new), summed over "
                  "action dimensions, in nats")
TRPO_REAL_SETTING(ent_coef, 0, HALF_OPEN(0, INFINITY),
                  "c: the surrogate is E[ratio A] + c times the mean entropy in nats")
TRPO_REAL_SETTING(cg_damping, 0.1, HALF_OPEN(0, INFINITY),
                  "added to the diagonal of the Fisher matrix; K-FAC's estimated factors get at "
                  "least 1e-3")
TRPO_FLAG_SETTING(adaptive_damping, 0,
                  "start from cg_damping, which must be above 0, then multiply it by 3/2 after an "
                  "update that gained less than a quarter of the prediction, and by 2/3 after one "
                  "that gained more than three quarters (Levenberg-Marquardt; Martens 2010)")
TRPO_INT_SETTING(cg_max_steps, 3, CLOSED(1, INT_MAX),
                 "maximum number of conjugate gradient steps")
TRPO_REAL_SETTING(cg_tolerance, 1e-5, HALF_OPEN(0, 1),
                  "relative residual at which conjugate gradient stops")
TRPO_WORD_SETTING(preconditioner, TRPO_KFAC, ("none", "kfac"),
                  "preconditioner of conjugate gradient")
TRPO_INT_SETTING(sub_sampling_factor, 1, CLOSED(1, INT_MAX),
                 "k: the Fisher product uses every k-th row")
TRPO_REAL_SETTING(line_search_shrinking_factor, 0.8, OPEN(0, 1),
                  "factor between the lengths of consecutive line search trials")
TRPO_INT_SETTING(line_search_max_iter, 10, CLOSED(1, INT_MAX),
                 "maximum number of line search trials")
TRPO_WORD_SETTING(acceptance, TRPO_ACCEPT_IMPROVEMENT, ("improvement", "kl", "always"),
                  "which line search trials are accepted: improvement: inside the trust region, "
                  "and the surrogate grows; kl: inside the trust region; always: the full step "
                  "without a search, which is the natural policy gradient; never one that is not "
                  "finite")
TRPO_WORD_SETTING(kl_direction, TRPO_FORWARD, ("forward", "reverse"),
                  "the KL that the line search measures: forward: KL(old || new); reverse: "
                  "KL(new || old)")
TRPO_REAL_SETTING(kl_slack, 1, HALF_OPEN(1, INFINITY),
                  "the line search accepts a KL up to kl_slack x target_kl")

/* the critic */
TRPO_WORD_SETTING(critic, TRPO_KFAC_STEPS, (TRPO_CRITIC_WORDS), "how the value function is fitted")
TRPO_INT_SETTING(n_critic_updates, 1, CLOSED(1, INT_MAX),
                 "epochs of adam or kfac, or steps of gauss_newton; unused by ridge")
TRPO_REAL_SETTING(critic_damping, 0.01, OPEN(0, INFINITY),
                  "damping of the critic's systems; unused by adam")
TRPO_REAL_SETTING(learning_rate, 1e-3, OPEN(0, INFINITY), "step size of adam")
TRPO_INT_SETTING(batch_size, 0, CLOSED(0, INT_MAX),
                 "largest number of rows in a minibatch of adam or kfac; 0: 128 for adam; for "
                 "kfac a sixteenth of the rows, within 64 and 512, or all rows if the value "
                 "function is linear")

/* randomness: a stream per agent, independent of the number of threads */
TRPO_SEED_SETTING(seed, "seed of the agent's random numbers")
