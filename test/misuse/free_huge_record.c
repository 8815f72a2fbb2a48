/* expect: tidepool: free(PTR): not a block: tidepool's own records are there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc((size_t)8 << 20);
    tide_free(block - 64);
    return 0;
}
