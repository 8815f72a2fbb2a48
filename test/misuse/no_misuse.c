/* expect: nothing */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_realloc(tide_malloc(112), 100000);
    tide_free_sized(block, 100000);
    tide_free_aligned_sized(tide_aligned_alloc(4096, 100), 4096, 100);
    tide_free(NULL);
    return 0;
}
