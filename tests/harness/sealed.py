# SPDX-License-Identifier: Apache-2.0
"""Sealed packets as backends/sealed.h tells, by somebody else's ciphers."""
import os
import struct
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def _cipher(key, salt, algorithm, key_id):
    info = b"yarder sealed 1" + bytes([algorithm]) + struct.pack(">I", key_id)
    session = HKDF(SHA256(), 32, salt, info).derive(key)
    return (AESGCM if algorithm == 1 else ChaCha20Poly1305)(session)


def seal(key, text, counter=0, salt=None, key_id=0, algorithm=1, at_ns=None):
    """A packet as backends/sealed.h tells."""
    salt = salt or os.urandom(16)
    head = (b"YDS1" + bytes([algorithm, 0, 0, 0]) + struct.pack(">I", key_id) + salt
            + struct.pack(">Q", counter))
    sent = struct.pack(">Q", time.time_ns() if at_ns is None else at_ns)
    nonce = bytes(4) + struct.pack(">Q", counter)
    return head + _cipher(key, salt, algorithm, key_id).encrypt(nonce, sent + text, head)


def unseal(key, packet):
    """(salt, counter, text) of a packet; raises what cryptography raises when it is not good."""
    assert packet[:4] == b"YDS1" and packet[5:8] == bytes(3), packet[:8]
    salt, nonce = packet[12:28], bytes(4) + packet[28:36]
    cipher = _cipher(key, salt, packet[4], int.from_bytes(packet[8:12], "big"))
    plain = cipher.decrypt(nonce, packet[36:], packet[:36])
    assert abs(int.from_bytes(plain[:8], "big") - time.time_ns()) < 60e9
    return salt, int.from_bytes(packet[28:36], "big"), plain[8:]
