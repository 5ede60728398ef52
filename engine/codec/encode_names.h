/* SPDX-License-Identifier: Apache-2.0 */
/* For help and near names: the variables and presets with a sentence each; NULL-terminated. */
#ifndef YARDER_CODEC_ENCODE_NAMES_H
#define YARDER_CODEC_ENCODE_NAMES_H

struct encode_name {
    const char *name;
    const char *help;
};
extern const struct encode_name encode_variables[];
extern const struct encode_name encode_presets[];

#endif
