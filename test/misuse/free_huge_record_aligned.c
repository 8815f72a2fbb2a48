/* expect: tidepool: free(PTR): not a block: tidepool's own records are there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_aligned_alloc((size_t)1 << 16, (size_t)8 << 20); /* far from its record */
    tide_free(block - 64);
    return 0;
}
