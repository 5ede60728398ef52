# SPDX-License-Identifier: Apache-2.0
"""A WSGI application that logs as applications do.

/item/N        answers; uWSGI's request line is all that is logged
/error/N       one line on wsgi.errors
/print/N       one line on standard output
/raise/N       logs an exception with its traceback, and answers all the same
/health/N      one line that operators throw away
"""
import logging
import os


class Raw:
    """Each write is one write(2), whatever other threads write: uWSGI makes a record of each."""

    def __init__(self, fd):
        self.fd = fd

    def write(self, text):
        os.write(self.fd, text.encode())

    def flush(self):
        pass


logging.basicConfig(stream=Raw(2), format="%(levelname)s %(message)s")


def application(environ, start_response):
    _, what, number = environ["PATH_INFO"].split("/")
    if what == "error":
        environ["wsgi.errors"].write(f"ERROR number {number}\n")
        environ["wsgi.errors"].flush()
    elif what == "print":
        Raw(1).write(f"printed number {number}\n")
    elif what == "health":
        Raw(1).write(f"healthy number {number}\n")
    elif what == "raise":
        try:
            raise ValueError(f"number {number}")
        except ValueError:
            logging.exception("failed number %s", number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok\n"]
