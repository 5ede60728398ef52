/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every byte of a record can be had back from its dead letter, by a reader that knows the
 * format alone. Method: hostile records, read back through cJSON and a decoder of base64; a disk
 * that is full, and a line that was cut. LETTER_SEED replays a run.
 */
#include "offload/dead_letter.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test_random.h"
#include "base/text.h"

enum { RECORDS = 400, TEXT_BYTES_MAX = 200, PATH_BYTES = 200, FILE_BYTES_MAX = 1 << 20 };

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static struct yarder_text decode(const char *base64)
{
    static char bytes[TEXT_BYTES_MAX];
    size_t count = 0;
    uint32_t word = 0;
    uint32_t bits = 0;
    assert_int_equal(strlen(base64) % 4, 0);
    for (; *base64 != '\0' && *base64 != '='; base64++) {
        const char *digit = strchr(digits, *base64);
        assert_non_null(digit);
        word = word << 6 | (uint32_t)(digit - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[count++] = (char)(word >> bits);
        }
    }
    return (struct yarder_text){bytes, count};
}

static struct yarder_text text_at(const cJSON *object, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsObject(member)) {
        return decode(cJSON_GetObjectItemCaseSensitive(member, "base64")->valuestring);
    }
    return member == NULL ? (struct yarder_text){0} : text_of(member->valuestring);
}

static double number_at(const cJSON *object, const char *key, double otherwise)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    return member == NULL ? otherwise : member->valuedouble;
}

static struct yarder_text random_bytes(size_t bytes_max)
{
    static char pool[16 << 10];
    static size_t used;
    static const char *const clean[] = {
        "", "plain", "na\xC3\xAFve \xE2\x82\xAC", "\"quoted\\\"", "line\nline\ttab\x01", "\x7F"};
    if (below(2) == 0) {
        return text_of(clean[below(YARDER_COUNT_OF(clean))]);
    }
    size_t length = below((uint32_t)bytes_max + 1);
    used = used + length > sizeof(pool) ? 0 : used;
    char *at = pool + used;
    used += length;
    for (size_t i = 0; i < length; i++) {
        at[i] = (char)random_next();
    }
    return (struct yarder_text){at, length};
}

static void random_field(struct yarder_field *field, char raw[8])
{
    static const size_t lengths[] = {0, 0, 8, 8, 8, 1};
    field->type = (enum yarder_field_type)(1 + below(YARDER_FIELD_BOOL));
    field->key = random_bytes(20);
    field->value = random_bytes(40);
    if (field->type != YARDER_FIELD_TEXT && below(8) != 0) {
        uint64_t number = random_next();
        number = field->type == YARDER_FIELD_BOOL ? below(3) : number;
        memcpy(raw, &number, 8);
        field->value = (struct yarder_text){raw, lengths[field->type]};
    }
}

/* The raw bytes of a value's text form. */
static struct yarder_text value_of(const cJSON *field, enum yarder_field_type type)
{
    static char raw[8];
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(field, "value");
    if (type == YARDER_FIELD_TEXT || cJSON_IsObject(value)) {
        return text_at(field, "value");
    }
    const char *text = value->valuestring;
    if (type == YARDER_FIELD_BOOL) {
        raw[0] = strcmp(text, "true") == 0;
        return (struct yarder_text){raw, 1};
    }
    int64_t i = strtoll(text, NULL, 10);
    uint64_t u = strtoull(text, NULL, 10);
    double f = strtod(text, NULL);
    memcpy(raw,
        type == YARDER_FIELD_INT    ? (void *)&i
        : type == YARDER_FIELD_UINT ? (void *)&u
                                    : &f,
        8);
    return (struct yarder_text){raw, 8};
}

static void check_fields(const cJSON *list, const struct yarder_record *record)
{
    static const char *const types[] = {"", "text", "int", "uint", "float", "bool"};
    assert_int_equal(cJSON_GetArraySize(list), record->fields_count);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const cJSON *read = cJSON_GetArrayItem(list, (int)i);
        const struct yarder_field *field = &record->fields[i];
        assert_true(text_equal(text_at(read, "key"), field->key));
        assert_true(text_is(text_at(read, "type"), types[field->type]));
        assert_true(text_equal(value_of(read, field->type), field->value));
    }
}

static void check_letter(
    const cJSON *letter, struct yarder_id id, const struct yarder_record *record)
{
    char text[64];
    assert_true(text_is(text_at(letter, "output"), "out \"1\""));
    assert_true(text_is(text_at(letter, "reason"), "too\nlong"));
    assert_int_equal(text_at(letter, "refused").length, strlen("2026-11-21T13:20:11.123456Z"));
    (void)snprintf(text, sizeof(text), "%" PRIu64 "-%" PRIu64, id.epoch_ns, id.number);
    assert_true(text_is(text_at(letter, "id"), text));
    const cJSON *read = cJSON_GetObjectItemCaseSensitive(letter, "record");
    (void)snprintf(text, sizeof(text), "%" PRId64, record->time_ns);
    assert_true(text_is(text_at(read, "time_ns"), text));
    (void)snprintf(text, sizeof(text), "%" PRId64, record->received_ns);
    assert_true(text_is(text_at(read, "received_ns"), text));
    assert_true(text_equal(text_at(read, "text"), record->text));
    assert_true(text_equal(text_at(read, "host"), record->host));
    assert_true(text_equal(text_at(read, "peer"), record->peer));
    assert_true(text_equal(text_at(read, "tag"), record->tag));
    assert_true(text_equal(text_at(read, "logger"), record->logger));
    assert_true(number_at(read, "level", 0) == record->level);
    assert_true(number_at(read, "facility", YARDER_FACILITY_NONE) == record->facility);
    assert_true(number_at(read, "kind", 0) == record->kind);
    assert_true(number_at(read, "stream", 0) == record->stream);
    assert_true(number_at(read, "flags", 0) == record->flags);
    assert_true(number_at(read, "pid", 0) == record->pid);
    assert_true(number_at(read, "tid", 0) == record->tid);
    assert_true(number_at(read, "lost_before", 0) == record->lost_before);
    assert_true(number_at(read, "input", 0) == record->input);
    check_fields(cJSON_GetObjectItemCaseSensitive(read, "fields"), record);
}

static void a_record_can_be_had_back(void **state)
{
    (void)state;
    struct dead_letters letters = {0};
    for (int i = 0; i < RECORDS; i++) {
        struct yarder_field fields[8];
        char raw[8][8];
        struct yarder_record record = {.time_ns = (int64_t)random_next(),
            .received_ns = (int64_t)random_next(),
            .text = random_bytes(TEXT_BYTES_MAX),
            .host = random_bytes(40),
            .peer = random_bytes(40),
            .tag = random_bytes(40),
            .logger = random_bytes(40),
            .fields = fields,
            .fields_count = below(9),
            .flags = below(32),
            .pid = (uint32_t)random_next(),
            .tid = below(2) * (uint32_t)random_next(),
            .lost_before = below(3),
            .input = (uint16_t)below(3),
            .level = (uint8_t)below(256),
            .kind = (uint8_t)below(2),
            .stream = (uint8_t)below(3),
            .facility = below(2) == 0 ? YARDER_FACILITY_NONE : (uint8_t)below(24)};
        for (uint32_t k = 0; k < record.fields_count; k++) {
            random_field(&fields[k], raw[k]);
        }
        const struct yarder_id id = {random_next(), random_next()};
        letters.bytes_count = 0;
        assert_int_equal(dead_letter_put(&letters, "out \"1\"", "too\nlong", id, &record), 0);
        assert_int_equal(letters.bytes[letters.bytes_count - 1], '\n');
        assert_null(memchr(letters.bytes, '\n', letters.bytes_count - 1));
        cJSON *letter = cJSON_ParseWithLength(letters.bytes, letters.bytes_count);
        assert_non_null(letter);
        check_letter(letter, id, &record);
        cJSON_Delete(letter);
    }
    dead_letters_drop(&letters);
}

static void put_letter(struct dead_letters *letters, const char *text)
{
    const struct yarder_record record = {.text = text_of(text), .facility = YARDER_FACILITY_NONE};
    assert_int_equal(dead_letter_put(letters, "out", "why", (struct yarder_id){1, 2}, &record), 0);
}

static void a_line_that_was_cut_is_ended(void **state)
{
    (void)state;
    char folder[PATH_BYTES] = "/tmp/dead-letter-test-XXXXXX";
    char path[PATH_BYTES + 16];
    static char content[FILE_BYTES_MAX];
    struct dead_letters letters = {0};
    const char *call = NULL;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/dead", folder);
    put_letter(&letters, "one");
    put_letter(&letters, "two");
    assert_int_equal(dead_letters_write(&letters, path, &call), 0);
    assert_int_equal(letters.bytes_count, 0);
    assert_int_equal(dead_letters_write(&letters, path, &call), 0); /* nothing to write */
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(truncate(path, facts.st_size - 3), 0);
    put_letter(&letters, "three");
    assert_int_equal(dead_letters_write(&letters, path, &call), 0);
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t bytes = read(fd, content, sizeof(content) - 1);
    assert_true(bytes > 0);
    content[bytes] = '\0';
    const char *cut = strchr(content, '\n') + 1;
    const char *last = strchr(cut, '\n') + 1;
    assert_non_null(strstr(cut, "two"));
    assert_non_null(strstr(last, "three"));
    assert_int_equal(strchr(last, '\n') - content, bytes - 1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    dead_letters_drop(&letters);
}

static void what_cannot_be_written_is_told(void **state)
{
    (void)state;
    struct dead_letters letters = {0};
    const char *call = NULL;
    put_letter(&letters, "one");
    assert_int_equal(dead_letters_write(&letters, "/no/such/folder/dead", &call), -ENOENT);
    assert_string_equal(call, "open");
    put_letter(&letters, "one");
    assert_int_equal(dead_letters_write(&letters, "/dev/full", &call), -ENOSPC);
    assert_string_equal(call, "write");
    char pipe_path[] = "/tmp/dead-letter-pipe-XXXXXX";
    assert_non_null(mkdtemp(pipe_path));
    char path[PATH_BYTES + 16];
    (void)snprintf(path, sizeof(path), "%s/pipe", pipe_path);
    assert_int_equal(mkfifo(path, 0600), 0);
    put_letter(&letters, "one");
    assert_int_equal(dead_letters_write(&letters, path, &call), -ESPIPE); /* who reads it later? */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(pipe_path), 0);
    dead_letters_drop(&letters);
}

int main(void)
{
    random_begin("LETTER_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_can_be_had_back),
        cmocka_unit_test(a_line_that_was_cut_is_ended),
        cmocka_unit_test(what_cannot_be_written_is_told),
    };
    return cmocka_run_group_tests_name("offload-dead-letter", tests, NULL, NULL);
}
