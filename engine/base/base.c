/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

void yarder_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "yarder: bug: %s at %s:%d; please report it\n", condition, file, line);
    abort();
}
