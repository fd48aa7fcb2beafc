"""Who may do what: bearer tokens, the principals behind them, and their roles. Pure."""
