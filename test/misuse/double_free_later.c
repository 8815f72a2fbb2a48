/* expect: tidepool: free(PTR): already free: a block of 112 bytes */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(112), *other = tide_malloc(112), *small = tide_malloc(16);
    tide_free(block);
    tide_free(other);
    tide_free(small);
    tide_free(tide_malloc(5000));
    tide_free(block);
    return 0;
}
