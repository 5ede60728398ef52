/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder chain: what becomes of a rendered text on its way to one output, step by step. Each
 * step makes new bytes of all the bytes before.
 *
 *   record -> format= -> text and its newline -> step -> step -> ... -> exactly the bytes written
 *
 *   prefix TEXT   suffix TEXT   nl          bytes put before it, behind it; a newline behind it
 *   format TPL    json TPL                  ${msg} ${msgnl} ${unix} ${millis} ${micros}
 *                                           ${strftime:FMT}; json escapes them, to valid UTF-8
 *   gzip          compress                  a gzip member, a zlib stream of their own
 *   msgpack SPEC                            map:N array:N str:S bin:S int:N float:X nil true false
 *                                           msg msgnl msgbin msgbinnl unix micros strftime:FMT
 *
 * The bytes are uWSGI's, wherever those are not broken JSON. ${msg} is the text without one newline
 * at its end, ${msgnl} the text as it is. Times are the record's; strftime's are local, FMT is
 * libc's, and what is longer than 63 bytes is nothing. A '$' before anything but a '{' is itself,
 * and takes the byte behind it along: "$${msg}" has no variable.
 */
#ifndef YARDER_CODEC_CHAIN_H
#define YARDER_CODEC_CHAIN_H

#include "api/option.h"
#include "api/record.h"
#include "base/base.h"
#include "codec/encode_names.h"

enum { CHAIN_BYTES_MAX = 8 << 20 }; /* of a text before, between and after the steps */

/* uWSGI takes a variable or an item that it does not know for nothing. */
enum chain_dialect { CHAIN_NATIVE, CHAIN_UWSGI };

struct chain; /* of one thread */

/* For help and the manual; ends with NULL. */
extern const struct encode_name chain_encoders[];

/*
 * Compiles steps of the form "NAME[ ARGUMENT]"; none, and NULL, make no chain. -EINVAL with `why`;
 * -ENOMEM. With CHAIN_UWSGI and 0, a `why` that is not empty says what is taken for nothing.
 * Allocates; nothing afterwards does.
 */
YARDER_MUST_USE int chain_open(struct chain **out, const struct yarder_texts *steps,
    enum chain_dialect dialect, char *why, size_t why_bytes);
void chain_close(struct chain *chain);

/* Whether its output ends with a newline whenever its input does. */
bool chain_keeps_lines(const struct chain *chain);

/*
 * The most that chain_run makes of so many bytes: from lengths alone. More than CHAIN_BYTES_MAX: it
 * may come to more than that, so that only chain_run can tell.
 */
size_t chain_bound(const struct chain *chain, size_t bytes);

/* Memory of CHAIN_BYTES_MAX for the text that chain_run is given; what is in it is used up. */
char *chain_input(struct chain *chain);

/*
 * Writes what the chain makes of the first `bytes` of chain_input at `at`: how many, 0 (an empty
 * text) among them, or -EMSGSIZE: more than `room`, or than CHAIN_BYTES_MAX on the way. Where
 * chain_bound says that it fits, it does.
 */
YARDER_MUST_USE ssize_t chain_run(
    struct chain *chain, int64_t time_ns, size_t bytes, char *at, size_t room);

#endif
