/* Agents and environments as C++ objects that own their memory (C++11, header-only).
 *
 *     trpo::environments envs = trpo::environments::of<Ball>(16, seed);      (trpo_env.hpp)
 *     trpo_settings s = trpo::settings_for(envs);   s.n_steps = 256;   ...
 *     trpo::agent agent(s);
 *     for (;;) { episodes = agent.collect(envs); trpo_info info = agent.update(); }
 *
 * Failures throw trpo::error, whose text names the environment and the step. All other functions of
 * trpo.h and trpo_env.h take agent.get() and envs.get(). */
#ifndef TRPO_HPP
#define TRPO_HPP

#include <climits>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "trpo.h"
#include "trpo_env.hpp"

namespace trpo {

class error : public std::runtime_error {
public:
    error(int status_, const std::string &text) : std::runtime_error(text), status(status_) {}
    int status; /* a trpo_status, or of environments::reset a trpo_env_status */
};

/* E environments of one kind, with an episode each. */
class environments {
public:
    /* Of a class: see trpo_env.hpp. */
    template <class Simulator> static environments of(int n_envs, uint64_t seed = 0)
    {
        return environments(environment<Simulator>(), n_envs, seed, error_text<Simulator>);
    }

    /* Of any struct, which must outlive them. */
    environments(const trpo_env *spec, int n_envs, uint64_t seed = 0)
        : environments(spec, n_envs, seed, nullptr)
    {
    }

    environments(environments &&) = default;
    environments &operator=(environments &&) = delete; /* would free the memory before closing */

    /* Starts new episodes everywhere. */
    void reset()
    {
        trpo_env_failure failure = trpo_env_failure();
        const int status = trpo_envs_reset(get(), nullptr, &failure);
        if (status < 0) throw error(status, describe(failure));
    }

    /* What failed, where, and the text of the exception if there was one. */
    std::string describe(const trpo_env_failure &failure) const
    {
        const std::string text = text_ == nullptr ? "" : text_(get(), failure.env);
        return std::string(trpo_env_status_text(failure.status)) + " (code " +
               std::to_string(failure.code) + ", environment " + std::to_string(failure.env) +
               ", step " + std::to_string(failure.step) + " of its episode)" +
               (text.empty() ? "" : ": ") + text;
    }

    trpo_envs *get() const { return envs_.get(); }

private:
    typedef const char *(*error_text_fn)(trpo_envs *envs, int e);
    struct closer {
        void operator()(trpo_envs *envs) const { trpo_envs_close(envs); }
    };

    environments(const trpo_env *spec, int n_envs, uint64_t seed, error_text_fn text) : text_(text)
    {
        const size_t bytes = trpo_envs_bytes(spec, n_envs);
        memory_.reset(new char[bytes]);
        trpo_envs *envs = nullptr;
        const int status = trpo_envs_init(&envs, spec, n_envs, seed, memory_.get(), bytes);
        if (status < 0) throw error(status, trpo_env_status_text(status));
        envs_.reset(envs);
        reset();
    }

    std::unique_ptr<char[]> memory_;
    std::unique_ptr<trpo_envs, closer> envs_; /* after the memory, so closed before it is freed */
    error_text_fn text_;
};

/* The default settings, with the spaces and the number of these environments. */
inline trpo_settings settings_for(const environments &envs)
{
    trpo_settings settings;
    trpo_default_settings(&settings);
    trpo_settings_for_env(&settings, trpo_envs_spec(envs.get()));
    settings.n_envs = trpo_envs_count(envs.get());
    return settings;
}

class agent {
public:
    /* The executor must outlive the agent; without one the agent uses the calling thread. */
    explicit agent(const trpo_settings &settings, const trpo_executor *executor = nullptr)
    {
        const char *bad = trpo_bad_setting(&settings);
        if (bad != nullptr)
            throw error(TRPO_ERR_SETTING, std::string("a setting is out of range: ") + bad);
        const size_t bytes = trpo_bytes(&settings, executor);
        memory_.reset(new char[bytes]);
        check(trpo_init(&agent_, &settings, executor, memory_.get(), bytes));
    }

    /* Records a rollout; returns the episodes that ended in it. */
    std::vector<trpo_episode> collect(environments &envs)
    {
        trpo_env_failure failure = trpo_env_failure();
        const int status = trpo_collect(get(), envs.get(), INT_MAX, 0, &failure);
        if (status == TRPO_ERR_ENVIRONMENT) throw error(status, envs.describe(failure));
        check(status);
        std::vector<trpo_episode> ended(
            static_cast<size_t>(trpo_episodes(get(), nullptr, 0, 0)));
        trpo_episodes(get(), ended.data(), 0, static_cast<int>(ended.size()));
        return ended;
    }

    /* Improves the policy on the rollout. A step that the line search rejects is no error. */
    trpo_info update()
    {
        trpo_info info;
        check(trpo_update(get(), &info));
        return info;
    }

    trpo_agent *get() const { return agent_; }

private:
    static void check(int status)
    {
        if (status < 0) throw error(status, trpo_status_text(status));
    }

    std::unique_ptr<char[]> memory_;
    trpo_agent *agent_ = nullptr;
};

} // namespace trpo

#endif
