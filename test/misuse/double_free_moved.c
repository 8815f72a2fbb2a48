/* expect: tidepool: free(PTR): already free: a large block */
/* default too */
#include "tidepool/malloc.h"

enum { BYTES = 2 << 20 };

int main(void)
{
    char *whole = tide_malloc(4 * (size_t)BYTES), *before, *block, *behind, *moved;
    tide_free(whole);
    before = tide_malloc(BYTES); /* three in a row */
    block = tide_malloc(BYTES);
    behind = tide_malloc(BYTES);
    if (before != whole || block != before + BYTES || behind != block + BYTES)
        return 1;
    moved = tide_realloc(block, 4 * (size_t)BYTES);
    if (!moved || moved == block)
        return 1;
    tide_free(block);
    return 0;
}
