"""Everything that knows ccxt: one port, its adapters, error tables, key rights, the connection test."""
