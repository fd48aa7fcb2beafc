"""Which tests run in one worker under pytest-xdist: those that share servers, so that each runs once.

A group is a folder or a file. Marks (`xdist_group`) would do, but pytest-xdist 3.8 writes them to an
attribute that pytest 9.2 does not read, and says nothing.
"""

from collections.abc import Mapping
from typing import Any

import pytest

GROUPS = {
    "tests/kube/": "kube",
    "tests/conformance/test_below_conformance.py": "kube",
    "tests/conformance/test_kube_port_conformance.py": "kube",
    "tests/crash/test_killed": "killed",
    "tests/crash/test_lost": "lost",
    "tests/crash/test_two_agents.py": "kube",
    "tests/crash/test_leaders": "leaders",
    "tests/integration/test_below_the_cluster.py": "below",
    "tests/integration/test_held_agent.py": "killed",
    "tests/crash/test_restored_database.py": "restored",
    "tests/integration/test_bad_reports.py": "reports",
    "tests/integration/test_documented_commands.py": "documented",
    "tests/integration/test_demo.py": "documented",
    "tests/integration/test_inventory.py": "inventory",
    "tests/integration/test_doctor.py": "doctor",
    "tests/integration/test_images.py": "images",
    "tests/crash/test_restored_backup.py": "restored",
    "tests/upgrades/test_rolling.py": "rolling",
    "tests/peers/test_alertmanager.py": "peers",
    "tests/peers/test_amtool.py": "peers",
    "tests/peers/test_observing.py": "observing",
}
LONGEST = "kube"
WAITING = ("killed", "documented", "leaders", "lost", "restored", "doctor", "rolling", "peers", "observing")
"""Groups that wait for processes more than they work, the longest first: one worker begins with them, so that
they run beside what works, not beside each other, and none of them is left for the end."""


def group_of(nodeid: str) -> str:
    """The test itself where it shares nothing."""
    return next((group for path, group in GROUPS.items() if nodeid.startswith(path)), nodeid)


def next_of(left: Mapping[str, Any], *, is_last: bool) -> str:
    """Which group a worker gets. left: those that nobody has yet."""
    if is_last:
        return next((group for group in WAITING if group in left), "") or next(iter(left))
    if LONGEST in left:
        return LONGEST
    return next((group for group in left if group not in WAITING), "") or next(iter(left))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            last = max(self.nodes, key=lambda each: each.gateway.id)
            self.workqueue.move_to_end(next_of(self.workqueue, is_last=node is last), last=False)
            super()._assign_work_unit(node)

    return ByGroup(config, log)
