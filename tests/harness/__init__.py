# SPDX-License-Identifier: Apache-2.0
"""What scenes are made of: a daemon, senders, receivers, and the audit of what came out."""
