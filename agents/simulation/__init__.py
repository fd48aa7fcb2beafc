"""Parts of the simulated cluster: its store, its field ownership, its controllers, scheduler and makes."""
