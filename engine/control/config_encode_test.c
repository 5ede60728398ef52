/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: each output gets the steps that uWSGI's lines and its own give it, in order, or a word. */
#include "control/config_scene.h"

/* "prefix a|nl" */
static const char *join(const struct yarder_texts *steps, char *at, size_t room)
{
    size_t length = 0;
    at[0] = '\0';
    for (uint32_t i = 0; i < steps->count; i++) {
        length +=
            (size_t)snprintf(at + length, room - length, "%s%s", i > 0 ? "|" : "", steps->at[i]);
        assert_true(length < room);
    }
    return at;
}

struct wanted {
    const char *output;
    const char *logs;
    const char *requests;
};

static void expect(const char *text, const struct wanted *wanted, uint32_t count)
{
    struct scene scene;
    scene_run(&scene, text);
    assert_int_equal(scene.result, 0);
    assert_int_equal(scene.config->outputs_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct output_config *output = &scene.config->outputs[i];
        char steps[512];
        assert_string_equal(output->name, wanted[i].output);
        assert_string_equal(join(&output->encode, steps, sizeof(steps)), wanted[i].logs);
        assert_string_equal(
            join(&output->encode_requests, steps, sizeof(steps)), wanted[i].requests);
    }
    scene_close(&scene);
}
#define EXPECT(text, ...)                                                                          \
    do {                                                                                           \
        const struct wanted wanted[] = {__VA_ARGS__};                                              \
        expect(text, wanted, YARDER_COUNT_OF(wanted));                                             \
    } while (0)

static void loggers_get_lines(void **state)
{
    (void)state;
    EXPECT("log-encoder = prefix a\nlogger = file:/a\nlogger = x file:/b\nlog-route = x x\n"
           "log-encoder = prefix:x b c\nlog-encoder = nl\n",
        {"file:/a", "prefix a|nl", "prefix a|nl"},
        {"x", "prefix a|prefix b c|nl", "prefix a|prefix b c|nl"});
    /* With a way of their own requests have their own lines, on whatever logger they meet. */
    EXPECT("logger = file:/a\nreq-logger = file:/b\nlog-encoder = prefix l\n"
           "log-req-encoder = prefix r\n",
        {"file:/a", "prefix l", "prefix r"}, {"file:/b", "prefix l", "prefix r"});
    EXPECT("logger = file:/a\nreq-logger = file:/a\nlog-encoder = prefix l\n",
        {"file:/a", "prefix l", ""});
    EXPECT("logto = /a\nlog-encoder = prefix l\nlog-req-encoder = prefix r\n"
           "logger = x file:/b\nlog-req-route = x GET\n",
        {"x", "prefix l", "prefix r"}, {"file:/a", "prefix l", "prefix r"});
    EXPECT("log-encoder = msgpack nil\n", {"stdio", "msgpack nil", "msgpack nil"});
    EXPECT("[uwsgi]\nlogger = file:/a\nlog-encoder = format %%d ${msg}\n",
        {"file:/a", "format %d ${msg}", "format %d ${msg}"});
}

static void outputs_have_their_own(void **state)
{
    (void)state;
    EXPECT("output = file:/a,encode=prefix x, y,encode=nl\nlog-encoder = prefix l\n",
        {"file:/a", "prefix x, y|nl", "prefix x, y|nl"});
    EXPECT("[output a]\ntype = file\nto = /a\nencode = json {\"m\":\"${msg}\",\"t\":${unix}}\n"
           "encode = nl\n",
        {"a", "json {\"m\":\"${msg}\",\"t\":${unix}}|nl",
            "json {\"m\":\"${msg}\",\"t\":${unix}}|nl"});
    EXPECT("logger = a file:/a\nlog-route = a x\nlog-encoder = nl\n[logger a]\nencode = prefix x\n",
        {"a", "nl|prefix x", "nl|prefix x"}, {"stdio", "nl", "nl"});
}

static void ends_are_known(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, "logger = file:/a\nreq-logger = file:/b\nlog-req-encoder = suffix x\n"
                      "output = file:/c,encode=prefix x\noutput = file:/d\n"
                      "output = file:/e,encode=msgpack msg\n");
    assert_int_equal(scene.result, 0);
    static const bool unlined[] = {true, true, false, false, true};
    for (uint32_t i = 0; i < YARDER_COUNT_OF(unlined); i++) {
        assert_int_equal(scene.config->outputs[i].unlined, unlined[i]);
    }
    scene_close(&scene);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        const char *said;
    } rows[] = {
        {"logger = file:/a\nlog-encoder = jsn {}\n", -EINVAL,
            "y.conf:2: log-encoder: no encoder 'jsn'; there are prefix, suffix, nl, format, json, "
            "gzip, compress and msgpack; did you mean json?\n"},
        {"logger = file:/a\nlog-encoder\n", -EINVAL,
            "y.conf:2: log-encoder: no encoder ''; there are prefix, suffix, nl, format, json, "
            "gzip, compress and msgpack\n"},
        {"logger = file:/a\nlog-encoder = format:x ${msg\n", -EINVAL,
            "y.conf:2: log-encoder: format: column 1: \"${\" without its \"}\"\n"},
        {"logger = file:/a\nlog-encoder = format ${mgs}\n", 0,
            "y.conf:2: warning: log-encoder: format: unknown variable \"mgs\" is taken for "
            "nothing, as in uWSGI; did you mean msg?\n"},
        {"output = file:/a,encode=format ${mgs}\n", -EINVAL,
            "y.conf:1: encode: format: unknown variable \"mgs\"; did you mean msg?\n"},
        {"logger = file:/a\nlog-encoder = msgpack map:1|msg\n", -EINVAL,
            "y.conf:2: log-encoder: msgpack: a map or an array lacks 1 of its values (a pair is "
            "two)\n"},
        {"output = file:/a,encode=json {\"m\":${msg}}\n", 0,
            "y.conf:1: warning: encode: json: what it makes is no JSON; ${msg} needs quotes around "
            "it\n"},
        {"logger = file:/a\nlog-encoder = nl:x\n", 0,
            "y.conf:2: warning: no logger is named 'x', so the line does nothing\n"},
        {"output = file:/a\nlog-encoder = prefix web:\n", 0,
            "y.conf:2: warning: log-encoder does nothing: it is for uWSGI's loggers, and there is "
            "none; expected encode=prefix web: in the line of an output\n"},
        {"output = file:/a\nlogger = file:/b\nlog-encoder = prefix web:\n", 0, ""},
        {"logger = file:/a\nlog-req-encoder = nl\n", 0,
            "y.conf:2: warning: log-req-encoder does nothing: without a req-logger or "
            "log-req-route requests go the way of logs, and log-encoder is theirs\n"},
        {"output = null:,encode=nl\n", -EINVAL,
            "y.conf:1: encode is not an option of null; it is one of file, stdio and kinds with "
            "a backend\n"},
        {"encode = nl\n", -EINVAL,
            "y.conf:1: encode is an option of an output: it belongs below an [output NAME] line, "
            "or behind a comma of the output's line\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_run(&scene, rows[i].text);
        assert_int_equal(scene.result, rows[i].result);
        assert_string_equal(scene.said, rows[i].said);
        scene_close(&scene);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loggers_get_lines),
        cmocka_unit_test(outputs_have_their_own),
        cmocka_unit_test(ends_are_known),
        cmocka_unit_test(mistakes_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
