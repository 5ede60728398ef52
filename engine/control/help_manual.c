/* SPDX-License-Identifier: Apache-2.0 */
/* yarder.conf(5): the grammar in words, then a section for each table. */
#include <string.h>

#include "codec/chain.h"
#include "codec/encode.h"
#include "control/config_keys.h"
#include "control/config_line.h"
#include "control/help.h"
#include "control/module.h"
#include "inputs/input.h"

/* Text with what is special to man's format escaped; a line never begins with it here. */
static void put_escaped(const char *text, FILE *to)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '\\':
            (void)fputs("\\e", to);
            break;
        case '-':
            (void)fputs("\\-", to);
            break;
        case '\'':
            (void)fputs("\\(aq", to);
            break;
        case '`':
            (void)fputs("\\(ga", to);
            break;
        case '^':
            (void)fputs("\\(ha", to);
            break;
        case '~':
            (void)fputs("\\(ti", to);
            break;
        default:
            (void)fputc(*text, to);
        }
    }
}

static void put_term(const char *name, const char *between, const char *argument, FILE *to)
{
    (void)fputs(".TP\n\\fB", to);
    put_escaped(name, to);
    (void)fprintf(to, "\\fR%s\\fI", between);
    put_escaped(argument, to);
    (void)fputs("\\fR\n", to);
}

static void put_option(const struct yarder_option *option, const char *between, FILE *to)
{
    put_term(option->name, between, option->argument, to);
    put_escaped(option->help, to);
    if (option->default_text != NULL) {
        (void)fputs(" [", to);
        put_escaped(option->default_text, to);
        (void)fputc(']', to);
    }
    (void)fputs(".\n", to);
}

static void put_keys(bool uwsgi, FILE *to)
{
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (config_key_is_uwsgi(key) == uwsgi && key->line != CONFIG_NOT_BUILT) {
            put_option(&key->option, " = ", to);
        }
    }
}

static void put_table(const struct config_table *table, const char *const *helps, FILE *to)
{
    for (unsigned i = 0; i < table->kinds_count; i++) {
        (void)fputs(i > 0 ? ".PP\n" : "", to);
        put_escaped(helps[i], to);
        (void)fputs(".\n", to);
    }
    const struct config_rows rows = {table, NULL};
    struct config_row row = {0};
    while (config_row_next(&rows, &row)) {
        char names[CONFIG_KINDS_BYTES];
        put_option(row.option, "=", to);
        (void)fputs("For ", to);
        put_escaped(config_list_kinds(table, row.kinds, names), to);
        (void)fputs(".\n", to);
    }
}

static void put_own(const struct yarder_backend *backend, FILE *to)
{
    put_escaped(backend->help, to);
    (void)fputs(".\nA record is delivered when ", to);
    put_escaped(help_means(backend->means), to);
    (void)fputs(".\n", to);
    for (const char *const *name = backend->uwsgi_names; name != NULL && *name != NULL; name++) {
        (void)fputs("In uWSGI\\(aqs form: logger = ", to);
        put_escaped(*name, to);
        (void)fputs(":ARGUMENT.\n", to);
    }
    for (const struct yarder_option *row = backend->options; row->kind != YARDER_OPTION_END;
         row++) {
        put_option(row, "=", to);
    }
}

static void put_sources(FILE *to)
{
    for (const struct module_source *at = module_sources; at->name != NULL; at++) {
        char why[MODULE_WHY_BYTES];
        const struct yarder_source *source = NULL;
        bool built = module_load_source(module_kind_find(at->module), &source, why) == 0;
        (void)fprintf(to, ".SS %s\n", at->name);
        put_escaped(built ? source->help : at->help, to);
        (void)fputs(built ? ".\n" : "; not built here.\n", to);
        for (const struct yarder_option *row = built ? source->options : NULL;
             row != NULL && row->kind != YARDER_OPTION_END; row++) {
            put_option(row, "=", to);
        }
    }
}

/* Of kinds that were not built the name and what they do. */
static void put_backends(FILE *to)
{
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        char why[MODULE_WHY_BYTES];
        const struct yarder_backend *backend = NULL;
        (void)fprintf(to, ".SS %s\n", kind->name);
        if (module_load(kind, &backend, why) == 0) {
            put_own(backend, to);
            continue;
        }
        put_escaped(kind->help, to);
        (void)fputs("; not built here.\n", to);
    }
}

static void put_names(
    const struct encode_name *names, const char *before, const char *after, FILE *to)
{
    for (; names->name != NULL; names++) {
        (void)fprintf(to, ".TP\n\\fB%s", before);
        put_escaped(names->name, to);
        (void)fprintf(to, "%s\\fR\n", after);
        put_escaped(names->help, to);
        (void)fputs(".\n", to);
    }
}

static const char intro[] =
    ".TH YARDER.CONF 5\n"
    ".SH NAME\n"
    "yarder.conf \\- configuration of the log shipper yarder(1)\n"
    ".SH GRAMMAR\n"
    "Lines of the form KEY = VALUE. Keys repeat; each is an option of the command line as well\n"
    "(\\-\\-KEY VALUE), which wins over the file. A comment is a whole line that begins with ; or "
    "#.\n"
    "A value that begins with a double quote ends with one; inside, \\e\" and \\e\\e stand for \" "
    "and \\e.\n"
    "Sizes take K, M and G (1024); times need their unit: ms, s, m, h or d.\n"
    "\\fB${env:NAME}\\fR is the environment variable NAME and an error if it is not set;\n"
    "\\fB${env:NAME:\\-x}\\fR is x then.\n"
    ".PP\n"
    "An input or output is one line, [NAME ]KIND:TARGET[,OPTION=VALUE...], in which an option "
    "begins\n"
    "at a comma followed by a known option\\(aqs name and =, and a command takes the whole rest; "
    "or a\n"
    "section, \\fB[input NAME]\\fR or \\fB[output NAME]\\fR, with a line for each option, the kind "
    "as\n"
    "\\fBtype\\fR and the target as \\fBto\\fR. On the command line, \\-\\-output "
    "NAME.OPTION=VALUE says\n"
    "one option. \\fB[yarder]\\fR returns to the top; \\fB[uwsgi]\\fR is read as uWSGI reads it, "
    "logging\n"
    "keys alone; \\fB[logger NAME]\\fR adds options to a logger.\n";

static const char examples[] = ".SH EXAMPLES\n"
                               ".nf\n"
                               "input  = ring\n"
                               "input  = unix:/run/yarder/log.sock,mode=0666\n"
                               "output = file:/var/log/yarder/all.log\n"
                               "output = errors file:/var/log/yarder/errors.log,level=error\n"
                               ".fi\n"
                               ".SH SEE ALSO\n"
                               "yarder(1), libyarder(3)\n";

void help_manual(FILE *to)
{
    (void)fputs(intro, to);
    (void)fputs(".SH KEYS\n", to);
    put_keys(false, to);
    (void)fputs(".SH INPUTS\n", to);
    put_table(&config_input_table, input_kind_helps, to);
    (void)fputs(".SH INPUTS WITH A MODULE\n"
                "Each is taken from by a process of its own, started when an input names it.\n",
        to);
    put_sources(to);
    (void)fputs(".SH OUTPUTS\n", to);
    put_table(&config_output_table, output_kind_helps, to);
    (void)fputs(".SH OUTPUTS WITH A BACKEND\n"
                "Each is a module, loaded only when an output names it; \\fByarder outputs\\fR "
                "lists them.\n"
                "A module of somebody\\(aqs is there after \\fBplugin\\fR = PATH.\n"
                "A secret is file:PATH, whose first line it is, env:NAME, or the text itself.\n",
        to);
    put_backends(to);
    (void)fputs(".SH FORMATS\nPresets of the option format:\n", to);
    put_names(encode_presets, "", "", to);
    (void)fputs(".PP\nVariables of a template:\n", to);
    put_names(encode_variables, "${", "}", to);
    (void)fputs(".SH ENCODERS\nSteps of the option encode and of uWSGI\\(aqs log\\-encoder, which "
                "make new\nbytes of the text and its newline, one after the other. Times are the "
                "record\\(aqs; a\nstrftime is local and has at most 63 bytes. What a chain makes "
                "is written as it is.\n",
        to);
    put_names(chain_encoders, "", "", to);
    (void)fputs(
        ".SH UWSGI\nThese lines follow uWSGI\\(aqs grammar and its routing. Files whose names "
        "end with\n\\&.yaml, .yml or .json are uWSGI\\(aqs, and so is FILE:SECTION of an ini "
        "file. In [uwsgi] its magic\nletters, placeholders, blocks and files of files mean "
        "what they mean to uWSGI; other\nkeys are left to it. An output of type "
        "\\fBuwsgi\\fR is the place of one of its loggers\n(to = KIND:ARGUMENT) with the "
        "selectors of any output; \\fByarder translate\\fR makes such.\n",
        to);
    put_keys(true, to);
    (void)fputs(examples, to);
}
