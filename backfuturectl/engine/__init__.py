"""One running bot: receive, step, record, execute; and the only reader of wall time."""
