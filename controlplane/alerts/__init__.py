"""Who hears: Alertmanager's configuration, routing, grouping, inhibition, silences and dedup. Pure.

configuration.py what the file came to; matchers, routes, intervals: who is meant, and when.
alert.py         an alert and how two reports of one merge; board.py: all that is known, as one log tells it.
notice.py        what a look at the board comes to: notices to send, and a recorded reason for all else.
Semantics are Alertmanager's (0.25 to 0.28) unless a docstring says what differs and why.
"""
