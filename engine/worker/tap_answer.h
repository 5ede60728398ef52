/* SPDX-License-Identifier: Apache-2.0 */
/* {"do":"tap"} of the control socket (docs/control.md): a looker's wishes become a tap. */
#ifndef YARDER_WORKER_TAP_ANSWER_H
#define YARDER_WORKER_TAP_ANSWER_H

#include <cjson/cJSON.h>

#include "worker/worker_private.h"

/* The answer, which is the caller's (NULL: no memory); *tap is set where it is a good one. */
cJSON *tap_answer(struct worker *worker, const cJSON *request, struct tap **tap);

#endif
