/* expect: tidepool: free(PTR): not a tidepool block: no memory of tidepool's is there */
/* default too */
#include "tidepool/malloc.h"

static long object[4];

int main(void)
{
    tide_free(object);
    return 0;
}
