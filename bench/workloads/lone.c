/* bench/workloads/lone.c - a program of one thread frees and goes quiet, watched from outside
 *
 * usage: lone list
 *        lone run MODE [PERCENT]
 *
 * Nothing here creates a thread, nor could: no function that does is linked.  So
 * an allocator that has none of its own has only the program's own calls to give
 * memory back in, and after the last of them nothing.
 *
 * The program prints a word on stdout and waits for a byte on stdin, so that its
 * memory can be read (bench/servers/lone.py does) at that moment:
 *     ready    its own arrays are resident, malloc wasn't called
 *     peak     all is taken (churn has its peaks before, and says it at the end)
 *     freed    malloc and free aren't called from here on; malloc_usable_size is,
 *              once for each block that is left, while their pages are counted
 *     quiet    with what was done, as JSON; it sleeps until stdin ends, and checks
 *              the blocks that it left alive
 * Status 1: a block was corrupted or memory refused; 2: wrong usage.
 */
#include "lone.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "churn.h"
#include "pages.h"

#define MUCH       ((uint64_t)1024 * MIB) /* at scale 100 */
#define CHURNED    4000000                /* replacements, at scale 100: as return-churn's */
#define MOST_SCALE 100000

/* As return.c's, between them, and micro.c's large ones. */
static const struct {
    size_t least, most; /* bytes */
    uint32_t dice;      /* of 10,000 mixed blocks: a third of the bytes for each kind */
} kinds[] = { { 16, 2048, 9686 }, { 2 * KIB, 64 * KIB, 296 }, { 64 * KIB, MIB, 18 } };

enum { KIND_SMALL, KIND_MEDIUM, KIND_LARGE };

/* ---- Whoever watches ---------------------------------------------------------------- */

static void print(const char *text)
{
    size_t length = strlen(text);

    if (write(STDOUT_FILENO, text, length) != (ssize_t)length)
        fail("stdout can't be written: %s", strerror(errno));
}

/* Returns false at the end of stdin. */
static bool await_byte(void)
{
    char byte;
    ssize_t got;

    do
        got = read(STDIN_FILENO, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

void lone_say(const char *word)
{
    char line[32];

    snprintf(line, sizeof line, "%s\n", word);
    print(line);
    if (!await_byte())
        fail("nobody watches: stdin has ended at \"%s\"", word);
}

void lone_rest(const struct done *done)
{
    char line[256];

    snprintf(line, sizeof line,
             "quiet {\"operations\": %llu, \"nanoseconds\": %llu, \"live_bytes\": %llu, "
             "\"live_page_bytes\": %llu, \"own_page_bytes\": %llu}\n",
             (unsigned long long)done->blocks, (unsigned long long)done->ns,
             (unsigned long long)done->live_bytes, (unsigned long long)done->live_page_bytes,
             (unsigned long long)done->own_page_bytes);
    print(line);
    while (await_byte())
        ;
}

/* ---- A heap ---------------------------------------------------------------------------- */

void lone_prepare(struct run *run, struct worker *worker, unsigned seed)
{
    run->threads = 1;
    run->workers = worker;
    run->touches_all = true; /* large blocks would not be resident else */
    worker->run = run;
    random_seed(worker, seed);
}

/* Of blocks of such sizes. */
static uint64_t mean_bytes(enum sizes sizes)
{
    uint64_t sum = 0;

    if (sizes != SIZES_MIXED)
        return sizes == SIZES_SMALL ? (kinds[KIND_SMALL].least + kinds[KIND_SMALL].most) / 2
                                    : (kinds[KIND_LARGE].least + kinds[KIND_LARGE].most) / 2;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        sum += kinds[i].dice * (uint64_t)(kinds[i].least + kinds[i].most) / 2;
    return sum / 10000;
}

void lone_make_heap(struct worker *worker, uint64_t bytes, enum sizes sizes)
{
    uint64_t expected = bytes / mean_bytes(sizes);
    struct heap *heap = make_heap(worker, expected + expected / 8 + 1000);

    memset(heap->blocks, 0, heap->room * sizeof *heap->blocks);
}

static unsigned some_kind(struct worker *worker, enum sizes sizes)
{
    uint32_t dice;
    unsigned kind = KIND_SMALL;

    if (sizes != SIZES_MIXED)
        return sizes == SIZES_SMALL ? KIND_SMALL : KIND_LARGE;
    for (dice = random_below(worker, 10000); dice >= kinds[kind].dice; kind++)
        dice -= kinds[kind].dice;
    return kind;
}

void lone_fill(struct worker *worker, uint64_t bytes, enum sizes sizes)
{
    while (own_live(worker) < (int64_t)bytes) {
        unsigned kind = some_kind(worker, sizes);

        push(worker, random_between(worker, kinds[kind].least, kinds[kind].most));
    }
}

void lone_keep(struct worker *worker, unsigned percent)
{
    struct heap *heap = worker->state;

    for (uint64_t keep = heap->count * percent / 100; heap->count > keep;)
        remove_random(worker);
}

/* Blocks that are alive. */
struct some {
    void *const *blocks;
    uint64_t count;
};

/* Bytes of the pages that the blocks are in. */
static uint64_t count_pages(const struct some *some, unsigned groups, uint64_t bytes,
                            bool is_usable)
{
    struct pages pages;
    uint64_t blocks = 0;

    for (unsigned i = 0; i < groups; i++)
        blocks += some[i].count;
    pages_begin(&pages, blocks, bytes);
    for (unsigned i = 0; i < groups; i++)
        for (uint64_t n = 0; n < some[i].count; n++) {
            void *block = some[i].blocks[n];

            pages_add(&pages, block,
                      is_usable ? malloc_usable_size(block) : ((struct sized *)block)->size);
        }
    return pages_end(&pages);
}

static void count_some(const struct some *some, unsigned groups, const struct worker *whose,
                       struct done *done)
{
    done->live_bytes = (uint64_t)own_live(whose);
    done->live_page_bytes = count_pages(some, groups, done->live_bytes, false);
    done->own_page_bytes = count_pages(some, groups, 2 * done->live_bytes, true);
}

void lone_count(struct worker *whose, struct done *done)
{
    const struct heap *heap = whose->state;

    count_some(&(struct some){ heap->blocks, heap->count }, 1, whose, done);
}

static void check_blocks(void *const *blocks, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        check_sized(blocks[i]);
}

void lone_check(const struct worker *worker)
{
    const struct heap *heap = worker->state;

    check_blocks(heap->blocks, heap->count);
}

/* ---- Modes --------------------------------------------------------------------------------- */

static struct run run;
static struct worker worker;

/* keep: percent of the blocks */
static void fill_and_keep(unsigned keep, enum sizes sizes)
{
    uint64_t bytes = scaled(&run, MUCH), start;
    struct done done = { 0 };

    lone_make_heap(&worker, bytes, sizes);
    lone_say("ready");
    start = now_ns();
    lone_fill(&worker, bytes, sizes);
    done.ns = now_ns() - start;
    lone_say("peak");
    start = now_ns();
    if (keep)
        lone_keep(&worker, keep);
    else
        free_all(&worker);
    done.ns += now_ns() - start;
    lone_say("freed");
    done.blocks = worker.operations;
    lone_count(&worker, &done);
    lone_rest(&done);
    lone_check(&worker);
}

static void make_populations(void)
{
    struct population *populations;

    set_up_churn(&worker);
    populations = worker.state;
    for (int life = 0; life < LIVES; life++)
        memset(populations[life].blocks, 0, populations[life].room * sizeof(void *));
}

static void count_populations(struct done *done)
{
    const struct population *populations = worker.state;
    struct some some[LIVES];

    for (int life = 0; life < LIVES; life++)
        some[life] = (struct some){ populations[life].blocks, populations[life].count };
    done->blocks = worker.operations;
    count_some(some, LIVES, &worker, done);
}

static void drift(void)
{
    const struct population *populations;
    struct done done = { 0 };
    uint64_t start;

    run.work = scaled(&run, CHURNED);
    run.chunk = run.work / 64 ? run.work / 64 : 1;
    make_populations();
    populations = worker.state;
    lone_say("ready");
    start = now_ns();
    churn(&worker);
    done.ns = now_ns() - start;
    lone_say("peak");
    lone_say("freed");
    count_populations(&done);
    lone_rest(&done);
    for (int life = 0; life < LIVES; life++)
        check_blocks(populations[life].blocks, populations[life].count);
}

/* ---- Command line ---------------------------------------------------------------------------- */

enum mode { MODE_KEEP, MODE_CHURN, MODE_PREFORK };

static const struct {
    const char *name;
    enum mode mode;
    enum sizes sizes;
    unsigned keep; /* percent of the blocks */
} modes[] = {
    { "all", MODE_KEEP, SIZES_SMALL, 0 },
    { "all-mixed", MODE_KEEP, SIZES_MIXED, 0 },
    { "all-large", MODE_KEEP, SIZES_LARGE, 0 },
    { "sparse", MODE_KEEP, SIZES_SMALL, 10 },
    { "sparse-mixed", MODE_KEEP, SIZES_MIXED, 10 },
    { "sparse-large", MODE_KEEP, SIZES_LARGE, 10 },
    { "churn", MODE_CHURN, SIZES_SMALL, 0 },
    { "prefork", MODE_PREFORK, SIZES_SMALL, 0 },
};

#define MODE_COUNT (sizeof modes / sizeof *modes)

static int wrong_usage(void)
{
    static const char text[] = "usage: lone list\n       lone run MODE [PERCENT]\n";

    return write(STDERR_FILENO, text, sizeof text - 1) < 0 ? 3 : 2;
}

static int list(void)
{
    for (unsigned i = 0; i < MODE_COUNT; i++) {
        print(modes[i].name);
        print("\n");
    }
    return 0;
}

static int run_mode(const char *name, unsigned scale)
{
    for (unsigned i = 0; i < MODE_COUNT; i++) {
        if (strcmp(modes[i].name, name) != 0)
            continue;
        run.scale = scale;
        lone_prepare(&run, &worker, 0);
        if (modes[i].mode == MODE_PREFORK)
            run_prefork(scale);
        else if (modes[i].mode == MODE_CHURN)
            drift();
        else
            fill_and_keep(modes[i].keep, modes[i].sizes);
        return 0;
    }
    return wrong_usage();
}

int main(int argc, char **argv)
{
    static const struct workload workload = { .name = "lone" };
    unsigned long scale = 100;
    char *end = NULL;

    run.workload = &workload;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    if (argc == 4)
        scale = strtoul(argv[3], &end, 10);
    if (argc < 3 || argc > 4 || strcmp(argv[1], "run") != 0 || (end && *end) || scale < 1 ||
        scale > MOST_SCALE)
        return wrong_usage();
    return run_mode(argv[2], (unsigned)scale);
}
