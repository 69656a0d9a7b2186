"""KuCoin's dialects, driven by clients that know nothing of this program."""
