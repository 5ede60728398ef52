# SPDX-License-Identifier: Apache-2.0
"""The three equations that hold in each answer of `yarder status --json`."""
from harness.wait import wait_until


def imbalances(status):
    """Sentences about what does not add up; none when the ledger is whole."""
    wrong = []

    def equal(what, left, right):
        if left != right:
            wrong.append(f"{what}: {left} is not {right} (off by {left - right})")

    for one in status["inputs"]:
        equal(f"input {one['name']}: received = accepted + refused",
              one["received"], one["accepted"] + sum(one["refused"].values()))
    router = status["router"]
    equal("router: accepted = joined + filtered + unmatched + routed", router["accepted"],
          router["joined"] + sum(router["filtered"].values()) + router["unmatched"]
          + router["routed"])
    for one in status["outputs"]:
        equal(f"output {one['name']}: copies + found = delivered + dropped + dead + held",
              one["copies"] + one["found"],
              one["delivered"] + sum(one["dropped"].values()) + one["dead"] + one["held"])
    return wrong


def assert_balanced(status):
    wrong = imbalances(status)
    assert not wrong, "; ".join(wrong)


def held(status):
    return sum(one["held"] for one in status["outputs"])


def lost(status):
    """Records that reached an input's door, or an output's queue, and went no further."""
    return (sum(sum(one["lost"].values()) for one in status["inputs"])
            + sum(sum(one["dropped"].values()) for one in status["outputs"]))


def named(status, name):
    """The input or the output of that name."""
    for one in [*status["inputs"], *status["outputs"]]:
        if one["name"] == name:
            return one
    raise AssertionError(f"{name} is not in the status")


def wait_for(yarder, says, seconds=20):
    """Waits for a status of which says(status) is true, and returns it."""
    last = {}

    def said():
        last.update(yarder.status())
        return says(last)

    wait_until(said, seconds, lambda: f"another status than {last}")
    return last


def wait_settled(yarder, received, seconds, but=()):
    """Waits until `received` records came in and no output (but those) holds any; that status.

    Each answer on the way is checked too: the equations hold while records move.
    """
    last = {}

    def settled():
        last.update(yarder.status())
        assert_balanced(last)
        came = sum(one["received"] for one in last["inputs"])
        waits = sum(one["held"] for one in last["outputs"] if one["name"] not in but)
        return came >= received and waits == 0

    wait_until(settled, seconds, lambda: f"{received} records received and none held: {last}")
    return last
