/* expect: tidepool: free(PTR): already free: a large block */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc((size_t)2 << 20), *behind = tide_malloc(131072);
    void *moved = tide_realloc(block, (size_t)8 << 20);
    if (!behind || !moved || moved == block)
        return 1;
    tide_free(block);
    return 0;
}
