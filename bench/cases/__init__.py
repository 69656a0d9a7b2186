"""One module per subject; `bench.run` holds the table of them."""
