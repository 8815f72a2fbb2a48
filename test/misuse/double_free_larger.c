/* expect: tidepool: free(PTR): already free: a large block */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc((size_t)9 << 20);
    tide_free(block);
    tide_free(block);
    return 0;
}
