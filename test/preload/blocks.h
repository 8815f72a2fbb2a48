/* blocks.h - what small programs of this folder share: blocks with contents that
 * are checked, children that are waited for, the amount of work
 *
 * Blocks are got with malloc and its family, so with what is preloaded; compile
 * with -fno-builtin.  Messages are written without malloc.  Any failure ends the
 * process with status 1.
 *
 * TIDE_TEST_SCALE multiplies the work, in percent.
 */
#ifndef TIDE_TEST_PRELOAD_BLOCKS_H
#define TIDE_TEST_PRELOAD_BLOCKS_H

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAY_BE_UNUSED __attribute__((unused))

enum {
    SKIPPED = 77,        /* the status of a program that can't be run here */
    PATIENCE_S = 60,     /* after which what hasn't ended counts as hanging */
    WHOLE_BYTES = 512,   /* blocks up to this size are filled */
    ENDS_BYTES = 64,     /* of larger ones, so much of both ends */
};

/* One size of each kind: of pools with many blocks and with few, large. */
static const size_t sizes_of_each_kind[] = { 8,     24,    100,    500,    1000,   3000,
                                             10000, 30000, 100000, 700000, 5000000 };
enum { KINDS = sizeof(sizes_of_each_kind) / sizeof(*sizes_of_each_kind) };

__attribute__((format(printf, 1, 2))) static _Noreturn void die(const char *format, ...)
{
    char line[300];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof(line) - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length] = '\n';
    if (write(STDERR_FILENO, line, (size_t)length + 1) < 0)
        _exit(2);
    _exit(1);
}

MAY_BE_UNUSED static long scaled(long work)
{
    const char *text = getenv("TIDE_TEST_SCALE");
    double result = (double)work * (text != NULL ? strtod(text, NULL) / 100 : 1);

    return result < 1 ? 1 : (long)result;
}

MAY_BE_UNUSED static void pause_us(long us)
{
    struct timespec time = { us / 1000000, us % 1000000 * 1000 };

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

/* ---- Random numbers ---------------------------------------------------------- */

MAY_BE_UNUSED static unsigned below(unsigned limit, uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)((*state >> 33) % limit);
}

/* ---- Blocks ------------------------------------------------------------------ */

struct piece {
    unsigned char *block; /* NULL: none */
    size_t bytes;
    unsigned char mark;
};

static inline size_t piece_end(const struct piece *piece)
{
    return piece->bytes <= WHOLE_BYTES ? piece->bytes : ENDS_BYTES;
}

MAY_BE_UNUSED static void piece_fill(struct piece *piece)
{
    size_t end = piece_end(piece);

    memset(piece->block, piece->mark, end);
    memset(piece->block + piece->bytes - end, piece->mark, end);
}

MAY_BE_UNUSED static void piece_check(const struct piece *piece)
{
    size_t end = piece_end(piece);

    if (piece->block == NULL)
        return;
    for (size_t i = 0; i < end; i++)
        if (piece->block[i] != piece->mark || piece->block[piece->bytes - 1 - i] != piece->mark)
            die("block %p of %zu bytes was changed by someone else", (void *)piece->block,
                piece->bytes);
}

MAY_BE_UNUSED static void piece_new(struct piece *piece, size_t bytes, unsigned mark)
{
    *piece = (struct piece){ malloc(bytes), bytes, (unsigned char)mark };
    if (piece->block == NULL)
        die("no memory for %zu bytes", bytes);
    piece_fill(piece);
}

MAY_BE_UNUSED static void piece_free(struct piece *piece)
{
    piece_check(piece);
    free(piece->block);
    piece->block = NULL;
}

/* Any of the calls that allocate, some of which give zeroed memory. */
MAY_BE_UNUSED static void piece_new_somehow(struct piece *piece, size_t bytes, uint64_t *random)
{
    void *block = NULL;

    switch (below(6, random)) {
    case 0:
        block = calloc(1, bytes);
        for (size_t i = 0; block != NULL && i < bytes; i++)
            if (((unsigned char *)block)[i] != 0)
                die("calloc gave a block that isn't zero");
        break;
    case 1:
        block = realloc(malloc(bytes / 2 + 1), bytes);
        break;
    case 2:
        if (posix_memalign(&block, 64, bytes) != 0)
            block = NULL;
        break;
    default:
        block = malloc(bytes);
    }
    if (block == NULL)
        die("no memory for %zu bytes", bytes);
    *piece = (struct piece){ block, bytes, (unsigned char)below(256, random) };
    piece_fill(piece);
}

/* Mallocs, checks and frees some blocks of each kind. */
MAY_BE_UNUSED static void churn(uint64_t seed)
{
    struct piece pieces[KINDS * 4];

    for (size_t i = 0; i < KINDS * 4; i++)
        piece_new_somehow(&pieces[i], sizes_of_each_kind[i % KINDS] + below(8, &seed), &seed);
    for (size_t i = 0; i < KINDS * 4; i++)
        piece_free(&pieces[i]);
}

/* ---- Children ---------------------------------------------------------------- */

/* The child must end with this status, and not hang. */
MAY_BE_UNUSED static void expect_end(pid_t child, int expected, const char *what)
{
    int status = 0;
    pid_t ended = 0;

    if (child < 0)
        die("%s: %s", what, strerror(errno));
    for (long waited_ms = 0; ended != child; waited_ms++) {
        ended = waitpid(child, &status, WNOHANG);
        if (ended < 0 && errno != EINTR)
            die("%s: waitpid: %s", what, strerror(errno));
        if (waited_ms == PATIENCE_S * 1000L) {
            kill(child, SIGKILL);
            die("%s: the child hangs", what);
        }
        if (ended != child)
            pause_us(waited_ms < 20 ? 100 : 1000);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        die("%s: the child's wait status is %#x", what, (unsigned)status);
}

#endif
