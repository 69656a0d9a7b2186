"""The command line: argument parsing, printing, exit codes; one module per command."""
