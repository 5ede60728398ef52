/* SPDX-License-Identifier: Apache-2.0 */
#include <hiredis/hiredis.h>
#include <stdio.h>

#include "bare.h"

enum { PIPELINE = 1000 };

int bare_redis(int port, uint64_t count, struct bare_record record)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    if (redis == NULL || redis->err != 0) {
        (void)fprintf(stderr, "redis: %s\n", redis == NULL ? "no memory" : redis->errstr);
        return 1;
    }
    const char *words[] = {"rpush", "bare", record.at};
    const size_t lengths[] = {5, 4, record.bytes};
    for (uint64_t sent = 0; sent < count; sent += PIPELINE) {
        uint64_t now = count - sent < PIPELINE ? count - sent : PIPELINE;
        for (uint64_t i = 0; i < now; i++) {
            (void)redisAppendCommandArgv(redis, 3, (const char **)words, lengths);
        }
        for (uint64_t i = 0; i < now; i++) {
            void *reply = NULL;
            if (redisGetReply(redis, &reply) != REDIS_OK) {
                (void)fprintf(stderr, "redis: %s\n", redis->errstr);
                return 1;
            }
            freeReplyObject(reply);
        }
    }
    redisFree(redis);
    return 0;
}
