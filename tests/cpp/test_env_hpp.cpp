/* trpo_env.hpp and trpo.hpp: what a class's functions do and throw reaches the library, and the
 * library's calls reach the class. */
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "../../csrc/include/trpo.hpp"

static int failures;

#define CHECK(...)                                                                                 \
    ((__VA_ARGS__) ? (void)0                                                                       \
                   : (void)(failures++, std::printf("line %d: %s\n", __LINE__, #__VA_ARGS__)))

/* Numbers only, real actions, random numbers in steps, options. Throws where the action says so. */
struct Plain {
    static constexpr const char *name = "Plain";
    static constexpr int obs_size = 2, n_actions = 1, n_options = 2;
    static constexpr int max_episode_steps = 50;
    static double obs_low(int i) { return -100 - i; }
    static double obs_high(int i) { return 100 + i; }
    static double act_low(int) { return -9; }
    static double act_high(int) { return 9; }
    static trpo::option option(int i)
    {
        static const trpo::option all[] = {{"start", 5, true}, {"size", 2, false}};
        return all[i];
    }

    void set_options(const double *values) { start = values[0], size = values[1]; }
    int reset(trpo::random &random)
    {
        place = start + random.uniform(0, 1);
        return 0;
    }
    trpo::result step(const double *act, trpo::random &random)
    {
        if (act[0] == 1) throw std::runtime_error("no fuel");
        if (act[0] == 2) throw 3;
        if (act[0] == 3) return {0, 0, 77};
        if (act[0] == 4) return {1, true};
        if (act[0] == 5) return {1, trpo::truncated};
        if (act[0] == 6) throw std::runtime_error(std::string(500, 'x'));
        place += random.normal(0, 0.1);
        return act[0];
    }
    void observe(double *obs) const { obs[0] = place, obs[1] = size; }

    double place, start, size;
};

/* Memory of its own, choices, masks, close, and save. Sizes are functions. Counts its objects. */
struct Owner {
    static const char *name() { return "Owner"; }
    static int obs_size() noexcept { return 1; }
    static int n_actions() { return 2; }
    static int choices(int d) { return 2 + d; }
    static constexpr double reward_threshold = 7;
    static constexpr std::size_t save_bytes = 8;
    static int objects, closed, refused;

    Owner()
    {
        if (refused-- > 0) throw std::bad_alloc();
        objects++;
    }
    Owner(const Owner &) = delete;
    ~Owner() { objects--; }
    void close() { closed++; }

    void reset() { path.assign("s"); }
    trpo::result step(const double *act)
    {
        path += act[1] > 0 ? "rr" : "l";
        return static_cast<double>(path.size());
    }
    void observe(double *obs) const { obs[0] = static_cast<double>(path.size()); }
    void mask(uint8_t *allowed) const
    {
        allowed[0] = 1;
        std::memset(allowed + 2, 1, path.size() % 2 ? 3 : 2);
    }
    int save(void *bytes) const
    {
        std::strncpy(static_cast<char *>(bytes), path.c_str(), save_bytes);
        return path.size() > save_bytes ? 5 : 0;
    }
    void load(const void *bytes)
    {
        const char *text = static_cast<const char *>(bytes);
        path.assign(text, strnlen_(text));
    }
    static std::size_t strnlen_(const char *text)
    {
        std::size_t n = 0;
        while (n < save_bytes && text[n]) n++;
        return n;
    }

    std::string path;
};
int Owner::objects, Owner::closed, Owner::refused;

static void test_the_struct()
{
    const trpo_env *plain = trpo::environment<Plain>(), *owner = trpo::environment<Owner>();
    CHECK(plain == trpo::environment<Plain>());
    CHECK(trpo_env_bad_field(plain) == nullptr && trpo_env_bad_field(owner) == nullptr);
    CHECK(plain->obs_low[1] == -101 && plain->obs_high[1] == 101 && plain->act_high[0] == 9);
    CHECK(plain->choices == nullptr && plain->mask == nullptr && plain->close == nullptr);
    CHECK(plain->n_options == 2 && std::strcmp(plain->options[1].name, "size") == 0);
    CHECK(plain->options[0].of_reset == 1 && plain->options[1].of_reset == 0);
    CHECK(plain->max_episode_steps == 50 && plain->reward_threshold != plain->reward_threshold);
    CHECK(owner->n_actions == 2 && owner->choices[1] == 3 && owner->act_low == nullptr);
    CHECK(owner->mask != nullptr && owner->close != nullptr && owner->reward_threshold == 7);
    CHECK(owner->max_episode_steps == 0 && owner->obs_low == nullptr && owner->config == nullptr);
}

/* Steps environment 1 by an action, and the others by 0; returns the failure's code. */
static int code_of(trpo::environments &envs, double action, trpo_env_failure *failure)
{
    const double act[] = {0, action, 0};
    *failure = trpo_env_failure();
    for (int e = 0; e < 3; e++) {
        trpo_env_failure own = trpo_env_failure();
        if (trpo_envs_step(envs.get(), act, TRPO_ENV_DISABLED, e, 1, &own) < 0) *failure = own;
    }
    return failure->code;
}

static void test_exceptions_become_codes()
{
    trpo::environments envs = trpo::environments::of<Plain>(3, 1);
    trpo_env_failure failure;
    const trpo_env_outcome out = trpo_envs_outcome(envs.get());
    CHECK(out.obs[0] >= 5 && out.obs[0] < 6 && out.obs[1] == 2);
    CHECK(code_of(envs, 1, &failure) == trpo::threw && failure.env == 1 && failure.step == 1);
    CHECK(std::strcmp(trpo::error_text<Plain>(envs.get(), 1), "no fuel") == 0);
    CHECK(std::strcmp(trpo::error_text<Plain>(envs.get(), 0), "") == 0);
    CHECK(envs.describe(failure).find("environment 1, step 1") != std::string::npos);
    CHECK(envs.describe(failure).find("no fuel") != std::string::npos);
    CHECK(out.episode_length[0] == 1 && out.episode_length[2] == 1);
    envs.reset();
    CHECK(std::strcmp(trpo::error_text<Plain>(envs.get(), 1), "") == 0);
    CHECK(code_of(envs, 2, &failure) == trpo::threw);
    CHECK(std::strstr(trpo::error_text<Plain>(envs.get(), 1), "not a std::exception") != nullptr);
    envs.reset();
    CHECK(code_of(envs, 3, &failure) == 77);
    envs.reset();
    CHECK(code_of(envs, 6, &failure) == trpo::threw);
    CHECK(std::string(trpo::error_text<Plain>(envs.get(), 1)) == std::string(123, 'x'));
    envs.reset();
    CHECK(code_of(envs, 4, &failure) == 0 && out.term[1] == 1 && out.trunc[1] == 0);
    envs.reset();
    CHECK(code_of(envs, 5, &failure) == 0 && out.term[1] == 0 && out.trunc[1] == 1);
    CHECK(out.term[0] == 0 && out.trunc[0] == 0);
}

static void test_states_are_read_and_set()
{
    trpo::environments envs(trpo::environment<Plain>(), 2);
    trpo::simulator<Plain>(envs.get(), 1).place = 42;
    CHECK(trpo_envs_observe(envs.get(), 1, nullptr) == TRPO_ENV_OK);
    CHECK(trpo_envs_outcome(envs.get()).obs[2] == 42);
}

static std::vector<char> saved(const trpo::environments &envs)
{
    std::vector<char> bytes(trpo_envs_save_bytes(envs.get()));
    CHECK(trpo_envs_save(envs.get(), bytes.data(), bytes.size()) == TRPO_ENV_OK);
    return bytes;
}

/* Both kinds of state: bytes, and what `save` writes. */
template <class Simulator> static void test_saving()
{
    trpo::environments first = trpo::environments::of<Simulator>(2, 1);
    trpo::environments second = trpo::environments::of<Simulator>(2, 2);
    const double act[] = {0, 0, 0, 0};
    for (int i = 0; i < 3; i++)
        CHECK(trpo_envs_step(first.get(), act, TRPO_ENV_SAME_STEP, 0, 2, nullptr) == TRPO_ENV_OK);
    const std::vector<char> bytes = saved(first);
    CHECK(trpo_envs_load(second.get(), bytes.data(), bytes.size()) == TRPO_ENV_OK);
    CHECK(saved(second) == bytes);
    for (trpo::environments *each : {&first, &second})
        CHECK(trpo_envs_step(each->get(), act, TRPO_ENV_SAME_STEP, 0, 2, nullptr) == TRPO_ENV_OK);
    CHECK(saved(first) == saved(second) && saved(first) != bytes);
}

static void test_objects_are_made_and_destroyed_once()
{
    Owner::objects = Owner::closed = 0;
    {
        trpo::environments envs = trpo::environments::of<Owner>(3);
        CHECK(Owner::objects == 3);
        envs.reset();
        trpo::environments moved = std::move(envs);
        CHECK(Owner::objects == 3 && Owner::closed == 0);
        trpo_envs_close(moved.get());
        CHECK(Owner::objects == 0 && Owner::closed == 3);
        moved.reset();
        CHECK(Owner::objects == 3);
    }
    CHECK(Owner::objects == 0 && Owner::closed == 6);
}

static void test_a_constructor_that_throws()
{
    const int closed = Owner::closed;
    Owner::refused = 1;
    std::string text;
    try {
        trpo::environments::of<Owner>(2);
    } catch (const trpo::error &error) {
        text = error.what();
        CHECK(error.status == TRPO_ENV_ERR_FAILED);
    }
    CHECK(text.find("bad_alloc") != std::string::npos);
    CHECK(Owner::objects == 0 && Owner::closed == closed);
    CHECK(trpo::environments::of<Owner>(2).get() != nullptr);
}

static void test_an_agent_trains_with_masks()
{
    trpo::environments envs = trpo::environments::of<Owner>(4);
    trpo_settings settings = trpo::settings_for(envs);
    CHECK(settings.obs_size == 1 && settings.n_parts == 2 && settings.n_envs == 4);
    settings.n_steps = 16;
    trpo::agent agent(settings);
    CHECK(agent.collect(envs).empty());
    CHECK(agent.update().n_samples == 64);
    settings.gamma = 2;
    std::string text;
    try {
        trpo::agent bad(settings);
    } catch (const trpo::error &error) {
        text = error.what();
    }
    CHECK(text.find("gamma") != std::string::npos);
}

int main()
{
    test_the_struct();
    test_exceptions_become_codes();
    test_states_are_read_and_set();
    test_saving<Plain>();
    test_saving<Owner>();
    test_objects_are_made_and_destroyed_once();
    test_a_constructor_that_throws();
    test_an_agent_trains_with_masks();
    return failures != 0;
}
