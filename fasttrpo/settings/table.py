"""The core's settings, from csrc/include/trpo_settings.h by tests/make_settings.py."""

# fmt: off
from __future__ import annotations

from dataclasses import dataclass
from math import inf

from fasttrpo.settings.row import Row

ROWS = {row.name: row for row in (
    Row('obs_size', 'int', None, 1, 16777216, False, False,
        (),
        'O, the number of components of an observation; must be set'),
    Row('distribution', 'word', 'gaussian', 0, 2, False, False,
        ('gaussian', 'categorical', 'bernoulli'),
        'distribution of the actions'),
    Row('parts', 'sizes', None, 1, 16777216, False, False,
        (),
        'network outputs per action component: the number of choices if categorical, else 1'
        ' (NULL: 1 each); must be set'),
    Row('policy_hidden', 'sizes', (), 1, 16777216, False, False,
        (),
        "widths of the policy's hidden layers; none: linear"),
    Row('value_hidden', 'sizes', (), 1, 16777216, False, False,
        (),
        "widths of the value network's hidden layers; none: linear; unused by ridge"),
    Row('activation', 'word', 'tanh', 0, 2, False, False,
        ('identity', 'tanh', 'relu'),
        'activation of the hidden layers'),
    Row('ortho_init', 'flag', True, 0, 1, False, False,
        (),
        'initial weights of both networks: orthogonal with gain sqrt(2) in hidden layers, '
        "0.01 in the policy's last and 1 in the value network's, and biases 0; off: weights"
        ' and biases uniform within +-1 / sqrt(inputs of the layer), as torch.nn.Linear '
        'draws them; a ridge critic starts at 0 either way'),
    Row('log_std_init', 'real', 0.0, -20.0, 20.0, False, False,
        (),
        'initial log standard deviation of a Gaussian policy'),
    Row('log_std_min', 'real', -20.0, -20.0, 20.0, False, False,
        (),
        "lower bound of a Gaussian's log standard deviation, at most log_std_init"),
    Row('log_std_max', 'real', 20.0, -20.0, 20.0, False, False,
        (),
        "upper bound of a Gaussian's log standard deviation, at least log_std_init"),
    Row('features', 'word', 'none', 0, 3, False, False,
        ('none', 'fourier', 'rbf', 'polynomial'),
        'features of the observation that replace it as the input of both networks'),
    Row('n_features', 'int', 100, 1, 10000, False, False,
        (),
        'number of fourier or rbf features'),
    Row('feature_bandwidth', 'real', 0.0, 0.0, inf, False, True,
        (),
        'bandwidth nu of fourier and rbf features; 0: sqrt(2 O) for fourier and half of '
        'that for rbf, which suits observations of variance 1'),
    Row('feature_degree', 'int', 2, 1, 10000, False, False,
        (),
        'highest degree of the polynomial features, at most 10,000 monomials'),
    Row('n_steps', 'int', 2048, 1, 16777216, False, False,
        (),
        'steps per environment and iteration'),
    Row('n_envs', 'int', 1, 1, 16777216, False, False,
        (),
        'number of environments'),
    Row('gamma', 'real', 0.99, 0.0, 1.0, False, False,
        (),
        'discount per step'),
    Row('gae_lambda', 'real', 0.95, 0.0, 1.0, False, False,
        (),
        'lambda of generalised advantage estimation'),
    Row('normalize_advantage', 'flag', True, 0, 1, False, False,
        (),
        'scale the advantages to mean 0 and standard deviation 1'),
    Row('normalize_observations', 'flag', False, 0, 1, False, False,
        (),
        'scale observations by their running mean and variance, clipped to +-10; the '
        'statistics are saved with the model'),
    Row('normalize_rewards', 'flag', False, 0, 1, False, False,
        (),
        'scale rewards by the running standard deviation of the discounted return; the '
        'statistics are saved with the model'),
    Row('target_kl', 'real', 0.01, 0.0, inf, True, True,
        (),
        'size of the trust region: the mean over states of KL(old || new), summed over '
        'action dimensions, in nats'),
    Row('ent_coef', 'real', 0.0, 0.0, inf, False, True,
        (),
        'c: the surrogate is E[ratio A] + c times the mean entropy in nats'),
    Row('cg_damping', 'real', 0.1, 0.0, inf, False, True,
        (),
        "added to the diagonal of the Fisher matrix; K-FAC's estimated factors get at least"
        ' 1e-3'),
    Row('adaptive_damping', 'flag', False, 0, 1, False, False,
        (),
        'start from cg_damping, which must be above 0, then multiply it by 3/2 after an '
        'update that gained less than a quarter of the prediction, and by 2/3 after one '
        'that gained more than three quarters (Levenberg-Marquardt; Martens 2010)'),
    Row('cg_max_steps', 'int', 3, 1, 2147483647, False, False,
        (),
        'maximum number of conjugate gradient steps'),
    Row('cg_tolerance', 'real', 1e-05, 0.0, 1.0, False, True,
        (),
        'relative residual at which conjugate gradient stops'),
    Row('preconditioner', 'word', 'kfac', 0, 1, False, False,
        ('none', 'kfac'),
        'preconditioner of conjugate gradient'),
    Row('sub_sampling_factor', 'int', 1, 1, 2147483647, False, False,
        (),
        'k: the Fisher product uses every k-th row'),
    Row('line_search_shrinking_factor', 'real', 0.8, 0.0, 1.0, True, True,
        (),
        'factor between the lengths of consecutive line search trials'),
    Row('line_search_max_iter', 'int', 10, 1, 2147483647, False, False,
        (),
        'maximum number of line search trials'),
    Row('acceptance', 'word', 'improvement', 0, 2, False, False,
        ('improvement', 'kl', 'always'),
        'which line search trials are accepted: improvement: inside the trust region, and '
        'the surrogate grows; kl: inside the trust region; always: the full step without a '
        'search, which is the natural policy gradient; never one that is not finite'),
    Row('kl_direction', 'word', 'forward', 0, 1, False, False,
        ('forward', 'reverse'),
        'the KL that the line search measures: forward: KL(old || new); reverse: KL(new || '
        'old)'),
    Row('kl_slack', 'real', 1.0, 1.0, inf, False, True,
        (),
        'the line search accepts a KL up to kl_slack x target_kl'),
    Row('critic', 'word', 'kfac', 0, 3, False, False,
        ('gauss_newton', 'adam', 'ridge', 'kfac'),
        'how the value function is fitted'),
    Row('n_critic_updates', 'int', 1, 1, 2147483647, False, False,
        (),
        'epochs of adam or kfac, or steps of gauss_newton; unused by ridge'),
    Row('critic_damping', 'real', 0.01, 0.0, inf, True, True,
        (),
        "damping of the critic's systems; unused by adam"),
    Row('learning_rate', 'real', 0.001, 0.0, inf, True, True,
        (),
        'step size of adam'),
    Row('batch_size', 'int', 0, 0, 2147483647, False, False,
        (),
        'largest number of rows in a minibatch of adam or kfac; 0: 128 for adam; for kfac a'
        ' sixteenth of the rows, within 64 and 512, or all rows if the value function is '
        'linear'),
    Row('seed', 'seed', 0, 0, 9007199254740992, False, False,
        (),
        "seed of the agent's random numbers"),
)}


@dataclass(frozen=True)
class CoreSettings:
    """A value for each setting of the core; those without a default come first."""

    obs_size: int
    distribution: str
    parts: tuple[int, ...]
    policy_hidden: tuple[int, ...] = ()
    value_hidden: tuple[int, ...] = ()
    activation: str = 'tanh'
    ortho_init: bool = True
    log_std_init: float = 0.0
    log_std_min: float = -20.0
    log_std_max: float = 20.0
    features: str = 'none'
    n_features: int = 100
    feature_bandwidth: float = 0.0
    feature_degree: int = 2
    n_steps: int = 2048
    n_envs: int = 1
    gamma: float = 0.99
    gae_lambda: float = 0.95
    normalize_advantage: bool = True
    normalize_observations: bool = False
    normalize_rewards: bool = False
    target_kl: float = 0.01
    ent_coef: float = 0.0
    cg_damping: float = 0.1
    adaptive_damping: bool = False
    cg_max_steps: int = 3
    cg_tolerance: float = 1e-05
    preconditioner: str = 'kfac'
    sub_sampling_factor: int = 1
    line_search_shrinking_factor: float = 0.8
    line_search_max_iter: int = 10
    acceptance: str = 'improvement'
    kl_direction: str = 'forward'
    kl_slack: float = 1.0
    critic: str = 'kfac'
    n_critic_updates: int = 1
    critic_damping: float = 0.01
    learning_rate: float = 0.001
    batch_size: int = 0
    seed: int = 0
