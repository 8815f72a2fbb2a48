/* large_blocks.c - what large blocks cost in page faults, resident memory and
 * mappings; run under the library with TIDEPOOL_DECAY_MS so long that no clock counts
 *
 * usage: large_blocks bursts SIZE   builds and frees a working set again and again
 *        large_blocks replaced      blocks of 5 to 25 MB replace each other
 *        large_blocks callocs       zeroed blocks that are never touched
 *        large_blocks shrunk        blocks of which a part is given back by realloc
 *        large_blocks grown         blocks that realloc makes larger, with others between
 *        large_blocks quiet SIZE    frees all, and does nothing more
 *        large_blocks many          many blocks at a time, little of each used
 * prints "ok".
 */
#include <malloc.h>
#include <sys/resource.h>

#include "blocks.h"

#define MIB ((size_t)1 << 20)

enum { MOST_BLOCKS = 6000 };

static char *blocks[MOST_BLOCKS];
static size_t page;

/* ---- Counts ------------------------------------------------------------------ */

static long faults(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        die("getrusage");
    return usage.ru_minflt;
}

/* The kernel counts for this, and keeps no sum that is off. */
static size_t resident(void)
{
    char text[4096] = "";
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    size_t kib = 0;

    if (file == NULL)
        die("no smaps_rollup");
    while (fgets(text, sizeof(text), file) != NULL && sscanf(text, "Rss: %zu kB", &kib) != 1)
        ;
    fclose(file);
    return kib << 10;
}

static size_t mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    size_t lines = 0;
    int letter;

    if (file == NULL)
        die("no maps");
    while ((letter = getc(file)) != EOF)
        lines += letter == '\n';
    fclose(file);
    return lines;
}

static void at_most(const char *what, size_t found, size_t most)
{
    if (found > most)
        die("%s: %zu, more than %zu", what, found, most);
}

/* ---- Blocks ------------------------------------------------------------------ */

static char *get(size_t bytes)
{
    char *block = malloc(bytes);

    if (block == NULL)
        die("no memory for %zu bytes", bytes);
    return block;
}

static void touch(char *block, size_t bytes, int mark)
{
    for (size_t i = 0; i < bytes; i += page)
        block[i] = (char)mark;
}

static void expect(const char *block, size_t bytes, int mark)
{
    for (size_t i = 0; i < bytes; i += page)
        if (block[i] != (char)mark)
            die("page %zu of %zu bytes has %d instead of %d", i / page, bytes, block[i], mark);
}

/* ---- The programs ------------------------------------------------------------ */

/* What was needed again is kept soon. */
static void bursts(size_t size)
{
    enum { SET_MIB = 96, ROUNDS = 12, LEARNED = 6 };
    size_t count = SET_MIB * MIB / size, set_pages = SET_MIB * MIB / page;
    long before = 0;

    if (count > MOST_BLOCKS)
        die("too many blocks");
    for (int round = 0; round < ROUNDS; round++) {
        if (round == LEARNED)
            before = faults();
        for (size_t i = 0; i < count; i++)
            touch(blocks[i] = get(size), size, round);
        for (size_t i = 0; i < count; i++) {
            expect(blocks[i], size, round);
            free(blocks[i]);
        }
    }
    at_most("faults of a round that was seen before", (size_t)(faults() - before),
            set_pages * (ROUNDS - LEARNED) / 20);
    at_most("resident pages", resident() / page, set_pages * 5 / 4);
}

static void replaced(void)
{
    enum { ALIVE = 12, ROUNDS = 400, FIRST = 100 };
    static size_t sizes[ALIVE];
    static int marks[ALIVE];
    uint64_t random = 1;
    size_t touched = 0, most = 0, live = 0, kept = 0;
    long before = 0;

    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = below(ALIVE, &random);
        size_t bytes = 5000000 + below(20000000, &random);

        if (round == FIRST) {
            before = faults();
            touched = 0;
        }
        expect(blocks[i], sizes[i], marks[i]);
        free(blocks[i]);
        live += bytes - sizes[i];
        sizes[i] = bytes;
        marks[i] = round;
        touch(blocks[i] = get(bytes), bytes, round);
        touched += bytes / page;
        most = live > most ? live : most;
        if (round % 20 == 0 && resident() > kept)
            kept = resident();
    }
    at_most("faults", (size_t)(faults() - before), touched / 3);
    at_most("resident bytes", kept, most * 3 / 2 + 8 * MIB);
}

static void callocs(void)
{
    enum { ROUNDS = 200 };
    size_t size = 64 * MIB, start = resident();
    long before;
    char *block = get(size);

    touch(block, size, 1);
    free(block);
    before = faults();
    for (int round = 0; round < ROUNDS; round++) {
        block = calloc(1, size + (size_t)round * page);
        if (block == NULL)
            die("no memory");
        for (size_t i = 0; i < size; i += size / 4)
            if (block[i] != 0)
                die("calloc's block isn't zero");
        block[size - 1] = 1;
        free(block);
    }
    at_most("faults of blocks that are hardly touched", (size_t)(faults() - before), 10 * ROUNDS);
    free(get(1));
    block = calloc(1, size);
    at_most("resident bytes", resident(), start + 8 * MIB);
    if (block == NULL || block[0] != 0)
        die("no zeroed memory");
}

/* What isn't used any more may be used by others, and can go. */
static void shrunk(size_t from, size_t to)
{
    enum { COUNT = 100 };
    size_t before = resident(), live = COUNT * to;

    for (size_t i = 0; i < COUNT; i++) {
        touch(blocks[i] = get(from), from, (int)i);
        blocks[i] = realloc(blocks[i], to);
        if (blocks[i] == NULL)
            die("realloc to less fails");
    }
    at_most("resident bytes of shrunk blocks", resident() - before, 2 * live + 2 * from + 8 * MIB);
    malloc_trim(0);
    at_most("resident bytes after malloc_trim", resident() - before, live + live / 4 + 2 * MIB);
    for (size_t i = 0; i < COUNT; i++) {
        expect(blocks[i], to, (int)i);
        free(blocks[i]);
    }
    malloc_trim(0);
    at_most("resident bytes when all is free", resident(), before + 2 * MIB);
}

/* Pages that were touched stay the same ones; the mappings become few again. */
static void grown(void)
{
    enum { COUNT = 1000, STEPS = 4 };
    size_t size = MIB, start = mappings();
    long before;

    for (size_t i = 0; i < COUNT; i++) {
        touch(blocks[2 * i] = get(size), size / 8, (int)i);
        blocks[2 * i + 1] = get(40000);
    }
    before = faults();
    for (int step = 1; step <= STEPS; step++)
        for (size_t i = 0; i < COUNT; i++) {
            blocks[2 * i] = realloc(blocks[2 * i], size << step);
            if (blocks[2 * i] == NULL)
                die("realloc to more fails");
        }
    at_most("faults of realloc", (size_t)(faults() - before), COUNT * size / page / 8);
    at_most("mappings", mappings(), start + 10000);
    for (size_t i = 0; i < COUNT; i++) {
        expect(blocks[2 * i], size / 8, (int)i);
        free(blocks[2 * i]);
        free(blocks[2 * i + 1]);
    }
    malloc_trim(0);
    at_most("mappings when all is free", mappings(), start + 100);
}

static void many(void)
{
    enum { COUNT = 4000 };
    size_t start = mappings(), before = resident();

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = get(2200000 + i * 7919 % 1000000);
        blocks[i][0] = (char)i;
    }
    at_most("mappings", mappings(), start + 50);
    at_most("resident bytes", resident(), before + 3 * COUNT * page + 4 * MIB);
    for (size_t i = 0; i < COUNT; i += 2) {
        expect(blocks[i], 1, (int)i);
        free(blocks[i]);
    }
    malloc_trim(0);
    at_most("mappings when every second one is free", mappings(), start + 50);
    for (size_t i = 1; i < COUNT; i += 2) {
        expect(blocks[i], 1, (int)i);
        free(blocks[i]);
    }
    malloc_trim(0);
    at_most("mappings when all are free", mappings(), start + 50);
}

/* A program of one thread that frees and then does nothing more keeps little. */
static void quiet(size_t size)
{
    enum { SET_MIB = 320 };
    size_t count = SET_MIB * MIB / size;

    for (size_t i = 0; i < count; i++)
        touch(blocks[i] = get(size), size, (int)i);
    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    at_most("resident bytes of a quiet program", resident(), SET_MIB * MIB / 16 + 8 * MIB);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    page = (size_t)sysconf(_SC_PAGESIZE);
    free(get(1));
    resident(); /* so that what reading takes is there */
    if (strcmp(what, "bursts") == 0 && argc > 2)
        bursts(strtoul(argv[2], NULL, 10));
    else if (strcmp(what, "quiet") == 0 && argc > 2)
        quiet(strtoul(argv[2], NULL, 10));
    else if (strcmp(what, "replaced") == 0)
        replaced();
    else if (strcmp(what, "callocs") == 0)
        callocs();
    else if (strcmp(what, "shrunk") == 0) {
        shrunk(6 * MIB, 2 * MIB);
        shrunk(900000, 500000);
        shrunk(900000, 100000);
    } else if (strcmp(what, "grown") == 0)
        grown();
    else if (strcmp(what, "many") == 0)
        many();
    else
        return 2;
    puts("ok");
    return 0;
}
