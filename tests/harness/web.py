# SPDX-License-Identifier: Apache-2.0
"""A web server on loopback that keeps what it was asked, and can be wrong in every way."""
import gzip
import http.server
import json
import socket
import threading

from harness.wait import wait_until

OK = (204, {}, b"")


class Asked:
    """One request, its body unpacked."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers = method, path, headers
        self.body = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body

    @property
    def key(self):
        return self.headers["Idempotency-Key"]

    def lines(self):
        return [json.loads(line) for line in self.body.split(b"\n") if line]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        with self.server.lock:
            self.server.connections += 1
            self.server.open.add(self.connection)

    def finish(self):
        with self.server.lock:
            self.server.open.discard(self.connection)
        try:
            super().finish()
        except OSError:
            pass

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass

    def _serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, self.headers, body)
        answer = self.server.answer(asked)
        if isinstance(answer, bytes):  # these bytes, and the end
            self.wfile.write(answer)
            self.close_connection = True
            return
        if answer is None:  # no answer at all, until the peer gives up or we stop
            self.server.stopping.wait()
            self.close_connection = True
            return
        status, headers, text = answer
        if status < 300:
            with self.server.lock:
                self.server.taken.append(asked)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_PUT = do_GET = _serve

    def log_message(self, *arguments):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class WebServer:
    """Answers with what answer(asked) returns: (status, headers, body), raw bytes, or None to hang.

    `taken` are the requests that got a 2xx; stop() breaks all connections, start() comes back on
    the same port.
    """

    def __init__(self, answer=lambda asked: OK, context=None):
        self.answer, self.context = answer, context
        self.taken, self.port, self.connections = [], 0, 0
        self.lock = threading.Lock()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, trouble, trace):
        self.stop()

    def start(self):
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        if self.context is not None:
            self._server.socket = self.context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._server.lock, self._server.taken = self.lock, self.taken
        self._server.connections, self._server.open = 0, set()
        self._server.stopping = threading.Event()
        self._server.answer = lambda asked: self.answer(asked)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,),
                                        daemon=True)
        self._thread.start()
        return self

    def stop(self):
        if self._server is None:
            return
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        with self.lock:
            self.connections += self._server.connections
            for connection in self._server.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._thread.join()
        self._server = None

    def records(self):
        with self.lock:
            return [line for asked in self.taken for line in asked.lines()]

    def wait_for(self, count, seconds):
        wait_until(lambda: sum(asked.body.count(b"\n") for asked in list(self.taken)) >= count,
                   seconds, lambda: f"{count} records, {len(self.records())} came")
