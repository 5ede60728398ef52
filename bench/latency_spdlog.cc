// SPDX-License-Identifier: Apache-2.0
#include "latency_spdlog.h"

#include <cerrno>
#include <exception>
#include <memory>

#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>

static std::shared_ptr<spdlog::logger> logger;

bool latency_spdlog_open(const char *path, bool handed_over)
{
    try {
        logger = handed_over ? spdlog::basic_logger_mt<spdlog::async_factory>("latency", path)
                             : spdlog::basic_logger_mt("latency", path);
        logger->set_pattern("%v");
        return true;
    } catch (const std::exception &) {
        errno = EIO;
        return false;
    }
}

bool latency_spdlog_call(const char *text, size_t bytes)
{
    logger->info(spdlog::string_view_t(text, bytes));
    return true;
}

void latency_spdlog_close()
{
    logger.reset();
    spdlog::shutdown(); // ends the thread behind what is queued; the last owner closes the file
}
