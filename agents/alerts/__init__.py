"""Alerts in the member cluster: onto the disk first, then to the centre, or by the agent itself.

door.py        Alertmanager's API v2 for the Prometheus of this cluster
intake.py      what it posts, as alerts of the wire                                              pure
accepting.py   what of it says something new
writing.py     onto the disk: group commit, off the event loop
troubles.py    what the agent sees by itself: said when it begins, and once when it ends
  nodes.py, workloads.py, events.py, gpus.py   what hurts now                                    pure
  offline.py   that the agent was away
fallback.py    what the centre does not confirm in time is sent by the agent itself

../spool.py and ../local_notices.py are the disk, ../alert_sending.py is the way to the centre.
"""
