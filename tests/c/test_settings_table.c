/* The table of settings: listed with their defaults, and read and written by name. */
#include "check.h"

/* The last word of each setting is the last enumerator. */
static void words_name_the_enumerators(void)
{
    const struct {
        const char *name, *word;
        int number;
    } last[] = {
        {"distribution", "bernoulli", TRPO_BERNOULLI}, {"activation", "relu", TRPO_RELU},
        {"features", "polynomial", TRPO_POLYNOMIAL},   {"preconditioner", "kfac", TRPO_KFAC},
        {"acceptance", "always", TRPO_ACCEPT_ALWAYS},  {"kl_direction", "reverse", TRPO_REVERSE},
        {"critic", "kfac", TRPO_KFAC_STEPS},
    };
    const int count = (int)(sizeof last / sizeof *last);
    int n_words = 0;
    for (int i = 0; trpo_setting_at(i) != NULL; i++)
        n_words += trpo_setting_at(i)->type == TRPO_WORD;
    check_name("settings with words");
    CHECK(n_words == count);
    for (int i = 0; i < count; i++) {
        const trpo_setting *row = trpo_find_setting(last[i].name);
        check_name("words of %s", last[i].name);
        if (!CHECK(row != NULL && row->type == TRPO_WORD && row->words != NULL)) continue;
        CHECK(strcmp(row->words[last[i].number], last[i].word) == 0);
        CHECK(row->words[last[i].number + 1] == NULL);
        CHECK(row->high == last[i].number);
    }
}

static void settings_are_listed_with_their_defaults(void)
{
    trpo_settings s;
    trpo_default_settings(&s);
    for (int i = 0; trpo_setting_at(i) != NULL; i++) {
        const trpo_setting *row = trpo_setting_at(i);
        double value = -1;
        check_name("setting %s", row->name);
        CHECK(trpo_find_setting(row->name) == row && row->meaning[0] != 0);
        CHECK((trpo_get_setting(&s, row->name, &value) == TRPO_OK) == (row->type != TRPO_SIZES));
        if (row->type != TRPO_SIZES) CHECK(value == row->initial);
    }
    CHECK(trpo_setting_at(-1) == NULL);
    CHECK(trpo_find_setting("no such setting") == NULL);
}

static void settings_by_name(void)
{
    trpo_settings s;
    double value = 0;
    check_name("settings by name");
    small_settings(&s, GAUSSIAN, 1);
    CHECK(trpo_set_setting(&s, "kl_slack", 1.5) == TRPO_OK && s.kl_slack == 1.5);
    CHECK(trpo_set_setting(&s, "n_steps", 7) == TRPO_OK && s.n_steps == 7);
    CHECK(trpo_set_setting(&s, "normalize_rewards", 1) == TRPO_OK && s.normalize_rewards == 1);
    CHECK(trpo_set_setting(&s, "seed", 4294967296.0) == TRPO_OK && s.seed == 4294967296u);
    CHECK(trpo_set_word(&s, "critic", "adam") == TRPO_OK && s.critic == TRPO_ADAM);
    CHECK(trpo_get_setting(&s, "seed", &value) == TRPO_OK && value == 4294967296.0);
    CHECK(trpo_set_setting(&s, "kl_slack", 0.5) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "n_steps", 7.5) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "normalize_rewards", 2) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "seed", -1) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "critic", 1000) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "parts", 1) == TRPO_ERR_SETTING);
    CHECK(trpo_set_setting(&s, "kl_slak", 1.5) == TRPO_ERR_SETTING);
    CHECK(trpo_set_word(&s, "critic", "sgd") == TRPO_ERR_SETTING);
    CHECK(trpo_set_word(&s, "kl_slack", "kl") == TRPO_ERR_SETTING);
    CHECK(s.kl_slack == 1.5 && s.n_steps == 7 && s.critic == TRPO_ADAM);
    CHECK(trpo_get_setting(&s, "parts", &value) == TRPO_ERR_SETTING && value == 4294967296.0);
}

int main(void)
{
    words_name_the_enumerators();
    settings_are_listed_with_their_defaults();
    settings_by_name();
    return check_result();
}
