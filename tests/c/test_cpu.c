/* The instruction sets that are found are those that Linux finds, in /proc/cpuinfo. */
#include "check.h"

#include "../../csrc/kernels/kernels.h"

/* Whether the first processor's line of flags has this word; -1 if there is no such line. */
static int has_flag(const char *flag)
{
    static char line[1 << 16];
    FILE *file = fopen("/proc/cpuinfo", "r");
    int found = -1;
    while (file != NULL && found < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "flags", 5) == 0)
            for (char *word = strtok(line, " \t\n"); found <= 0 && word != NULL;
                 word = strtok(NULL, " \t\n"))
                found = strcmp(word, flag) == 0;
    if (file != NULL) fclose(file);
    return found;
}

static int is_runnable(const char *name) { return trpok_named(name) != NULL; }

int main(void)
{
    CHECK(is_runnable("baseline"));
#ifdef TRPOK_X86
    const int avx2 = has_flag("avx2"), fma = has_flag("fma");
    if (avx2 < 0) return check_result(); /* not Linux */
    CHECK(is_runnable("avx2") == (avx2 && fma));
    CHECK(is_runnable("avx512") == (avx2 && fma && has_flag("avx512f") && has_flag("avx512dq")));
#else
    CHECK(!is_runnable("avx2") && has_flag("") <= 0);
#endif
    return check_result();
}
