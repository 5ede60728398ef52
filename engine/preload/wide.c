/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of ours knows no wide characters: at the first of them libc's own takes its place again,
 * and what is printed goes by the pipe.
 */
#include "preload/preload.h"

PRELOAD_CALL int fwide(FILE *stream, int mode)
{
    return real()->fwide(mode > 0 ? stdio_plain(stream) : stream, mode);
}

PRELOAD_CALL wint_t fputwc(wchar_t character, FILE *stream)
{
    return real()->fputwc(character, stdio_plain(stream));
}

PRELOAD_CALL wint_t fputwc_unlocked(wchar_t character, FILE *stream)
{
    return real()->fputwc_unlocked(character, stdio_plain(stream));
}

#undef putwc
PRELOAD_CALL wint_t putwc(wchar_t character, FILE *stream)
{
    return fputwc(character, stream);
}

#undef putwc_unlocked
PRELOAD_CALL wint_t putwc_unlocked(wchar_t character, FILE *stream)
{
    return fputwc_unlocked(character, stream);
}

#undef putwchar
PRELOAD_CALL wint_t putwchar(wchar_t character)
{
    return fputwc(character, stdout);
}

#undef putwchar_unlocked
PRELOAD_CALL wint_t putwchar_unlocked(wchar_t character)
{
    return fputwc_unlocked(character, stdout);
}

PRELOAD_CALL int fputws(const wchar_t *text, FILE *stream)
{
    return real()->fputws(text, stdio_plain(stream));
}

PRELOAD_CALL int fputws_unlocked(const wchar_t *text, FILE *stream)
{
    return real()->fputws_unlocked(text, stdio_plain(stream));
}

PRELOAD_CALL int vfwprintf(FILE *stream, const wchar_t *format, va_list arguments)
{
    return real()->vfwprintf(stdio_plain(stream), format, arguments);
}

PRELOAD_CALL int vwprintf(const wchar_t *format, va_list arguments)
{
    return vfwprintf(stdout, format, arguments);
}

PRELOAD_CALL int fwprintf(FILE *stream, const wchar_t *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = vfwprintf(stream, format, arguments);
    va_end(arguments);
    return result;
}

PRELOAD_CALL int wprintf(const wchar_t *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = vfwprintf(stdout, format, arguments);
    va_end(arguments);
    return result;
}

/* What -D_FORTIFY_SOURCE makes of them; no header declares these without it. */
PRELOAD_CALL int __vfwprintf_chk(FILE *stream, int flag, const wchar_t *format, va_list arguments);
PRELOAD_CALL int __vwprintf_chk(int flag, const wchar_t *format, va_list arguments);
PRELOAD_CALL int __fwprintf_chk(FILE *stream, int flag, const wchar_t *format, ...);
PRELOAD_CALL int __wprintf_chk(int flag, const wchar_t *format, ...);

int __vfwprintf_chk(FILE *stream, int flag, const wchar_t *format, va_list arguments)
{
    return real()->vfwprintf_chk(stdio_plain(stream), flag, format, arguments);
}

int __vwprintf_chk(int flag, const wchar_t *format, va_list arguments)
{
    return __vfwprintf_chk(stdout, flag, format, arguments);
}

int __fwprintf_chk(FILE *stream, int flag, const wchar_t *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = __vfwprintf_chk(stream, flag, format, arguments);
    va_end(arguments);
    return result;
}

int __wprintf_chk(int flag, const wchar_t *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = __vfwprintf_chk(stdout, flag, format, arguments);
    va_end(arguments);
    return result;
}
