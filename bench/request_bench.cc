/* SPDX-License-Identifier: Apache-2.0 */
/* Cost of a request's line: some hundred different ones in turn; bytes are those that go in. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <benchmark/benchmark.h>
#include <pcre2.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#define _Noreturn [[noreturn]] /* C's word, which base.h uses */
extern "C" {
#include "codec/request.h"
}

namespace
{

constexpr size_t kLines = 512;

const char kDefault[] = "[pid: 14246|app: 0|req: %d/%d] 10.1.2.%d () {26 vars in 344 bytes} "
                        "[Sat Nov 21 00:59:12 2026] GET /static/images/logo.png?v=%d => generated "
                        "%d bytes in 12 msecs (HTTP/1.1 200) 1 headers in 45 bytes (1 switches on "
                        "core 0)";
const char kDefaultRegex[] =
    R"re(^\[pid: (\d+)\|app: (-?\d+)\|req: (-?\d+)/(\d+)\] (.*) \((.*)\) )re"
    R"re(\{(\d+) vars in (\d+) bytes\} \[(.{24})\] (\S*) (.*) => generated (\d+) bytes in )re"
    R"re((\d+) (msecs|micros)(?: via (\w+)\(\))? \((.*) (\d+)\) (\d+) headers in (\d+) )re"
    R"re(bytes \((\d+) switches on core (\d+)\)$)re";
const char kCombined[] =
    "10.1.2.%d - - [21/Nov/2026:01:59:12 +0100] \"GET /a/%d?v=%d HTTP/1.1\" 200 "
    "%d \"https://www.example.org/%d\" \"Mozilla/5.0 (X11; Linux x86_64; "
    "rv:128.0) Gecko/20100101 Firefox/128.0\"";
const char kCombinedFormat[] = "format:%(addr) - %(user) [%(ltime)] \"%(method) %(uri) %(proto)\" "
                               "%(status) %(size) \"%(referer)\" \"%(uagent)\"";
const char kCombinedRegex[] =
    R"re(^(.*) - (.*) \[(.{26})\] "(\S*) (.*) (\S*)" (\d+) (\d+) "(.*)" "(.*)"$)re";
const char kError[] = "[2026-11-21 00:59:12,%03d] ERROR in app%d: Exception on /static/%d [GET] by "
                      "%d, for %d times now; the connection to the database was closed by it";

std::vector<std::string> make_lines(const char *format)
{
    std::vector<std::string> lines;
    for (size_t i = 0; i < kLines; i++) {
        char line[512];
        int n = static_cast<int>(i * 7 % 250);
        (void)std::snprintf(line, sizeof(line), format, n, 1000 + n, n, 2000 + n, 300 + n);
        lines.emplace_back(line);
    }
    return lines;
}

void count(benchmark::State &state, const std::vector<std::string> &lines)
{
    size_t bytes = 0;
    for (const std::string &line : lines) {
        bytes += line.size();
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * kLines));
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * bytes));
}

void copy(benchmark::State &state, const char *format)
{
    auto lines = make_lines(format);
    std::vector<char> out(kLines * 512);
    for (auto _ : state) {
        char *at = out.data();
        for (const std::string &line : lines) {
            std::memcpy(at, line.data(), line.size());
            at += line.size();
            benchmark::ClobberMemory();
        }
    }
    count(state, lines);
}
BENCHMARK_CAPTURE(copy, uwsgi, kDefault);
BENCHMARK_CAPTURE(copy, combined, kCombined);

void request(benchmark::State &state, const char *what, const char *format, bool is_one)
{
    auto lines = make_lines(format);
    request_format *compiled = nullptr;
    char why[256];
    if (request_open(&compiled, what, why, sizeof(why)) != 0) {
        std::abort();
    }
    request_memo memo{};
    yarder_field fields[YARDER_FIELDS_MAX];
    char scratch[REQUEST_SCRATCH_BYTES];
    for (auto _ : state) {
        for (const std::string &line : lines) {
            yarder_record record{};
            record.text = {line.data(), line.size()};
            if (request_parse(compiled, &memo, scratch, fields, &record) != is_one) {
                std::abort();
            }
            benchmark::DoNotOptimize(fields);
        }
    }
    request_close(compiled);
    count(state, lines);
}
BENCHMARK_CAPTURE(request, uwsgi, "uwsgi", kDefault, true);
BENCHMARK_CAPTURE(request, combined, kCombinedFormat, kCombined, true);
BENCHMARK_CAPTURE(request, uwsgi_of_errors, "uwsgi", kError, false);
BENCHMARK_CAPTURE(request, combined_of_errors, kCombinedFormat, kError, false);

/* What the same groups cost by PCRE2's JIT, without making numbers and times of them. */
void regex(benchmark::State &state, const char *pattern, const char *format)
{
    auto lines = make_lines(format);
    int error = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *code = pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(pattern), PCRE2_ZERO_TERMINATED, 0, &error, &at, nullptr);
    if (code == nullptr || pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0) {
        std::abort();
    }
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, nullptr);
    for (auto _ : state) {
        for (const std::string &line : lines) {
            if (pcre2_jit_match(code, reinterpret_cast<PCRE2_SPTR>(line.data()), line.size(), 0, 0,
                    match, nullptr) <= 0) {
                std::abort();
            }
        }
    }
    pcre2_match_data_free(match);
    pcre2_code_free(code);
    count(state, lines);
}
BENCHMARK_CAPTURE(regex, uwsgi, kDefaultRegex, kDefault);
BENCHMARK_CAPTURE(regex, combined, kCombinedRegex, kCombined);

} // namespace

BENCHMARK_MAIN();
