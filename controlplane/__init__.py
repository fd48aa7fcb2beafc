"""The central service: where work runs, whether it may, and who hears when it breaks."""
