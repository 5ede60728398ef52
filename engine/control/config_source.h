/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs with a source: the counterpart of config_offload.h. */
#ifndef YARDER_CONTROL_CONFIG_SOURCE_H
#define YARDER_CONTROL_CONFIG_SOURCE_H

#include "control/config_private.h"

/* The source of a kind; NULL: there is none, and `why` says what is wrong if it is its own. */
const struct yarder_source *config_source(const char *kind, char why[MODULE_WHY_BYTES]);
/* Makes the item one of this source's, with the defaults of its options. */
void config_source_start(
    struct config_builder *builder, struct config_item *item, const struct yarder_source *source);
void config_source_target(
    struct config_builder *builder, struct config_item *item, const char *target);
/* Once all options are there; of other inputs nothing. */
void config_source_settle(struct config_builder *builder, struct config_item *item);
/* config_input.c: HOST:PORT, checked, with localhost as its number. */
char *config_address(struct config_builder *builder, struct config_item *item, const char *target);

#endif
