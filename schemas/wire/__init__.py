"""Agent and centre: reports, orders, alerts, beats; their codec; their subjects. See docs/protocol.md."""
