/* expect: tidepool: free(PTR): already free: a block of 8388608 bytes */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(8388608);
    tide_free(block);
    tide_free(block);
    return 0;
}
