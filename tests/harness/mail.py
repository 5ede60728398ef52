# SPDX-License-Identifier: Apache-2.0
"""A mail server on loopback (aiosmtpd) that keeps what came, and can refuse at each step."""
import email
import email.policy
import re

import pytest

from harness.wait import wait_until

try:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult
except ImportError:
    Controller = None


class MailServer:
    """`say` maps a step (mail, rcpt, data) to a function of what came there; its text is answered.

    stop() breaks all connections, start() comes back on the same port.
    """

    def __init__(self, user=None, password=None, context=None):
        if Controller is None:
            pytest.skip("python3-aiosmtpd is not installed")
        self.user, self.password, self.context = user, password, context
        self.say, self.mails, self.port = {}, [], 0
        self.controller = None

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, trouble, trace):
        self.stop()

    def start(self):
        if self.port == 0:
            from harness.wait import free_port
            self.port = free_port()
        options = {"require_starttls": True, "tls_context": self.context} if self.context else {}
        if self.user is not None:
            options |= {"authenticator": self._authenticate, "auth_required": True,
                        "auth_require_tls": False}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self.controller.start()
        return self

    def stop(self):
        if self.controller is not None:
            self.controller.stop(no_assert=True)
            self.controller = None

    def _authenticate(self, server, session, envelope, mechanism, data):
        good = data.login.decode() == self.user and data.password.decode() == self.password
        return AuthResult(success=good, handled=False)

    def _answer(self, step, came):
        return self.say[step](came) if step in self.say else None

    async def handle_MAIL(self, server, session, envelope, address, options):
        answer = self._answer("mail", address)
        if answer is None:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return answer or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        answer = self._answer("rcpt", address)
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        answer = self._answer("data", envelope.content)
        if answer is None:
            self.mails.append((envelope.mail_from, list(envelope.rcpt_tos), envelope.content))
        return answer or "250 OK"

    def parsed(self):
        return [email.message_from_bytes(content, policy=email.policy.default)
                for _, _, content in list(self.mails)]

    def numbers(self):
        """The number that each line of each mail begins with."""
        return [int(number) for one in self.parsed()
                for number in re.findall(r"^(\d+) ", one.get_content(), re.M)]

    def wait_for(self, count, seconds):
        wait_until(lambda: len(self.mails) >= count, seconds,
                   lambda: f"{count} mails, {len(self.mails)} came")
