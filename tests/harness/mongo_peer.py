# SPDX-License-Identifier: Apache-2.0
"""What MongoDB's wire protocol asks of a server that is inserted into: `mongo_peer.py PORT FILE`.

BSON is MongoDB's own codec, the server is not: drivers can be held to the protocol with it, no
more. Documents are in FILE before they are answered for, and known again by the next process that
takes that file. Collections of these names behave so:

    denied      the command is not allowed (13)
    invalid     documents whose msg has an odd number fail validation (121)
    conflict    the first insert of each document is a write conflict (112)
    unique      every document is the double of another index's key (11000)
    slow        inserted, but not replicated in time (64), the first time
"""
import os
import socketserver
import struct
import sys
import threading

import bson

HELLO = {"isWritablePrimary": True, "ismaster": True, "maxBsonObjectSize": 16 << 20,
         "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0,
         "maxWireVersion": 17, "readOnly": False, "ok": 1.0}
lock = threading.Lock()
known, seen = set(), set()
kept = None


def split(raw):
    """The documents that stand one behind the other; not one that a death cut off."""
    at = 0
    while at + 4 < len(raw):
        length = struct.unpack_from("<i", raw, at)[0]
        if at + length > len(raw):
            return
        yield raw[at:at + length]
        at += length


def name_of(document):
    """The _id of a raw document, as bytes; ours stands first and is binary."""
    if document[4:9] == b"\x05_id\x00":
        length = struct.unpack_from("<i", document, 9)[0]
        return document[14:14 + length]
    return repr(bson.decode(document)["_id"]).encode()


def fault(collection, document, name):
    """(code, errmsg) of what is wrong with a document, or None."""
    if collection == "invalid" and int(bson.decode(document)["msg"].split()[0]) % 2:
        return 121, "Document failed validation"
    if collection == "conflict" and name not in seen:
        seen.add(name)
        return 112, "WriteConflict"
    if collection == "unique":
        return 11000, "E11000 duplicate key error collection: x.unique index: node_1 dup key: {}"
    if name in known:
        return 11000, f"E11000 duplicate key error collection: x index: _id_ dup key: {name!r}"
    return None


def insert(command, documents):
    collection = command["insert"]
    if collection == "denied":
        return {"ok": 0.0, "code": 13, "codeName": "Unauthorized",
                "errmsg": f"not authorized on {command['$db']} to execute command"}
    errors, stored = [], []
    with lock:
        for index, document in enumerate(documents):
            name = name_of(document)
            wrong = fault(collection, document, name)
            if wrong:
                errors.append({"index": index, "code": wrong[0], "errmsg": wrong[1]})
                if command.get("ordered", True):
                    break
            else:
                known.add(name)
                stored.append(document)
        os.write(kept, b"".join(stored))
        answer = {"n": len(stored), "ok": 1.0}
        if errors:
            answer["writeErrors"] = errors
        if collection == "slow" and "slow" not in seen:
            seen.add("slow")
            answer["writeConcernError"] = {"code": 64, "errmsg": "waiting for replication"}
    return answer


def answer_to(command, documents):
    first = next(iter(command))
    if first == "insert":
        return insert(command, documents)
    if first in ("hello", "isMaster", "ismaster"):
        return HELLO
    if first in ("ping", "endSessions"):
        return {"ok": 1.0}
    return {"ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": f"no {first}"}


class Connection(socketserver.StreamRequestHandler):
    def reply(self, request, code, body):
        self.wfile.write(struct.pack("<iiii", 16 + len(body), 0, request, code) + body)
        self.wfile.flush()

    def message(self, request, body):
        """OP_MSG: sections of one document, or of a named list of them."""
        at, command, documents = 4, None, []
        while at < len(body):
            kind = body[at]
            length = struct.unpack_from("<i", body, at + 1)[0]
            section = body[at + 1:at + 1 + length]
            if kind == 0:
                command = bson.decode(section)
            else:
                documents += split(section[section.index(b"\0", 4) + 1:])
            at += 1 + length
        documents += [bson.encode(one) for one in command.get("documents", [])]
        answer = bson.encode(answer_to(command, documents))
        self.reply(request, 2013, struct.pack("<I", 0) + b"\0" + answer)

    def query(self, request, body):
        """OP_QUERY, as which the first hello comes."""
        command = bson.decode(body[body.index(b"\0", 4) + 9:])
        answer = bson.encode(answer_to(command, []))
        self.reply(request, 1, struct.pack("<iqii", 8, 0, 0, 1) + answer)

    def handle(self):
        while True:
            head = self.rfile.read(16)
            if len(head) < 16:
                return
            length, request, _, code = struct.unpack("<iiii", head)
            body = self.rfile.read(length - 16)
            {2013: self.message, 2004: self.query}[code](request, body)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    kept = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_APPEND)
    whole = 0
    with open(sys.argv[2], "rb") as file:
        for one in split(file.read()):
            known.add(name_of(one))
            whole += len(one)
    os.ftruncate(kept, whole)
    with Server(("127.0.0.1", int(sys.argv[1])), Connection) as server:
        server.serve_forever()
