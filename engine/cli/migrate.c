/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "control/config_keys.h"
#include "control/translate.h"

enum { PATH_BYTES = 2048, KEY_BYTES = 64, FILE_BYTES_MAX = 8 << 20 };

struct migration {
    const struct cli *cli;
    const struct configuration *made;
    const char *file;
    bool apart;        /* requests have a socket of their own */
    bool hands_over;   /* the lines that do are there, in the first [uwsgi] */
    bool keeps_alarms; /* lines that stay in uWSGI name alarms, which stay as well then */
    FILE *ini;
    FILE *difference;
    uint32_t lines[2]; /* of the old file, of the new one */
};

static const struct config_key *key_of(struct yarder_text line)
{
    char name[KEY_BYTES];
    size_t length = 0;
    while (length < line.length && length + 1 < sizeof(name) && line.at[length] != '=' &&
           line.at[length] != ' ' && line.at[length] != '\t') {
        name[length] = line.at[length] == '_' ? '-' : line.at[length];
        length++;
    }
    name[length] = '\0';
    const struct config_key *key = config_key_find(name);
    return key != NULL && config_key_is_uwsgi(key) ? key : NULL;
}

static void put_line(struct migration *migration, char mark, struct yarder_text line)
{
    (void)fprintf(migration->difference, "%c%.*s\n", mark, (int)line.length, line.at);
    migration->lines[0] += mark != '+' ? 1 : 0;
    migration->lines[1] += mark != '-' ? 1 : 0;
    if (mark != '-') {
        (void)fprintf(migration->ini, "%.*s\n", (int)line.length, line.at);
    }
}

static void put_text(struct migration *migration, char mark, const char *text)
{
    put_line(migration, mark, (struct yarder_text){text, strlen(text)});
}

/* What hands uWSGI's logs to yarder. */
static void put_loggers(struct migration *migration)
{
    const char *run_dir = migration->made->config->run_dir;
    char line[PATH_BYTES];
    migration->hands_over = true;
    put_text(migration, '+', "plugin = logsocket");
    (void)snprintf(line, sizeof(line), "logger = socket:%s/uwsgi.sock", run_dir);
    put_text(migration, '+', line);
    if (migration->apart) {
        (void)snprintf(line, sizeof(line), "req-logger = socket:%s/requests.sock", run_dir);
        put_text(migration, '+', line);
    }
}

static void take_line(struct migration *migration, struct yarder_text whole, bool *inside)
{
    struct yarder_text line = whole;
    while (line.length > 0 && (line.at[0] == ' ' || line.at[0] == '\t')) {
        line.at++;
        line.length--;
    }
    if (line.length > 0 && line.at[0] == '[') {
        *inside = line.length >= 7 && memcmp(line.at, "[uwsgi]", 7) == 0;
        put_line(migration, ' ', whole);
        if (*inside && !migration->hands_over) {
            put_loggers(migration);
        }
        return;
    }
    const struct config_key *key = *inside ? key_of(line) : NULL;
    bool kept = key == NULL || key->line >= CONFIG_ACCEPTED ||
                (key->line == CONFIG_ALARM && migration->keeps_alarms);
    bool background =
        key != NULL && (key->line == CONFIG_DAEMONIZE || key->line == CONFIG_DAEMONIZE2);
    put_line(migration, kept ? ' ' : '-', whole);
    if (background) { /* it goes there all the same, and nothing is left to be written */
        char text[KEY_BYTES];
        (void)snprintf(text, sizeof(text), "%s = /dev/null", key->option.name);
        put_text(migration, '+', text);
    }
}

static void take_all(struct migration *migration, const char *text)
{
    bool inside = false;
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        take_line(migration, (struct yarder_text){text, length}, &inside);
        text += length + (text[length] == '\n');
    }
}

/* A logger of the plugin for uWSGI: what it has comes by the ring. */
static bool is_plugins(const struct setting *setting)
{
    const char *kind = config_logger_kind(setting->value != NULL ? setting->value : "");
    return text_is((struct yarder_text){kind, strcspn(kind, ":")}, "yarder");
}

/* Only what stands in the file itself can be taken out of it. */
static int look_at_places(struct migration *migration)
{
    const struct settings *settings = migration->made->settings;
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->list[i];
        const struct config_key *key = config_key_find(setting->key);
        if (key == NULL || !config_key_is_uwsgi(key)) {
            continue;
        }
        if ((key->line == CONFIG_LOGGER || key->line == CONFIG_REQ_LOGGER) && is_plugins(setting)) {
            return cli_refuse(migration->cli,
                "%s: its logs come by the plugin already, which --split would undo; yarder needs "
                "input = ring and the lines of yarder translate",
                setting->where);
        }
        migration->keeps_alarms |=
            key->line == CONFIG_LEFT && strstr(setting->key, "alarm") != NULL;
        if (key->line < CONFIG_ACCEPTED && strcmp(setting->file, migration->file) != 0) {
            return cli_refuse(migration->cli,
                "%s: that line is in another file than %s; --split divides one file",
                setting->where, migration->file);
        }
    }
    return CLI_GO_ON;
}

static char *read_file(const char *path, mode_t *mode)
{
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat facts;
    if (fd < 0 || fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size > FILE_BYTES_MAX) {
        return NULL;
    }
    *mode = facts.st_mode & 0777;
    char *text = calloc(1, (size_t)facts.st_size + 1);
    ssize_t got = text != NULL ? read(fd, text, (size_t)facts.st_size) : -1;
    if (got != facts.st_size) {
        free(text);
        return NULL;
    }
    return text;
}

static int write_new(
    const struct cli *cli, const char *path, mode_t mode, const char *text, size_t bytes)
{
    YARDER_OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        cli_say(cli, "cannot write %s: %s%s", path, strerror(errno),
            errno == EEXIST ? "; nothing is written over, see --to DIR" : "");
        return CLI_FAILED;
    }
    for (size_t done = 0; done < bytes;) {
        ssize_t wrote = write(fd, text + done, bytes - done);
        if (wrote < 0 && errno != EINTR) {
            cli_say(cli, "cannot write %s: %s", path, strerror(errno));
            (void)unlink(path);
            return CLI_FAILED;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return CLI_GOOD;
}

/* DIR/NAME.ini, or beside the original NAME.ini.yarder, which no emperor takes for an app; and
 * yarder.conf there. */
static bool name_files(
    const char *file, const char *folder, char ini[PATH_BYTES], char conf[PATH_BYTES])
{
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    size_t folder_bytes = slash != NULL ? (size_t)(slash - file) : 1;
    const char *own = slash != NULL ? (folder_bytes > 0 ? file : "/") : ".";
    int r;
    int s;
    if (folder != NULL) {
        r = snprintf(ini, PATH_BYTES, "%s/%s", folder, name);
        s = snprintf(conf, PATH_BYTES, "%s/yarder.conf", folder);
    } else {
        int bytes = (int)yarder_max(folder_bytes, 1);
        r = snprintf(ini, PATH_BYTES, "%.*s/%s.yarder", bytes, own, name);
        s = snprintf(conf, PATH_BYTES, "%.*s/yarder.conf", bytes, own);
    }
    return r > 0 && r < PATH_BYTES && s > 0 && s < PATH_BYTES;
}

static char *make_conf(const struct migration *migration, const char *lines)
{
    char *text = NULL;
    const char *run_dir = migration->made->config->run_dir;
    int r = asprintf(&text,
        "; What uWSGI hands over (mode: whoever uWSGI runs as must reach it).\n"
        "input = logs unix:%s/uwsgi.sock,mode=0666\n%s%s%s\n%s",
        run_dir, migration->apart ? "input = requests unix:" : "", migration->apart ? run_dir : "",
        migration->apart ? "/requests.sock,mode=0666,kind=request\n" : "", lines);
    return r < 0 ? NULL : text;
}

static int write_both(const struct migration *migration, const char *folder, mode_t mode,
    const char *ini_text, const char *conf_text, const char *difference)
{
    char ini[PATH_BYTES];
    char conf[PATH_BYTES];
    const struct cli *cli = migration->cli;
    if (!name_files(migration->file, folder, ini, conf)) {
        return cli_refuse(cli, "the names of the new files would be too long");
    }
    int status = write_new(cli, ini, mode, ini_text, strlen(ini_text));
    if (status == CLI_GOOD) {
        status = write_new(cli, conf, mode, conf_text, strlen(conf_text));
        if (status != CLI_GOOD) {
            (void)unlink(ini);
        }
    }
    if (status == CLI_GOOD) {
        (void)printf("--- %s\n+++ %s\n@@ -1,%u +1,%u @@\n%s", migration->file, ini,
            (unsigned)migration->lines[0], (unsigned)migration->lines[1], difference);
        (void)printf("--- /dev/null\n+++ %s\n", conf);
        for (const char *at = conf_text; *at != '\0';) {
            size_t length = strcspn(at, "\n");
            (void)printf("+%.*s\n", (int)length, at);
            at += length + (at[length] == '\n');
        }
    }
    return status;
}

int migrate(const struct cli *cli, const struct configuration *made, const char *file,
    const char *folder, const char *lines)
{
    struct migration migration = {
        .cli = cli, .made = made, .file = file, .apart = config_parts_requests(made->config)};
    size_t length = strlen(file);
    if (length <= 4 || strcmp(file + length - 4, ".ini") != 0) {
        return cli_refuse(cli, "--split divides an ini file, NAME.ini, not %s", file);
    }
    int status = look_at_places(&migration);
    if (status != CLI_GO_ON) {
        return status;
    }
    mode_t mode = 0600;
    size_t bytes = 0;
    YARDER_OWN_HEAP char *text = read_file(file, &mode);
    YARDER_OWN_HEAP char *ini_text = NULL;
    YARDER_OWN_HEAP char *difference = NULL;
    YARDER_OWN_HEAP char *conf_text = make_conf(&migration, lines);
    migration.ini = open_memstream(&ini_text, &bytes);
    migration.difference = open_memstream(&difference, &bytes);
    bool good =
        text != NULL && conf_text != NULL && migration.ini != NULL && migration.difference != NULL;
    if (good) {
        take_all(&migration, text);
    }
    good &= migration.ini != NULL && fclose(migration.ini) == 0;
    good &= migration.difference != NULL && fclose(migration.difference) == 0;
    if (!good) {
        cli_say(cli, "%s cannot be read once more", file);
        return CLI_FAILED;
    }
    return write_both(&migration, folder, mode, ini_text, conf_text, difference);
}
