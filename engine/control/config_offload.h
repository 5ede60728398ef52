/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs with a backend, and the plugins that make kinds of them. */
#ifndef YARDER_CONTROL_CONFIG_OFFLOAD_H
#define YARDER_CONTROL_CONFIG_OFFLOAD_H

#include "control/config_private.h"

/* All names of kinds: of the table, of modules, and of the builder's plugins unless it is NULL. */
size_t config_kind_names(const struct config_builder *builder, const struct config_table *table,
    const char *names[CONFIG_ROWS_MAX]);
/* The backend of a kind; NULL: there is none, and `why` says what is wrong if it is its own. */
const struct yarder_backend *config_backend(
    const struct config_builder *builder, const char *kind, char why[MODULE_WHY_BYTES]);
/* Makes the item one of this backend's, with the defaults of its options. */
void config_offload_start(
    struct config_builder *builder, struct config_item *item, const struct yarder_backend *backend);
void config_offload_target(
    struct config_builder *builder, struct config_item *item, const char *target);
/* Of a uWSGI line; the argument is NULL when there was none. */
void config_offload_uwsgi(struct config_builder *builder, struct config_item *item,
    const char *name, const char *argument);
/* Once all options are there: whether they go together, and what depends on others. */
void config_offload_settle(struct config_builder *builder, struct config_item *item);
/* Once all names are there. */
void config_offload_place(struct config_builder *builder, struct config_item *item);

#endif
