# SPDX-License-Identifier: Apache-2.0
"""A ZeroMQ peer in a process of its own, to be killed: `zmq_peer.py pull|sub bind|connect ADDRESS
FILE [SECRET PUBLIC [SERVER]]`. Each message is a line of FILE: its frames as a JSON list.
"""
import json
import sys

import zmq


def main(kind, way, address, path, secret=None, public=None, server=None):
    context = zmq.Context()
    peer = context.socket(zmq.PULL if kind == "pull" else zmq.SUB)
    if address.startswith("ipc:"):
        peer.rcvhwm = 0  # libzmq 4.3 throws away what it has not read when the other side ends
    if kind == "sub":
        peer.setsockopt(zmq.SUBSCRIBE, b"")
    if secret:
        peer.curve_secretkey, peer.curve_publickey = secret.encode(), public.encode()
        if server:
            peer.curve_serverkey = server.encode()
        else:
            peer.curve_server = True
    (peer.bind if way == "bind" else peer.connect)(address)
    with open(path, "ab", buffering=0) as out:
        while True:
            lines = [peer.recv_multipart()]
            try:
                while len(lines) < 500:
                    lines.append(peer.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                pass
            out.write(b"".join(json.dumps([frame.decode("latin-1") for frame in frames]).encode()
                               + b"\n" for frames in lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
