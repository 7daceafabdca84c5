/* Descriptions of statuses and rejections. */
#include "work.h"

const char *trpo_status_text(int status)
{
    switch (status) {
    case TRPO_OK: return "ok";
    case TRPO_REJECTED: return "line search rejected: no step was acceptable";
    case TRPO_ZERO_GRADIENT: return "zero gradient: the advantages prefer no action";
    case TRPO_NO_CURVATURE: return "no curvature: the step length is undefined";
    case TRPO_ERR_SETTING: return "a setting is out of range";
    case TRPO_ERR_MEMORY: return "memory or buffer is NULL or too small";
    case TRPO_ERR_OBS: return "an observation is not finite";
    case TRPO_ERR_NEXT_OBS: return "a next observation is not finite";
    case TRPO_ERR_ACT: return "an action is not finite or not a valid choice";
    case TRPO_ERR_REW: return "a reward is not finite";
    case TRPO_ERR_ORDER: return "calls out of order: act, push, ..., update";
    case TRPO_ERR_FULL: return "the rollout is full: update or discard it";
    case TRPO_ERR_EMPTY: return "the rollout is empty";
    case TRPO_ERR_MODEL:
        return "the saved bytes are truncated, damaged, or hold impossible values: use a copy";
    case TRPO_ERR_ENVIRONMENT: return "an environment failed";
    case TRPO_ERR_SPACES: return "the environments do not match the agent's sizes or number";
    case TRPO_ERR_BUILD:
        return "compiled with contraction, which changes results: omit -ffp-contract=fast";
    case TRPO_ERR_MASK:
        return "a mask forbids every choice or the given action, or masks are not supported";
    case TRPO_ERR_FOREIGN: return "the bytes are not a saved model";
    case TRPO_ERR_NEWER: return "the model was saved by a newer version: upgrade this library";
    case TRPO_ERR_OTHER:
        return "the saved bytes are from another model: make the agent with trpo_peek's settings";
    case TRPO_ERR_SECTION:
        return "the saved bytes lack a section: load a policy alone with trpo_load_policy";
    default: return "unknown status";
    }
}

const char *trpo_rejection_text(int rejection)
{
    switch (rejection) {
    case TRPO_NOT_REJECTED: return "";
    case TRPO_REJECTED_KL: return "kl";
    case TRPO_REJECTED_IMPROVEMENT: return "improvement";
    case TRPO_REJECTED_NOT_FINITE: return "not finite";
    case TRPO_REJECTED_ZERO_GRADIENT: return "zero gradient";
    case TRPO_REJECTED_NO_CURVATURE: return "no curvature";
    default: return "unknown";
    }
}

const char *trpo_instruction_set(const trpo_agent *w) { return w->k->name; }
