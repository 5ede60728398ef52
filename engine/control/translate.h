/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's lines about logs, told again as yarder's own: what `yarder translate` prints.
 *
 *   logger, req-logger, logto ...   [output NAME] with type, to and selectors
 *   log-route, log-req-route        route, or match= and kind= where requests have their own way
 *   log-drain, log-filter           drop, keep, or not-match= and match=
 *   log-encoder, log-req-encoder    encode= of the outputs that they reach
 *
 * Where no lines of yarder's would do the same, uWSGI's are kept: they are keys as well. Each
 * difference is told in a comment.
 */
#ifndef YARDER_CONTROL_TRANSLATE_H
#define YARDER_CONTROL_TRANSLATE_H

#include "control/config.h"

enum { TRANSLATE_WHY_BYTES = 512 };

/*
 * Writes the lines for settings that config_load made `config` of; `with_inputs`: the inputs that
 * are there without a word, too, where they have to be said. 0; -EINVAL and `why`: a value
 * has no form as a line of a file, or the settings have lines that are yarder's already; -ENOMEM.
 */
YARDER_MUST_USE int config_translate(const struct settings *settings,
    const struct daemon_config *config, bool with_inputs, FILE *to, char why[TRANSLATE_WHY_BYTES]);

/* Whether requests have a way of their own: a req-logger or log-req-route parts them from logs. */
bool config_parts_requests(const struct daemon_config *config);

#endif
