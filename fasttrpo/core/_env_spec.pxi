# Environments' structs: lookup, validation, and values of options.


def names():
    """The names of the built-in environments."""
    found = []
    while trpo_env_builtin(len(found)) != NULL:
        found.append(trpo_env_builtin(len(found)).name.decode())
    return found


def elementary():
    """The addresses of trpo_math.h's functions, by name: of one double, pow of two."""
    return {
        "sin": <uintptr_t>&trpo_sin,
        "cos": <uintptr_t>&trpo_cos,
        "log": <uintptr_t>&trpo_log,
        "log1p": <uintptr_t>&trpo_log1p,
        "exp": <uintptr_t>&trpo_exp,
        "expm1": <uintptr_t>&trpo_expm1,
        "pow": <uintptr_t>&trpo_pow,
    }


cdef object _doubles(const double *x, int count):
    """A copy (count,) float64; None for NULL."""
    return None if x == NULL else np.array([x[i] for i in range(count)], np.float64)


cdef const trpo_env *_find_env(source) except NULL:
    """A built-in environment by name, or the one at a library's address, validated."""
    cdef const trpo_env *env
    if isinstance(source, str):
        env = trpo_env_named(source.encode())
        if env == NULL:
            raise UserError(unknown("compiled environment", source, names()))
    else:
        env = <const trpo_env *><uintptr_t>source.address
    _validate(env, str(source))
    return env


cdef _validate(const trpo_env *env, str source):
    """Raises ValueError, naming the field, if a struct is invalid."""
    if trpo_env_bad_field(env) == NULL:
        _check_option_names(env, source)
        return
    field = trpo_env_bad_field(env).decode()
    if field == "trpo_env":
        raise UserError(f"{source}: trpo_environment() returned NULL")
    if field == "version":
        raise UserError(
            f"{source} was built for version {env.version} of trpo_env.h, but this is version "
            f"{TRPO_ENV_VERSION}: compile it with this version's header"
        )
    if field == "struct_size":
        raise UserError(
            f"{source}: struct_size is {env.struct_size}, but this version's trpo_env has "
            f"{sizeof(trpo_env)} bytes: compile it with this version's header, and set struct_size "
            "to sizeof(trpo_env)"
        )
    raise UserError(f"{source}: {field} {_describe_problem(env, field)}; see trpo_env.h")


cdef _check_option_names(const trpo_env *env, str source):
    """Raises ValueError for a name that cannot be a keyword argument in Python."""
    seen = set()
    for i in range(env.n_options):
        name = bytes(env.options[i].name)
        try:
            text = name.decode()
        except UnicodeDecodeError:
            raise UserError(f"{source}: the option name {name!r} is not UTF-8") from None
        if text in seen:
            raise UserError(f"{source}: two options are named {text!r}")
        if text in RESERVED:
            raise UserError(f"{source}: the option name {text!r} is reserved by fasttrpo")
        seen.add(text)


cdef str _describe_problem(const trpo_env *env, str field):
    numbers = {"obs_size": env.obs_size, "n_actions": env.n_actions,
               "state_bytes": env.state_bytes, "max_episode_steps": env.max_episode_steps}
    if field == "save_bytes":
        return f"is {env.save_bytes}, which is out of range"
    if field in ("save", "load"):
        return "is incomplete: save_bytes, save and load are required together"
    if field in numbers:
        return f"is {numbers[field]}, which is out of range"
    if field in ("obs_low", "act_low"):
        return f"and {field[:3]}_high are invalid bounds: one is missing, low > high, or NaN"
    if field == "choices":
        return "has a number of choices that is out of range"
    if field == "mask":
        return "requires choices, but these actions are real numbers"
    if field == "options":
        return "are incomplete: n_options, options with names, and config are required together"
    return "is missing (NULL)"


def _number(name, value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"option {name} must be a number, got {value!r}") from None
    if not np.isfinite(number):
        raise UserError(f"option {name} must be finite, got {value!r}")
    return number
