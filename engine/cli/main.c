/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int main(int arguments_count, char **arguments)
{
    return cli_main(arguments_count, arguments);
}
