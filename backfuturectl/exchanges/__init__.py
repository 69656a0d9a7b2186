"""Everything that knows ccxt: port, adapters, error tables, key rights, connection test."""
