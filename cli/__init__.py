"""The command line of hybridleuk; installed as ``hybridleuk_cli``."""
