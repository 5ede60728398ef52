/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `yarder serve-udp`: prints the datagrams that come, as uWSGI's `udp` server does, but all of
 * them, whole, and each on a line of its own. No part of the daemon: a tool to look with, and the
 * far end of the kind `crypto`.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/serve_keys.h"
#include "cli/serve_listen.h"
#include "codec/put.h"
#include "os/memory.h"

enum {
    DATAGRAM_BYTES_MAX = 65536,
    DATAGRAMS = 32, /* taken with one call */
    OUTPUT_BYTES = 256 << 10,
    LAST_ROUNDS = 4096, /* after a signal, so that what has arrived is printed */
};
static const int64_t tell_every_ns = 1000000000;

struct serve_options {
    struct yarder_texts decrypt;
    char *interface;
    bool raw;
};

struct serve {
    struct cli *cli;
    struct serve_options options;
    struct serve_keys keys;
    bool escape; /* for a terminal */
    int fd;
    char address[SERVE_ADDRESS_BYTES];

    char *datagrams;
    char *plain; /* a decrypted one */
    struct sockaddr_storage peers[DATAGRAMS];
    struct iovec parts[DATAGRAMS];
    struct mmsghdr messages[DATAGRAMS];
    _Alignas(struct cmsghdr) char controls[DATAGRAMS][CMSG_SPACE(sizeof(uint32_t))];

    uint64_t received;
    uint64_t opened[YARDER_OPENED_GOOD + 1]; /* by enum yarder_opened */
    uint32_t dropped;                        /* by the kernel, as it last said */
    int64_t told_ns;
};

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

#define FIELD(member) offsetof(struct serve_options, member)

/* clang-format off: a table */
static const struct cli_option serve_table[] = {
    {{"decrypt", YARDER_OPTION_TEXTS, FIELD(decrypt), NULL, 0, 0, NULL, NULL, "OPTIONS",
         "key=KEY[,key-id=N], or uWSGI's algo=NAME,secret=TEXT[,iv=TEXT]; may repeat"},
        'd'},
    {{"raw", YARDER_OPTION_BOOL, FIELD(raw), NULL, 0, 0, NULL, NULL, "",
         "the bytes as they come: no [udp:...] before them, no newline behind"},
        'r'},
    {{"interface", YARDER_OPTION_TEXT, FIELD(interface), NULL, 0, 0, NULL, NULL, "NAME",
         "where a multicast group is joined; else as routed"},
        'i'},
    CLI_OPTIONS_END,
};
/* clang-format on */

/* Bytes that a terminal shows: a character of UTF-8 that is no control; 0: it would obey. */
static size_t shown_length(const char *at, size_t left)
{
    unsigned char byte = (unsigned char)*at;
    size_t length = put_utf8_length(at, left);
    bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F ||
                   (length == 2 && byte == 0xC2 && (unsigned char)at[1] < 0xA0);
    return control ? 0 : length;
}

static void print_escaped(struct yarder_text text)
{
    for (size_t i = 0, length; i < text.length; i += length) {
        length = shown_length(text.at + i, text.length - i);
        if (length == 0) {
            (void)printf("\\x%02x", (unsigned char)text.at[i]);
            length = 1;
        } else {
            (void)fwrite_unlocked(text.at + i, 1, length, stdout);
        }
    }
}

static void print(const struct serve *serve, const char *peer, struct yarder_text text)
{
    if (serve->options.raw) {
        (void)fwrite_unlocked(text.at, 1, text.length, stdout);
        return;
    }
    (void)printf("[udp:%s] ", peer);
    if (serve->escape) {
        print_escaped(text);
    } else {
        (void)fwrite_unlocked(text.at, 1, text.length, stdout);
    }
    if (text.length == 0 || text.at[text.length - 1] != '\n') {
        (void)putchar_unlocked('\n');
    }
}

static const char *const opened_words[] = {"unknown key, or not encrypted",
    "forged, or damaged on its way", "was here before", "too old, or a clock is wrong", NULL};

/* At once, but no more often than a second: a stranger's datagrams are not to fill a disk. */
static void tell(struct serve *serve, const char *peer, enum yarder_opened opened, int64_t now_ns)
{
    if (now_ns - serve->told_ns >= tell_every_ns || now_ns < serve->told_ns) {
        serve->told_ns = now_ns;
        cli_say(serve->cli, "a datagram of %s is not printed: %s", peer, opened_words[opened]);
    }
}

static void take(struct serve *serve, unsigned i, int64_t now_ns)
{
    struct mmsghdr *message = &serve->messages[i];
    struct yarder_text text = {serve->datagrams + i * DATAGRAM_BYTES_MAX, message->msg_len};
    char peer[SERVE_ADDRESS_BYTES];
    serve_show(&serve->peers[i], message->msg_hdr.msg_namelen, peer);
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&message->msg_hdr); control != NULL;
         control = CMSG_NXTHDR(&message->msg_hdr, control)) {
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&serve->dropped, CMSG_DATA(control), sizeof(serve->dropped));
        }
    }
    serve->received++;
    enum yarder_opened opened = YARDER_OPENED_GOOD;
    if (serve->keys.count > 0) {
        opened = serve_keys_take(&serve->keys, text, now_ns, serve->plain, &text);
    }
    serve->opened[opened]++;
    if (opened == YARDER_OPENED_GOOD) {
        print(serve, peer, text);
    } else {
        tell(serve, peer, opened, now_ns);
    }
}

/* How many came; 0: none waits; -errno. */
static int receive(struct serve *serve)
{
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        serve->parts[i] =
            (struct iovec){serve->datagrams + i * DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MAX};
        serve->messages[i].msg_hdr = (struct msghdr){.msg_name = &serve->peers[i],
            .msg_namelen = sizeof(serve->peers[i]),
            .msg_iov = &serve->parts[i],
            .msg_iovlen = 1,
            .msg_control = serve->controls[i],
            .msg_controllen = sizeof(serve->controls[i])};
    }
    int count = recvmmsg(serve->fd, serve->messages, DATAGRAMS, MSG_DONTWAIT, NULL);
    if (count < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    int64_t now_ns = os_realtime_ns();
    for (int i = 0; i < count; i++) {
        take(serve, (unsigned)i, now_ns);
    }
    return count;
}

static int receive_and_flush(struct serve *serve, int *count)
{
    *count = receive(serve);
    if (*count < 0) {
        cli_say(serve->cli, "%s: %s", serve->address, strerror(-*count));
        return CLI_FAILED;
    }
    if (*count > 0 && fflush(stdout) != 0) {
        cli_say(serve->cli, "cannot write to standard output: %s", strerror(errno));
        return CLI_FAILED;
    }
    return CLI_GO_ON;
}

/* Until a signal, and then what has come by then. */
static int serve_all(struct serve *serve)
{
    sigset_t masked, before;
    const struct sigaction action = {.sa_handler = stop};
    (void)sigemptyset(&masked);
    (void)sigaddset(&masked, SIGINT);
    (void)sigaddset(&masked, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &masked, &before);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct pollfd ready = {.fd = serve->fd, .events = POLLIN};
    int r = CLI_GO_ON;
    int count = 0;
    while (r == CLI_GO_ON && stopped == 0) {
        (void)ppoll(&ready, 1, NULL, &before);
        r = receive_and_flush(serve, &count);
    }
    for (int i = 0; r == CLI_GO_ON && i < LAST_ROUNDS && (i == 0 || count > 0); i++) {
        r = receive_and_flush(serve, &count);
    }
    return r == CLI_GO_ON ? CLI_GOOD : r;
}

static void print_counts(const struct serve *serve)
{
    const uint64_t *opened = serve->opened;
    cli_say(serve->cli, "received %llu, printed %llu, lost in the kernel %u",
        (unsigned long long)serve->received, (unsigned long long)opened[YARDER_OPENED_GOOD],
        serve->dropped);
    if (serve->keys.count > 0) {
        cli_say(serve->cli, "not printed: unknown %llu, forged %llu, replayed %llu, expired %llu",
            (unsigned long long)opened[YARDER_OPENED_UNKNOWN],
            (unsigned long long)opened[YARDER_OPENED_FORGED],
            (unsigned long long)opened[YARDER_OPENED_REPLAYED],
            (unsigned long long)opened[YARDER_OPENED_EXPIRED]);
    }
}

static int serve_words(struct serve *serve)
{
    struct cli *cli = serve->cli;
    if (cli->words_count != 1) {
        return cli_refuse(cli, "expected one ADDRESS:PORT, but got %d", cli->words_count);
    }
    int r = serve_keys_open(cli, &serve->options.decrypt, &serve->keys);
    r = r == CLI_GO_ON
            ? serve_listen(cli, cli->words[0], serve->options.interface, serve->address, &serve->fd)
            : r;
    if (r != CLI_GO_ON) {
        return r;
    }
    cli_say(cli, "listening on %s", serve->address);
    serve->escape = isatty(STDOUT_FILENO) == 1;
    (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
    serve->datagrams = malloc((size_t)DATAGRAMS * DATAGRAM_BYTES_MAX);
    serve->plain = malloc(DATAGRAM_BYTES_MAX + YARDER_OPENER_SLACK_BYTES);
    if (serve->datagrams == NULL || serve->plain == NULL) {
        cli_say(cli, "no memory");
        return CLI_FAILED;
    }
    r = serve_all(serve);
    print_counts(serve);
    return r;
}

static int run_serve(struct cli *cli)
{
    static struct serve serve; /* a command runs once */
    serve = (struct serve){.cli = cli, .fd = -1};
    int r = cli_parse(cli, &serve.options);
    r = r == CLI_GO_ON ? serve_words(&serve) : r;
    serve_keys_close(&serve.keys);
    free(serve.datagrams);
    free(serve.plain);
    yarder_fd_drop(&serve.fd);
    return r;
}

const struct command command_serve_udp = {
    .name = "serve-udp",
    .usage = "[OPTIONS] ADDRESS:PORT",
    .summary = "print the datagrams that come: uWSGI's udp server, and crypto's far end",
    .about = "A line for each, [udp:ADDRESS:PORT] before it, control bytes shown as \\x1b on a "
             "terminal.\n"
             "Groups of multicast are joined. --decrypt prints what a crypto output sent, and "
             "says\n"
             "what is not from there. INT and TERM end it, with the counts on standard error.\n",
    .examples = "  yarder serve-udp 127.0.0.1:1717\n"
                "  yarder serve-udp --decrypt key=file:/etc/yarder/key '[::]:1717' >>all.log\n",
    .options = serve_table,
    .run = run_serve,
};
