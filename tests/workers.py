"""Which tests run in one worker under pytest-xdist: those that share servers, so that each runs once.

A group is a folder or a file. Marks (`xdist_group`) would do, but pytest-xdist 3.8 writes them to an
attribute that pytest 9.2 does not read, and says nothing.
"""

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
    "tests/peers/test_alertmanager.py": "peers",
    "tests/peers/test_amtool.py": "peers",
    "tests/peers/test_observing.py": "observing",
}


def group_of(nodeid: str) -> str:
    """The test itself where it shares nothing."""
    return next((group for path, group in GROUPS.items() if nodeid.startswith(path)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return ByGroup(config, log)
