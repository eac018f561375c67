"""``python -m hybridleuk_cli``, for when the script ``hybridleuk`` is not on the path."""

from .app import main

if __name__ == "__main__":
    main()
