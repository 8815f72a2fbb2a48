/* expect: tidepool: free_aligned_sized(PTR): the block is not aligned to 4096 */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_aligned_alloc(64, 112), *other = tide_aligned_alloc(64, 112);
    /* At least one of them isn't aligned to 4096 by chance. */
    tide_free_aligned_sized((size_t)block % 4096 != 0 ? block : other, 4096, 112);
    return 0;
}
