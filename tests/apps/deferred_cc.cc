// SPDX-License-Identifier: Apache-2.0
// deferred.c as a C++ program, with calls from where only C++ has any: a template's instances have
// a site each, a lambda has its own, and a constexpr format is a literal.
#include <cstdio>

#include <yarder.h>

static void log_round_cc(int number);

#include "deferred.c"

namespace
{
template <typename Type> void log_type(const char *format, Type value)
{
    LOG("an instance of %zu bytes", sizeof(Type));
    LOG(format, value); // one function, many formats: never the site's
}

struct Logger {
    int base;
    void log(int number) const
    {
        auto inner = [&](int more) { LOG("a lambda: %d", base + more); };
        inner(number);
    }
};
} // namespace

static void log_round_cc(int number)
{
    static constexpr const char *kFormat = "constexpr %d";
    log_type("int %d", number);
    log_type("int again: %+d", number);
    log_type("double %.2f", number / 3.0);
    log_type("%s", "text");
    Logger{7}.log(number);
    LOG(kFormat, number);
}
