/* SPDX-License-Identifier: Apache-2.0 */
/* Runs while building: yarder.conf(5), from the tables that the daemon itself reads by. */
#include "control/help.h"

int main(void)
{
    help_manual(stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}
