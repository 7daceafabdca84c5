/* Runs a harness without a fuzzer: on files, or on a number of random inputs.
 *
 *     replay FILE...      (for instance a crash that a fuzzer found)
 *     replay COUNT        */
#include "input.h"

enum { LONGEST = 1500 };

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return 1;
    uint8_t *data = ROOM(uint8_t, 1 << 20);
    const size_t size = fread(data, 1, 1 << 20, file);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

static void generate(int count)
{
    uint64_t random = 1;
    for (int i = 0; i < count; i++) {
        const size_t size = (size_t)(i * 37 % LONGEST);
        uint8_t *data = ROOM(uint8_t, size);
        for (size_t j = 0; j < size; j++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            data[j] = (uint8_t)(random >> 56);
        }
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
}

int main(int argc, char **argv)
{
    const int count = argc == 2 ? atoi(argv[1]) : 0;
    if (count > 0) {
        generate(count);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (replay_file(argv[i]) != 0) return 1;
    return argc < 2;
}
