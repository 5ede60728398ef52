/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <zmq.h>

#include "sink.h"

int sink_pull(const char *port, const char *tally_path)
{
    char address[64];
    void *context = zmq_ctx_new();
    void *pull = zmq_socket(context, ZMQ_PULL);
    (void)snprintf(address, sizeof(address), "tcp://127.0.0.1:%s", port);
    if (zmq_bind(pull, address) < 0) {
        (void)fprintf(stderr, "%s: %s\n", address, zmq_strerror(zmq_errno()));
        return 1;
    }
    struct sink_tally *tally = sink_tally_open(tally_path);
    for (;;) {
        zmq_msg_t message;
        (void)zmq_msg_init(&message);
        if (zmq_msg_recv(&message, pull, 0) >= 0) {
            tally->bytes += zmq_msg_size(&message);
            tally->records++;
        }
        (void)zmq_msg_close(&message);
    }
}
