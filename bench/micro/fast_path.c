/* bench/micro/fast_path.c - malloc(16) and free, over and over, to be counted
 *
 * usage: fast_path malloc|nothing PAIRS
 *
 * malloc calls the malloc in use; nothing calls two functions of two and one
 * instructions in its place.  Both through the same pointers, so that the
 * difference of two counts is the allocator's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *take_function(size_t size);
typedef void give_function(void *block);

static __attribute__((noinline)) void *take_nothing(size_t size)
{
    return (void *)size;
}

static __attribute__((noinline)) void give_nothing(void *block)
{
    (void)block;
}

static __attribute__((noinline)) void run(take_function *take, give_function *give, long pairs)
{
    for (long n = 0; n < pairs; n++)
        give(take(16));
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fast_path malloc|nothing PAIRS\n");
        return 2;
    }
    free(malloc(16));
    if (strcmp(argv[1], "malloc") == 0)
        run(malloc, free, atol(argv[2]));
    else
        run(take_nothing, give_nothing, atol(argv[2]));
    return 0;
}
