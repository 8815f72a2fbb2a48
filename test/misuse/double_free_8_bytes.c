/* expect: tidepool: free(PTR): already free: a block of 16 bytes */
#include "tidepool/malloc.h"

int main(void)
{
    /* Checked blocks have at least 16 bytes. */
    void *block = tide_malloc(8), *other = tide_malloc(8);
    tide_free(block);
    tide_free(other);
    tide_free(block);
    return 0;
}
