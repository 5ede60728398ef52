/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <zmq.h>

#include "bare.h"

int bare_push(int port, uint64_t count, struct bare_record record)
{
    char address[64];
    void *context = zmq_ctx_new();
    void *push = zmq_socket(context, ZMQ_PUSH);
    (void)snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", port);
    if (zmq_connect(push, address) < 0) {
        (void)fprintf(stderr, "%s: %s\n", address, zmq_strerror(zmq_errno()));
        return 1;
    }
    for (uint64_t sent = 0; sent < count; sent++) {
        (void)zmq_send(push, record.at, record.bytes, 0);
    }
    (void)zmq_close(push); /* lingers until all of it has gone */
    (void)zmq_ctx_term(context);
    return 0;
}
