/* SPDX-License-Identifier: Apache-2.0 */
#include "os/thread.h"

#include <signal.h>
#include <unistd.h>

int os_thread_start(pthread_t *out, size_t stack_bytes, void *(*main_of)(void *), void *self)
{
    pthread_attr_t attributes;
    sigset_t every;
    sigset_t before;
    int error = pthread_attr_init(&attributes);
    if (error != 0) {
        return -error;
    }
    error =
        pthread_attr_setstacksize(&attributes, stack_bytes + (size_t)sysconf(_SC_THREAD_STACK_MIN));
    if (error == 0) {
        (void)sigfillset(&every);
        (void)pthread_sigmask(SIG_SETMASK, &every, &before);
        error = pthread_create(out, &attributes, main_of, self);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    (void)pthread_attr_destroy(&attributes);
    return -error;
}
