"""`muster demo`: the whole of Muster on one machine. Programs are started as they are, nothing is played."""

from controlplane.cli.demo.run import run_demo

__all__ = ["run_demo"]
