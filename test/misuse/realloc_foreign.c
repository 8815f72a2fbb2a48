/* expect: tidepool: realloc(PTR): not a tidepool block: no memory of tidepool's is there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    long object[4] = {0};
    void *block = tide_realloc(object, 200);
    tide_free(block);
    return 0;
}
